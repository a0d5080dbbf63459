//! What the audit reads of each document. Declared here once more, rather than taken from the services: who checks them must
//! not share their mistakes.

use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};
use orderflow_contract::Id;
use serde::Deserialize;

pub(super) const PRODUCTS: &str = "products";
pub(super) const LEDGER: &str = "ledger";
pub(super) const RESERVATIONS: &str = "reservations";
pub(super) const ORDERS: &str = "orders";

/// What the catalog has decided about an order.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Reservation {
    #[serde(rename = "_id")]
    pub(super) order: Id,
    pub(super) user_id: Id,
    pub(super) request_id: Option<String>,
    pub(super) state: State,
    #[serde(default)]
    pub(super) lines: Vec<Line>,
    pub(super) total: Option<Money>,
}

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Its stock is taken.
    Held,
    /// Its stock was given back.
    Released,
    /// It took nothing.
    Refused,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Order {
    #[serde(rename = "_id")]
    pub(super) id: Id,
    pub(super) user_id: Id,
    pub(super) request_id: Option<String>,
    pub(super) lines: Vec<Line>,
    pub(super) currency: String,
    pub(super) total: i64,
    pub(super) status: Status,
    pub(super) update_time: DateTime,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Placed.
    Pending,
    /// On its way.
    Shipped,
    /// There.
    Delivered,
    /// Between PENDING and CANCELLED.
    Cancelling,
    /// Cancelled.
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Line {
    pub(super) product_id: Id,
    pub(super) product_name: String,
    pub(super) seller_id: Id,
    pub(super) quantity: i64,
    pub(super) unit_price: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Money {
    pub(super) currency: String,
    pub(super) minor_units: i64,
}

/// Orders that are owed until each of them was seen.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "_id")]
    pub(super) id: ObjectId,
    pub(super) orders: Vec<Id>,
}

/// Which documents among the reservations are entries of the journal: those with ids of this kind.
pub(super) fn is_entry() -> Document {
    doc! { "_id": { "$type": "objectId" } }
}

/// Nothing but the id of an entry.
#[derive(Debug, Deserialize)]
pub(super) struct EntryKey {
    #[serde(rename = "_id")]
    pub(super) id: ObjectId,
}

#[derive(Debug, Deserialize)]
pub(super) struct Product {
    pub(super) stock: i64,
}

/// A change of a product's stock from outside of orders.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub(super) delta: i64,
}

/// What all HELD reservations together hold of a product.
#[derive(Debug, Deserialize)]
pub(super) struct Held {
    pub(super) quantity: i64,
}

/// Nothing but the id of an order or a reservation.
#[derive(Debug, Deserialize)]
pub(super) struct Key {
    #[serde(rename = "_id")]
    pub(super) id: Id,
}
