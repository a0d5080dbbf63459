use mongodb::bson::oid::ObjectId;
use orderflow_contract::Id;

use super::records::{State, Status};

/// Something that must not be, with the invariant that it breaks: I1 to I7, as docs/ARCHITECTURE.md lists them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// There is less than nothing of a product.
    #[error("I1 product {product}: its stock is {stock}")]
    NegativeStock {
        /// Which product.
        product: Id,
        /// What it has.
        stock: i64,
    },
    /// Stock came or went without a reason on record.
    #[error(
        "I2 product {product}: the ledger gave it {ledger}, but {stock} in stock and {held} held are {}",
        i128::from(*.stock) + .held
    )]
    Unbalanced {
        /// Which product.
        product: Id,
        /// The sum of its ledger, the first stock with it.
        ledger: i128,
        /// What it has.
        stock: i64,
        /// What reservations hold.
        held: i128,
    },
    /// The ledger or a reservation names a product that does not exist. Products are never deleted.
    #[error(
        "I2 product {product}: it does not exist, but the ledger gave it {ledger} and {held} are held"
    )]
    NoProduct {
        /// Which product.
        product: String,
        /// The sum of its ledger.
        ledger: i128,
        /// What reservations hold.
        held: i128,
    },
    /// An order that was acknowledged is not there.
    #[error("I3 order {order}: it was acknowledged and does not exist")]
    Lost {
        /// Which order.
        order: Id,
    },
    /// Only an order that exists can be cancelled, and orders are never deleted.
    #[error(
        "I3 order {order}: its stock was given back, as for a cancelled order, and it does not exist"
    )]
    ReleasedWithoutOrder {
        /// Which order.
        order: Id,
    },
    /// Its id is not the one that its buyer and request id give, so that these may have another order.
    #[error("I4 order {order}: its buyer and its request id belong to order {expected}")]
    MisnamedOrder {
        /// Which order.
        order: Id,
        /// What it must be called.
        expected: Id,
    },
    /// Nobody will ever write the order that the reservation promises.
    #[error("I5 order {order}: its stock is held, but it neither exists nor stands in the journal")]
    Forgotten {
        /// Which order.
        order: Id,
    },
    /// The order that the reservation promises is not written in time.
    #[error(
        "I5 order {order}: its stock is held and it stands in the journal, but it still does not exist"
    )]
    Unwritten {
        /// Which order.
        order: Id,
    },
    /// A cancellation does not come to its end in time.
    #[error("I5 order {order}: it still stands in CANCELLING")]
    StuckInCancelling {
        /// Which order.
        order: Id,
    },
    /// An entry of the journal is not settled in time.
    #[error("I5 entry {entry} of the journal: it is still not settled")]
    Unsettled {
        /// Which entry.
        entry: ObjectId,
    },
    /// An order that the catalog knows nothing about.
    #[error("I6 order {order}: it has no reservation")]
    WithoutReservation {
        /// Which order.
        order: Id,
    },
    /// An order and its reservation contradict each other.
    #[error("I6 order {order}: it is {status:?}, but its reservation is {state:?}")]
    AtOdds {
        /// Which order.
        order: Id,
        /// Where it stands.
        status: Status,
        /// Where its reservation stands.
        state: State,
    },
    /// An order is not what was reserved.
    #[error("I6 order {order}: it differs from its reservation in {}", .fields.join(", "))]
    Unlike {
        /// Which order.
        order: Id,
        /// In what.
        fields: Vec<&'static str>,
    },
    /// The lines of an order do not add up.
    #[error("I6 order {order}: its lines add up to {lines}, its total is {total}")]
    WrongTotal {
        /// Which order.
        order: Id,
        /// What the lines add up to.
        lines: i128,
        /// What the order says.
        total: i64,
    },
    /// Somebody was told that there is no order, and there is.
    #[error("I7 order {order}: it was refused and exists")]
    RefusedAndMade {
        /// Which order.
        order: Id,
    },
    /// Every attempt ended in a definite error, and one of them has made something.
    #[error("I7 order {order}: whoever asked for it got nothing but definite errors, and {made}")]
    MadeDespiteError {
        /// Which order.
        order: Id,
        /// What there is.
        made: &'static str,
    },
    /// Nothing can be said about a document.
    #[error("unreadable document {id} in {collection}: {problem}")]
    Unreadable {
        /// Where it is.
        collection: &'static str,
        /// Its `_id`.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Violation {
    /// The order or the product that it is about, if it is about one that can be named.
    pub fn subject(&self) -> Option<Id> {
        match self {
            Self::NegativeStock { product, .. } | Self::Unbalanced { product, .. } => {
                Some(*product)
            }
            Self::Lost { order }
            | Self::ReleasedWithoutOrder { order }
            | Self::MisnamedOrder { order, .. }
            | Self::Forgotten { order }
            | Self::Unwritten { order }
            | Self::StuckInCancelling { order }
            | Self::WithoutReservation { order }
            | Self::AtOdds { order, .. }
            | Self::Unlike { order, .. }
            | Self::WrongTotal { order, .. }
            | Self::RefusedAndMade { order }
            | Self::MadeDespiteError { order, .. } => Some(*order),
            Self::NoProduct { .. } | Self::Unsettled { .. } | Self::Unreadable { .. } => None,
        }
    }
}
