//! Documents, queries and indexes.

mod indexes;
mod listing;
mod moves;
mod orders;
mod stats;

use mongodb::{Client, Collection, Database, error::Error};

pub(crate) use listing::{Listing, Order as ListOrder, Whose};
pub(crate) use moves::{Attempt, Made};
pub(crate) use stats::{DayRow, Sales};

const ORDERS: &str = "orders";

/// The collection of this service.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
    orders: Collection<orders::OrderDocument>,
}

impl Store {
    pub(crate) fn new(client: &Client, database: &str) -> Self {
        let database = client.database(database);
        Self {
            orders: database.collection(ORDERS),
            database,
        }
    }

    /// Creates what is missing.
    pub(crate) async fn prepare(&self) -> Result<(), Error> {
        orderflow_mongo::ensure_indexes(&self.orders, indexes::all()).await
    }

    pub(crate) async fn ping(&self) -> bool {
        orderflow_mongo::ping(&self.database).await
    }
}
