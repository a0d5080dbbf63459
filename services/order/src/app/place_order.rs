use std::time::Duration;

use orderflow_batch::{Batcher, Limits, Refused, Turn};
use orderflow_contract::{Id, status};
use orderflow_mongo::is_outage;
use tokio::time::{Instant, sleep};

use super::Orders;
use crate::{
    domain::{Order, Placement, Status},
    error::Error,
    inventory::{Inventory, Reservation, Reserved},
    store::Store,
};

/// Two lanes: while one writes its orders, the other reserves. More of them would make smaller batches. The weight is in lines:
/// a batch must fit into one transaction of the catalog, and into its time.
const LANES: Limits = Limits {
    lanes: 2,
    queue: 2_048,
    items: 256,
    weight: 1_024,
};

/// How long writing orders is tried again while MongoDB is out of reach. After that the callers get "unknown".
const WRITING: Duration = Duration::from_secs(10);

type Placed = Result<Order, Error>;

impl Orders {
    /// Places an order, together with all others that have come in meanwhile. Once its stock is reserved the order will exist,
    /// whatever happens here; so nothing is ever given back on the way.
    pub(crate) async fn place_order(&self, placement: Placement) -> Placed {
        let lines = placement.lines.len();
        self.placing
            .submit(placement, lines)
            .await
            .map_err(|refused| match refused {
                Refused::Full => Error::Busy,
                Refused::Lost => Error::Unknown,
            })?
    }
}

/// Starts the lanes on which orders are placed.
pub(super) fn lanes(store: Store, inventory: Inventory) -> Batcher<Placement, Placed> {
    Batcher::start(LANES, move |placements, turn| {
        place(store.clone(), inventory.clone(), placements, turn)
    })
}

/// Stock first, then the orders themselves. The outcomes are in the order of the placements.
async fn place(
    store: Store,
    inventory: Inventory,
    placements: Vec<Placement>,
    turn: Turn<Placement, Placed>,
) -> Vec<Placed> {
    let reserved = inventory.reserve(&placements).await;
    drop(turn);
    let Ok(reserved) = reserved else {
        return placements.iter().map(|_| Err(Error::NoAnswer)).collect();
    };

    let promised = |outcome: &Reserved| match outcome {
        Reserved::Yes(reservation) => pending(reservation),
        Reserved::Refused(_) | Reserved::LinesDiffer | Reserved::Undecided => None,
    };
    let to_write: Vec<_> = reserved.iter().filter_map(promised).collect();
    let written = match write(&store, &to_write).await {
        Ok(written) => written,
        Err(error) => {
            let cause = status::chain(&error);
            tracing::error!(
                cause,
                orders = to_write.len(),
                "orders are left to be written later"
            );
            Vec::new()
        }
    };
    let mut written = written.into_iter();
    let mut placed = Vec::with_capacity(reserved.len());
    for outcome in reserved {
        placed.push(match outcome {
            Reserved::Yes(reservation) if reservation.is_released => {
                released(&store, reservation.order_id).await
            }
            Reserved::Yes(_) => written.next().ok_or(Error::Unknown),
            Reserved::Refused(lines) => Err(Error::Refused(lines)),
            Reserved::LinesDiffer => Err(Error::RequestIdReused),
            Reserved::Undecided => Err(Error::Unknown),
        });
    }
    placed
}

/// The order that a reservation promises, made from it and from nothing else: whoever writes it writes the same. `None` where
/// there is none to write.
pub(super) fn pending(reservation: &Reservation) -> Option<Order> {
    let Reservation {
        order_id,
        user_id,
        request_id,
        lines,
        total,
        create_time_ms,
        // Its order exists, and to write it anew would bring it back to life.
        is_released: false,
    } = reservation.clone()
    else {
        return None;
    };
    Some(Order {
        id: order_id,
        user_id,
        request_id,
        lines,
        currency: total.currency,
        total: total.minor_units,
        status: Status::Pending,
        create_time_ms,
        update_time_ms: create_time_ms,
    })
}

/// Writes orders, or finds them as others have written them: the same orders as they are now, acknowledged by a majority.
pub(super) async fn write(
    store: &Store,
    orders: &[Order],
) -> Result<Vec<Order>, mongodb::error::Error> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let until = Instant::now() + WRITING;
    loop {
        match write_once(store, orders).await {
            Ok(Some(written)) => return Ok(written),
            Ok(None) if Instant::now() > until => return Ok(Vec::new()),
            // There already, but not yet for a majority. The same insert again tells.
            Ok(None) => {}
            // The outcome is unknown, and the same insert again tells.
            Err(error) if is_outage(&error) && Instant::now() < until => {
                tracing::warn!(%error, orders = orders.len(), "orders could not be written, trying again");
            }
            Err(error) => return Err(error),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// `None` if some are there but cannot be seen yet.
async fn write_once(
    store: &Store,
    orders: &[Order],
) -> Result<Option<Vec<Order>>, mongodb::error::Error> {
    let mut now = orders.to_vec();
    let there_already = store.insert_orders(orders).await?;
    if there_already.is_empty() {
        return Ok(Some(now));
    }
    let ids: Vec<_> = there_already.iter().map(|i| orders[*i].id).collect();
    let found = store.orders(&ids).await?;
    for i in there_already {
        match found.iter().find(|order| order.id == orders[i].id) {
            Some(order) => now[i].clone_from(order),
            None => return Ok(None),
        }
    }
    Ok(Some(now))
}

/// The order of a reservation whose stock was given back: cancelled, or about to be.
async fn released(store: &Store, id: Id) -> Placed {
    store.order(id).await?.ok_or(Error::Inconsistent)
}
