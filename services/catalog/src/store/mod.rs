//! Documents, queries and indexes.

mod journal;
mod ledger;
mod products;
mod reservations;

use mongodb::{Client, ClientSession, Collection, Database, bson::Document, error::Error};
use orderflow_mongo::{Failure, Transaction};

pub(crate) use journal::Entry;
pub(crate) use ledger::{First, Row};
pub(crate) use products::{Listing, Order, Position};
pub(crate) use reservations::{Known, Recorded, State};

/// The collections of this service.
#[derive(Clone)]
pub(crate) struct Store {
    client: Client,
    database: Database,
    products: Collection<products::ProductDocument>,
    ledger: Collection<Row>,
    reservations: Collection<Recorded>,
    journal: Collection<Entry>,
}

const PRODUCTS: &str = "products";
const RESERVATIONS: &str = "reservations";

impl Store {
    pub(crate) fn new(client: Client, database: &str) -> Self {
        let database = client.database(database);
        Self {
            products: database.collection(PRODUCTS),
            ledger: database.collection("ledger"),
            reservations: database.collection(RESERVATIONS),
            journal: database.collection("journal"),
            database,
            client,
        }
    }

    /// Creates what is missing. Collections too: a transaction that had to create one would conflict with every other.
    pub(crate) async fn prepare(&self) -> Result<(), Error> {
        let existing = self.database.list_collection_names().await?;
        for name in [PRODUCTS, "ledger", RESERVATIONS, "journal"] {
            if !existing.iter().any(|collection| collection == name) {
                match self.database.create_collection(name).await {
                    Err(error) if !already_exists(&error) => return Err(error),
                    _ => {}
                }
            }
        }
        orderflow_mongo::ensure_indexes(&self.products, products::indexes()).await?;
        orderflow_mongo::ensure_indexes(&self.ledger, ledger::indexes()).await
    }

    pub(crate) async fn ping(&self) -> bool {
        orderflow_mongo::ping(&self.database).await
    }

    pub(crate) async fn transaction(&self) -> Result<Transaction, Failure> {
        Transaction::new(&self.client).await
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

/// Another replica was faster.
fn already_exists(error: &Error) -> bool {
    const NAMESPACE_EXISTS: i32 = 48;
    matches!(error.kind.as_ref(), mongodb::error::ErrorKind::Command(e) if e.code == NAMESPACE_EXISTS)
}
