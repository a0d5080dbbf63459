use std::time::Duration;

use orderflow_batch::{Batcher, Limits, Turn};
use orderflow_contract::{Id, status};
use orderflow_faults::repeatable;
use orderflow_mongo::is_outage;
use tokio::time::{Instant, sleep};

use super::{Orders, submit};
use crate::{
    domain::{Order, Placement, Status},
    error::Error,
    inventory::{Inventory, Reservation, Reserved},
    steps::Step,
    store::Store,
};

/// While one writes its orders, another one is decided, and a third may stand ready. The weight is in lines: a batch must fit
/// into one transaction of the catalog, and into its time.
const LANES: Limits = Limits {
    name: "place",
    lanes: 3,
    queue: 2_048,
    items: 256,
    weight: 1_024,
};

/// How long writing orders is tried again while MongoDB is out of reach. After that the callers get "unknown".
const WRITING: Duration = Duration::from_secs(10);

/// So many orders, or more, may already wait at the catalog while those before them are decided there; fewer may when they are no
/// fewer than those before. The catalog need not wait for them then, and decides what stands ready, of all replicas, as one.
/// Still smaller batches would cost more than that saves: whatever its size, one costs as much as ten orders or so.
const WORTH_A_BATCH: usize = 64;

type Placed = Result<Order, Error>;

impl Orders {
    /// Places an order, together with all others that have come in meanwhile. Once its stock is reserved the order will exist,
    /// whatever happens here; so nothing is ever given back on the way.
    pub(crate) async fn place_order(&self, placement: Placement) -> Placed {
        let lines = placement.lines.len();
        submit(&self.placing, placement, lines).await
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
    let reserve = repeatable(Step::PlaceReserve, || inventory.reserve(&placements));
    let reserved = turn.during(reserve, WORTH_A_BATCH).await;
    let Ok(reserved) = reserved else {
        return placements.iter().map(|_| Err(Error::NoAnswer)).collect();
    };

    let promised = |outcome: &Reserved| match outcome {
        Reserved::Yes(reservation) => pending(reservation),
        Reserved::Refused(_) | Reserved::LinesDiffer | Reserved::Undecided => None,
    };
    let to_write: Vec<_> = reserved.iter().filter_map(promised).collect();
    let written = match repeatable(Step::PlaceWrite, || write(&store, &to_write)).await {
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
    let mut placed = Vec::with_capacity(reserved.len());
    for outcome in reserved {
        placed.push(match outcome {
            Reserved::Yes(reservation) if reservation.is_released => {
                released(&store, reservation.order_id).await
            }
            Reserved::Yes(reservation) => {
                let id = reservation.order_id;
                let order = written.iter().find(|order| order.id == id);
                order.cloned().ok_or(Error::Unknown)
            }
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

/// Writes orders, or finds them as others have written them: as they are now, acknowledged by a majority. What is left out is
/// there, but could not be seen or read in time.
pub(super) async fn write(
    store: &Store,
    orders: &[Order],
) -> Result<Vec<Order>, mongodb::error::Error> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let until = Instant::now() + WRITING;
    let there_already = loop {
        match repeatable(Step::InsertOrders, || store.insert_orders(orders)).await {
            Ok(there_already) => break there_already,
            // The outcome is unknown. The same insert again tells.
            Err(error) if is_outage(&error) && Instant::now() < until => {
                tracing::warn!(%error, orders = orders.len(), "orders could not be written, trying again");
                sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error),
        }
    };
    if there_already.is_empty() {
        return Ok(orders.to_vec());
    }
    let ids: Vec<_> = there_already.iter().map(|i| orders[*i].id).collect();
    let is_new = |(i, _): &(usize, &Order)| !there_already.contains(i);
    let new = orders
        .iter()
        .enumerate()
        .filter(is_new)
        .map(|(_, order)| order.clone());
    let mut written: Vec<_> = new.collect();
    // A duplicate counts only once a majority has seen what it met, so these are read as a majority knows them.
    written.extend(store.orders(&ids).await?);
    Ok(written)
}

/// The order of a reservation whose stock was given back: cancelled, or about to be.
async fn released(store: &Store, id: Id) -> Placed {
    store.order(id).await?.ok_or(Error::Inconsistent)
}
