//! The rules, without I/O.

mod day;
mod order;
mod placement;
mod status;

pub(crate) use day::Day;
pub(crate) use order::{Line, Order, Part};
pub(crate) use placement::{MAX_LINES, Placement, PlacementLine, merge};
pub(crate) use status::{Move, NoSuchMove, Status};

use serde::{Deserialize, Serialize};

/// An amount in the smallest unit of a currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Money {
    pub(crate) currency: String,
    pub(crate) minor_units: i64,
}
