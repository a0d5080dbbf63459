use std::collections::HashSet;

use orderflow_batch::{Batcher, Limits, lookups};
use orderflow_contract::Id;

use super::Catalog;
use crate::{
    domain::Product,
    error::Error,
    store::{Listing, Position, Store},
};

/// How products are looked up by id, those that are asked for at the same time together.
pub(super) type Reading = Batcher<Id, Result<Option<Product>, mongodb::error::Error>>;

/// Starts the lanes on which products are looked up.
pub(super) fn lanes(store: Store) -> Reading {
    lookups(Limits::LOOKUPS, move |ids| {
        let store = store.clone();
        async move { store.look_up(ids).await }
    })
}

impl Catalog {
    /// One product that is offered.
    pub(crate) async fn get_product(&self, id: Id) -> Result<Product, Error> {
        let found = self.reading.submit(id, 1).await?;
        found?.ok_or(Error::ProductNotFound)
    }

    /// The products that are offered, in the order asked for, each once, and the ids of the others.
    pub(crate) async fn batch_get_products(
        &self,
        ids: &[Id],
    ) -> Result<(Vec<Product>, Vec<Id>), Error> {
        let mut seen = HashSet::new();
        let ids: Vec<_> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        let mut found = self.stock.store.look_up(ids.clone()).await?;
        let (mut products, mut missing) = (Vec::new(), Vec::new());
        for id in ids {
            match found.remove(&id) {
                Some(product) => products.push(product?),
                None => missing.push(id),
            }
        }
        Ok((products, missing))
    }

    /// The products of a list with their positions, one more than a page has.
    pub(crate) async fn list_products(
        &self,
        listing: &Listing,
    ) -> Result<Vec<(Product, Position)>, Error> {
        Ok(self.stock.store.page(listing).await?)
    }
}
