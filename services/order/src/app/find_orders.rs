use orderflow_contract::{Id, Invalid};
use orderflow_identity::User;

use orderflow_batch::{Batcher, Limits, lookups};

use super::{Orders, submit};
use crate::{
    domain::Order,
    error::Error,
    store::{Listing, Store},
};

/// How orders are looked up by id, those that are asked for at the same time together.
pub(super) type Reading = Batcher<Id, Result<Option<Order>, mongodb::error::Error>>;

/// Starts the lanes on which orders are looked up.
pub(super) fn lanes(store: Store) -> Reading {
    lookups(Limits::LOOKUPS, move |ids| {
        let store = store.clone();
        async move { store.look_up(ids).await }
    })
}

impl Orders {
    /// An order that this user may see.
    pub(crate) async fn get_order(&self, user: &User, id: Id) -> Result<Order, Error> {
        self.visible(user, id).await
    }

    /// An order that this user may see, in whole or in part.
    pub(super) async fn visible(&self, user: &User, id: Id) -> Result<Order, Error> {
        let order = submit(&self.reading, id, 1).await?;
        let visible = order.filter(|order| order.part_for(user).is_some());
        visible.ok_or(Error::OrderNotFound)
    }

    /// The orders of a list, one more than a page has.
    pub(crate) async fn list_orders(&self, listing: &Listing) -> Result<Vec<Order>, Error> {
        let orders = self.store.page(listing).await?;
        orders.ok_or_else(|| Invalid::field("page_token", "is not of this list").into())
    }
}
