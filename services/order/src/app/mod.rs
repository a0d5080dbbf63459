//! The use cases, one file a verb.

mod cancel_order;
mod count_orders;
mod find_orders;
mod move_order;
mod place_order;

use std::sync::Arc;

use orderflow_contract::Id;
use orderflow_identity::User;
use tokio::sync::Semaphore;

use crate::{domain::Order, error::Error, inventory::Inventory, store::Store};

/// How many orders may be on their way at once; more are turned away before anything is sent.
const PLACING: usize = 1024;

/// The orders.
#[derive(Clone)]
pub(crate) struct Orders {
    store: Store,
    inventory: Inventory,
    placing: Arc<Semaphore>,
}

impl Orders {
    pub(crate) fn new(store: Store, inventory: Inventory) -> Self {
        Self {
            store,
            inventory,
            placing: Arc::new(Semaphore::new(PLACING)),
        }
    }

    /// An order that this user may see, in whole or in part.
    async fn visible(&self, user: &User, id: Id) -> Result<Order, Error> {
        let order = self.store.order(id).await?;
        let visible = order.filter(|order| order.part_for(user).is_some());
        visible.ok_or(Error::OrderNotFound)
    }
}
