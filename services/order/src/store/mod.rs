//! Documents, queries and indexes.

mod changes;
mod indexes;
mod late;
mod listing;
mod months;
mod moves;
mod orders;
mod stats;

use std::sync::Arc;

use mongodb::{Client, Collection, Database, bson::Document, error::Error};
use orderflow_mongo::Transactions;

pub(crate) use changes::{Change, Changes, Position};
pub(crate) use listing::{Listing, Order as ListOrder, Whose};
pub(crate) use moves::{Attempt, Made};
pub(crate) use stats::{Row, Sales};

const ORDERS: &str = "orders";
const MONTHS: &str = "order_stats";

/// The collections of this service.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
    orders: Collection<orders::OrderDocument>,
    months: Collection<Document>,
    transactions: Arc<Transactions>,
}

impl Store {
    pub(crate) fn new(client: &Client, database: &str) -> Self {
        let database = client.database(database);
        Self {
            orders: database.collection(ORDERS),
            months: database.collection(MONTHS),
            transactions: Arc::new(Transactions::new(database.collection("sessions"))),
            database,
        }
    }

    /// Creates what is missing.
    pub(crate) async fn prepare(&self) -> Result<(), Error> {
        // First, for whatever a killed replica has left open may be in the way of the rest.
        self.transactions.prepare().await?;
        orderflow_mongo::ensure_collections(&self.database, &[ORDERS, MONTHS]).await?;
        orderflow_mongo::ensure_indexes(&self.orders, indexes::all()).await
    }

    pub(crate) async fn ping(&self) -> bool {
        orderflow_mongo::ping(&self.database).await
    }
}
