use orderflow_contract::{Id, time::now_ms};
use orderflow_faults::At;
use orderflow_identity::User;

use super::{Catalog, may_change};
use crate::{
    domain::{Change, Product},
    error::Error,
    steps::Step,
};

/// How often a change without an etag is tried again because another came first.
const ATTEMPTS: usize = 20;

impl Catalog {
    /// Changes name, description or price.
    pub(crate) async fn update_product(
        &self,
        user: &User,
        id: Id,
        etag: &str,
        change: &Change,
    ) -> Result<Product, Error> {
        for _ in 0..ATTEMPTS {
            let product = self.changeable(user, id, etag).await?;
            let changed = self
                .stock
                .store
                .change_product(id, product.revision, change, now_ms())
                .at(Step::UpdateProduct)
                .await?;
            if let Some(changed) = changed {
                return Ok(changed);
            }
        }
        Err(Error::EtagMismatch)
    }

    /// Withdraws a product.
    pub(crate) async fn delete_product(
        &self,
        user: &User,
        id: Id,
        etag: &str,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let product = self.changeable(user, id, etag).await?;
            if self
                .stock
                .store
                .withdraw_product(id, product.revision, now_ms())
                .at(Step::DeleteProduct)
                .await?
            {
                return Ok(());
            }
        }
        Err(Error::EtagMismatch)
    }

    /// The product, if this user may change it and it is what they saw.
    async fn changeable(&self, user: &User, id: Id, etag: &str) -> Result<Product, Error> {
        let product = self.get_product(id).await?;
        may_change(user, &product)?;
        if !etag.is_empty() && etag != product.etag() {
            return Err(Error::EtagMismatch);
        }
        Ok(product)
    }
}
