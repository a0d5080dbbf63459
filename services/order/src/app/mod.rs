//! The use cases, one file a verb.

mod cancel_order;
mod count_orders;
mod feed;
mod find_orders;
mod follow;
mod move_order;
mod place_order;
mod watch_orders;

use std::sync::Arc;

use orderflow_batch::{Batcher, Refused};

use crate::{
    domain::{Order, Placement},
    error::Error,
    inventory::Inventory,
    store::Store,
};

pub(crate) use watch_orders::{Told, Watching};

/// The orders.
#[derive(Clone)]
pub(crate) struct Orders {
    store: Store,
    inventory: Inventory,
    placing: Batcher<Placement, Result<Order, Error>>,
    reading: find_orders::Reading,
    moving: move_order::Moving,
    releasing: cancel_order::Releasing,
    watching: Arc<Watching>,
}

impl Orders {
    pub(crate) fn new(store: Store, inventory: Inventory, watching: Watching) -> Self {
        Self {
            placing: place_order::lanes(store.clone(), inventory.clone()),
            reading: find_orders::lanes(store.clone()),
            moving: move_order::lane(store.clone()),
            releasing: cancel_order::lane(inventory.clone()),
            watching: Arc::new(watching),
            store,
            inventory,
        }
    }
}

/// The outcome of an item that goes in a batch.
async fn submit<I, O, E>(
    batcher: &Batcher<I, Result<O, E>>,
    item: I,
    weight: usize,
) -> Result<O, Error>
where
    I: Send + 'static,
    O: Send + 'static,
    E: Into<Error> + Send + 'static,
{
    match batcher.submit(item, weight).await {
        Ok(outcome) => outcome.map_err(E::into),
        Err(Refused::Full) => Err(Error::Busy),
        Err(Refused::Lost) => Err(Error::Unknown),
    }
}
