//! The order service: what it keeps, and a replica of it. One file a use case, as in the service.

mod cancel_order;
mod follow;
mod move_order;
mod place_order;

use std::collections::BTreeMap;

pub use cancel_order::{Cancelling, Phase};
pub use follow::Follower;
pub use move_order::Moving;
pub use place_order::Lane;

use crate::{
    Wish,
    catalog::{Hold, Reservation},
    name::OrderId,
};

/// What the order service keeps.
pub type Orders = BTreeMap<OrderId, Order>;

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Order {
    /// Where it stands.
    pub status: Status,
    /// Its line.
    pub quantity: u8,
    /// What one cost.
    pub price: u8,
    /// The attempts that have moved it.
    pub moves: Vec<u8>,
}

/// ∅ → PENDING → SHIPPED → DELIVERED, PENDING → CANCELLING → CANCELLED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Placed.
    Pending,
    /// On its way.
    Shipped,
    /// With the buyer.
    Delivered,
    /// No longer wanted; its stock is not back yet, or not known to be.
    Cancelling,
    /// Its stock is back.
    Cancelled,
}

impl Status {
    /// Its stock is taken.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Shipped | Self::Delivered)
    }
}

/// A replica of the order service: what it has in memory, and loses when it dies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Replica {
    /// What the next batch will be made of.
    pub queue: Vec<Wish>,
    /// A lane that places orders.
    pub lane: Lane,
    /// A cancellation, or the resumption of one.
    pub cancelling: Option<Cancelling>,
    /// A move.
    pub moving: Option<Moving>,
    /// The follower.
    pub follower: Follower,
}

/// The order that a reservation promises, made from it and from nothing else.
fn pending(reservation: &Reservation) -> Option<Order> {
    (reservation.state == Hold::Held).then(|| Order {
        status: Status::Pending,
        quantity: reservation.quantity,
        price: reservation.price,
        moves: Vec::new(),
    })
}
