#![doc = include_str!("../README.md")]

mod transaction;
mod write;

use std::time::Duration;

use mongodb::{
    Client, Collection, Database, IndexModel,
    bson::{DateTime, doc},
    options::{ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern},
};

pub use transaction::{Failure, transaction};
pub use write::{insert, update};

/// How long an operation looks for a server that can serve it before it fails.
const SERVER_SELECTION: Duration = Duration::from_secs(3);
/// How long a write waits to be acknowledged by a majority before its outcome is called unknown.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);

/// Connects lazily: the URL is checked now, the server is looked for when first needed.
///
/// The error never quotes the URL, which may hold a password.
pub async fn connect(url: &str, app_name: &str) -> Result<Client, mongodb::error::Error> {
    let mut options = ClientOptions::parse(url).await?;
    options.app_name = Some(app_name.to_owned());
    options.max_pool_size = Some(64);
    options.server_selection_timeout = Some(SERVER_SELECTION);
    options.connect_timeout = Some(Duration::from_secs(2));
    // Nothing is answered or done because of data that a failover could take back.
    options.read_concern = Some(ReadConcern::majority());
    options.write_concern = Some(
        WriteConcern::builder()
            .w(mongodb::options::Acknowledgment::Majority)
            .w_timeout(ACKNOWLEDGE)
            .build(),
    );
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    Client::with_options(options)
}

/// True if the primary answers within a second.
pub async fn ping(database: &Database) -> bool {
    let ping = async { database.run_command(doc! { "ping": 1 }).await.is_ok() };
    tokio::time::timeout(Duration::from_secs(1), ping)
        .await
        .unwrap_or(false)
}

/// Makes sure that the indexes exist.
pub async fn ensure_indexes<T: Send + Sync>(
    collection: &Collection<T>,
    indexes: impl IntoIterator<Item = IndexModel>,
) -> Result<(), mongodb::error::Error> {
    collection.create_indexes(indexes).await.map(drop)
}

/// Repeats `attempt` until it succeeds: for what a service needs at its start, when MongoDB may not be there yet.
pub async fn until_ok(what: &str, attempt: impl AsyncFn() -> Result<(), mongodb::error::Error>) {
    while let Err(error) = attempt().await {
        tracing::warn!(%error, "{what} failed, trying again");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Now, as MongoDB keeps it: in milliseconds.
pub fn now() -> DateTime {
    DateTime::now()
}
