use orderflow_contract::{Id, Invalid};
use orderflow_identity::User;

use super::Orders;
use crate::{domain::Order, error::Error, store::Listing};

impl Orders {
    /// An order that this user may see.
    pub(crate) async fn get_order(&self, user: &User, id: Id) -> Result<Order, Error> {
        self.visible(user, id).await
    }

    /// The orders of a list, one more than a page has.
    pub(crate) async fn list_orders(&self, listing: &Listing) -> Result<Vec<Order>, Error> {
        let orders = self.store.page(listing).await?;
        orders.ok_or_else(|| Invalid::field("page_token", "is not of this list").into())
    }
}
