//! What the same MongoDB does without OrderFlow: one insert, or one look-up, for each call.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use mongodb::{
    Client, Collection, Database,
    bson::{DateTime, Document, doc},
    error::Error,
    options::{Acknowledgment, ClientOptions, CollectionOptions, ReadConcern, WriteConcern},
};
use orderflow_contract::Id;
use orderflow_mongo::BadUrl;

use super::load;

/// A client with a connection for each of so many callers.
pub(super) async fn connect(url: &str, callers: usize) -> Result<Client, BadUrl> {
    // What the driver says of it may quote it, with its password.
    let mut options = ClientOptions::parse(url).await.map_err(|_| BadUrl)?;
    options.app_name = Some("orderflow-bench".to_owned());
    options.max_pool_size = u32::try_from(callers.max(10)).ok();
    options.server_selection_timeout = Some(Duration::from_secs(5));
    Client::with_options(options).map_err(|_| BadUrl)
}

/// Inserts equal documents under equal indexes, each acknowledged by a majority.
pub(super) struct Inserts {
    collection: Collection<Document>,
    sample: Arc<Document>,
}

impl Inserts {
    /// A new collection, made after the one that `order` stands in.
    pub(super) async fn like(
        client: &Client,
        orders: &Database,
        order: Id,
        database: &str,
    ) -> Result<Self, Error> {
        let original = orders.collection::<Document>("orders");
        let sample = original.find_one(doc! { "_id": order.to_string() }).await?;
        let majority = WriteConcern::builder().w(Acknowledgment::Majority).build();
        let options = CollectionOptions::builder().write_concern(majority).build();
        let collection = client
            .database(database)
            .collection_with_options("orders", options);
        collection.drop().await?;
        let indexes: Vec<_> = original.list_indexes().await?.try_collect().await?;
        let secondary = indexes
            .into_iter()
            .filter(|index| index.keys != doc! { "_id": 1 });
        collection.create_indexes(secondary).await?;
        Ok(Self {
            collection,
            sample: Arc::new(sample.unwrap_or_default()),
        })
    }

    pub(super) fn clients(&self, number: usize) -> Vec<InsertClient> {
        let client = |_| InsertClient {
            collection: self.collection.clone(),
            sample: self.sample.clone(),
            user_id: Id::random(),
        };
        (0..number).map(client).collect()
    }
}

pub(super) struct InsertClient {
    collection: Collection<Document>,
    sample: Arc<Document>,
    user_id: Id,
}

impl load::Client for InsertClient {
    async fn call(&mut self) -> Result<(), String> {
        let mut document = (*self.sample).clone();
        let now = DateTime::now();
        document.insert("_id", Id::random().to_string());
        document.insert("user_id", self.user_id.to_string());
        document.insert("request_id", Id::random().to_string());
        document.insert("create_time", now);
        document.insert("update_time", now);
        let inserted = self.collection.insert_one(document).await;
        inserted.map(drop).map_err(|error| error.kind.to_string())
    }
}

/// Looks products up, as a majority knows them.
pub(super) struct FindClient {
    collection: Collection<Document>,
    ids: Arc<[String]>,
}

/// Clients that look up one of the first `among` products at a time.
pub(super) fn find_clients(
    products: &Database,
    ids: &[String],
    among: usize,
    number: usize,
) -> Vec<FindClient> {
    let options = CollectionOptions::builder()
        .read_concern(ReadConcern::majority())
        .build();
    let collection = products.collection_with_options("products", options);
    let ids: Arc<[String]> = ids[..among.min(ids.len())].into();
    let client = |_| FindClient {
        collection: collection.clone(),
        ids: ids.clone(),
    };
    (0..number).map(client).collect()
}

impl load::Client for FindClient {
    async fn call(&mut self) -> Result<(), String> {
        let id = &self.ids[rand::random_range(0..self.ids.len())];
        let found = self.collection.find_one(doc! { "_id": id }).await;
        found.map(drop).map_err(|error| error.kind.to_string())
    }
}
