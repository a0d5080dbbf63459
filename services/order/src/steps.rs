use std::io;

use crate::{error::Error, inventory::NoAnswer};

orderflow_faults::steps! { "order":
    /// A call of CreateOrder.
    Place,
    /// The catalog is asked for the stock of a batch.
    PlaceReserve: repeatable,
    /// The orders that it has promised are written, or found.
    PlaceWrite: repeatable,
    /// Orders of today are inserted, by whomever.
    InsertOrders: repeatable,
    /// Orders of days that have ended are inserted.
    InsertLate: repeatable,
    /// In that transaction the days get new versions.
    InsertLateDays,
    /// In that transaction the orders are inserted.
    InsertLateOrders,

    /// The follower reads a page of the journal.
    FollowList,
    /// It reads the reservations of those that do not.
    FollowRead,
    /// It writes them.
    FollowWrite: repeatable,
    /// It strikes entries out.
    FollowSettle: repeatable,
    /// It takes up a cancellation that was left half-way.
    FollowCancel: repeatable,

    /// A call of CancelOrder.
    Cancel,
    /// PENDING becomes CANCELLING.
    CancelClaim: repeatable,
    /// The catalog is asked to take the stock of a batch back.
    CancelRelease: repeatable,
    /// CANCELLING becomes CANCELLED.
    CancelFinish: repeatable,

    /// A call of UpdateOrderStatus.
    Move,
    /// A batch of moves is made.
    MoveOrders: repeatable,
    /// Orders are taken out of days that have ended.
    MoveLate: repeatable,
    /// In that transaction the days get new versions.
    MoveLateDays,
    /// In that transaction the orders are moved.
    MoveLateOrders,

    /// What was counted of days that are over is kept.
    KeepCounted: repeatable,
}

impl From<io::Error> for NoAnswer {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<io::Error> for Error {
    fn from(_: io::Error) -> Self {
        Self::Unknown
    }
}
