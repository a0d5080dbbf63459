//! Documents, queries and indexes.

mod journal;
mod ledger;
mod listing;
mod products;
mod reservations;

use std::{sync::Arc, time::Duration};

use mongodb::{Client, ClientSession, Collection, Database, bson::Document, error::Error};
use orderflow_mongo::{Failure, Transaction, Transactions};

pub(crate) use journal::Entry;
pub(crate) use ledger::{First, Row};
pub(crate) use listing::{Listing, Order, Position};
pub(crate) use reservations::{Known, Recorded, State};

/// The collections of this service.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
    transactions: Arc<Transactions>,
    products: Collection<products::ProductDocument>,
    ledger: Collection<Row>,
    reservations: Collection<Recorded>,
}

const PRODUCTS: &str = "products";
const LEDGER: &str = "ledger";
const RESERVATIONS: &str = "reservations";

impl Store {
    pub(crate) fn new(client: &Client, database: &str) -> Self {
        let database = client.database(database);
        Self {
            products: database.collection(PRODUCTS),
            ledger: database.collection(LEDGER),
            reservations: database.collection(RESERVATIONS),
            transactions: Arc::new(Transactions::new(database.collection("sessions"))),
            database,
        }
    }

    /// Creates what is missing.
    pub(crate) async fn prepare(&self) -> Result<(), Error> {
        // First, for whatever a killed replica has left open may be in the way of the rest.
        self.transactions.prepare().await?;
        let names = [PRODUCTS, LEDGER, RESERVATIONS];
        orderflow_mongo::ensure_collections(&self.database, &names).await?;
        orderflow_mongo::ensure_indexes(&self.products, products::indexes()).await?;
        orderflow_mongo::ensure_indexes(&self.ledger, ledger::indexes()).await
    }

    pub(crate) async fn ping(&self) -> bool {
        orderflow_mongo::ping(&self.database).await
    }

    /// A transaction, once those before it are over: on a hot product two at a time would only get in each other's way.
    pub(crate) async fn transaction(&self, patience: Duration) -> Result<Transaction<'_>, Failure> {
        self.transactions.begin(patience).await
    }

    async fn update(
        &self,
        session: &mut ClientSession,
        collection: &str,
        statements: Vec<Document>,
        expected: usize,
    ) -> Result<(), Failure> {
        orderflow_mongo::update(&self.database, session, collection, statements, expected).await
    }
}
