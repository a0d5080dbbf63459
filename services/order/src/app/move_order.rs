use orderflow_batch::{Batcher, Limits};
use orderflow_contract::{Id, time::now_ms};
use orderflow_identity::User;
use orderflow_mongo::Failure;

use super::{Orders, submit};
use crate::{
    domain::{Order, Status},
    error::Error,
    store::{Attempt, Made, Store},
};

/// How often a move is tried again because its outcome was unknown or another came first.
const ATTEMPTS: usize = 10;

/// One lane: while a batch is on its way the next one gathers. The weight is in lines: what a batch changes of days that have
/// ended must fit into one transaction, and into its time.
const LANE: Limits = Limits {
    name: "move",
    lanes: 1,
    queue: 2_048,
    items: 256,
    weight: 1_024,
};

pub(super) type Moving = Batcher<Attempt, Result<Made, Failure>>;

/// Starts the lane on which orders are moved.
pub(super) fn lane(store: Store) -> Moving {
    Batcher::start(LANE, move |attempts: Vec<Attempt>, _turn| {
        let store = store.clone();
        async move { store.make_moves(attempts, now_ms()).await }
    })
}

impl Orders {
    /// Moves an order on, to SHIPPED or DELIVERED. One that is there already is returned as it is.
    pub(crate) async fn move_order(&self, user: &User, id: Id, to: Status) -> Result<Order, Error> {
        let order = self.visible(user, id).await?;
        if !order.may_move(user) {
            return Err(Error::NotSellerOfAll);
        }
        self.step(order, to).await
    }

    /// The order, moved to `to` by this call or another one.
    pub(super) async fn step(&self, mut order: Order, to: Status) -> Result<Order, Error> {
        // The same for every attempt, so that it is known again whichever of them has arrived.
        let op_id = Id::random();
        for attempt in 0..ATTEMPTS {
            let Some(step) = order.status.to(to).map_err(Error::NoSuchMove)? else {
                return Ok(order);
            };
            let lines = order.lines.len();
            let sent = submit(&self.moving, Attempt { order, step, op_id }, lines).await;
            order = match sent {
                Ok(Made::Yes(order)) => return Ok(order),
                Ok(Made::No(order)) => order,
                // That nothing was sent is true of this attempt alone.
                Err(Error::Busy) if attempt > 0 => return Err(Error::Unknown),
                Err(error) => return Err(error),
            };
        }
        tracing::warn!(order = %order.id, %to, "an order could not be moved");
        Err(Error::Unknown)
    }
}
