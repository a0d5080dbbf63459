#![doc = include_str!("../README.md")]

mod collections;
mod failure;
mod find;
pub mod keyset;
mod max_time;
mod transaction;
mod update_each;
mod write;

use std::time::Duration;

use mongodb::{
    Client, Collection, Database, IndexModel,
    bson::doc,
    options::{ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern},
};

pub use collections::ensure_collections;
pub use failure::Failure;
pub use find::find_by_ids;
pub use max_time::{is_over_time, max_time};
pub use transaction::{Transaction, Transactions};
pub use update_each::update_each;
pub use write::{insert, update};

/// How long an operation looks for a server that can serve it before it fails.
const SERVER_SELECTION: Duration = Duration::from_secs(3);
/// How long a write waits to be acknowledged by a majority before its outcome is called unknown.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);

/// A text that is no connection string, or one whose DNS records were not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be mongodb://… or mongodb+srv://…, with options that exist and a name that can be resolved"
)]
pub struct BadUrl;

/// Connects lazily: the URL is checked now, the server is looked for when first needed.
///
/// The error never quotes the URL, which may hold a password; nor does it show the driver's, which may.
pub async fn connect(url: &str, app_name: &str) -> Result<Client, BadUrl> {
    let mut options = ClientOptions::parse(url).await.map_err(|_| BadUrl)?;
    options.app_name = Some(app_name.to_owned());
    options.max_pool_size = Some(64);
    options.server_selection_timeout = Some(SERVER_SELECTION);
    options.connect_timeout = Some(Duration::from_secs(2));
    // Nothing is answered or done because of data that a failover could take back.
    options.read_concern = Some(ReadConcern::majority());
    options.write_concern = Some(acknowledged_by_majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    Client::with_options(options).map_err(|_| BadUrl)
}

fn acknowledged_by_majority() -> WriteConcern {
    WriteConcern::builder()
        .w(mongodb::options::Acknowledgment::Majority)
        .w_timeout(ACKNOWLEDGE)
        .build()
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
pub async fn until_ok<F>(what: &str, attempt: impl Fn() -> F)
where
    F: Future<Output = Result<(), mongodb::error::Error>>,
{
    while let Err(error) = attempt().await {
        tracing::warn!(%error, "{what} failed, trying again");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// True for an error that says nothing about the request: MongoDB was out of reach, changed its primary, did not answer in
/// time, had no space left or was told to stop. A write that ended so may have happened.
pub fn is_outage(error: &mongodb::error::Error) -> bool {
    use mongodb::error::{ErrorKind, RETRYABLE_WRITE_ERROR, WriteFailure};
    error.contains_label(RETRYABLE_WRITE_ERROR)
        || match error.kind.as_ref() {
            ErrorKind::Io(_)
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => true,
            ErrorKind::InsertMany(error) => error.write_concern_error.is_some(),
            // NotWritablePrimary, shutdowns, step-downs, elapsed time limits, operations ended from outside, no space on the disk.
            ErrorKind::Command(error) => {
                matches!(
                    error.code,
                    6 | 7
                        | 50
                        | 64
                        | 89
                        | 91
                        | 189
                        | 262
                        | 9001
                        | 10107
                        | 11600
                        | 11601
                        | 11602
                        | 13435
                        | 13436
                        | 14031
                )
            }
            _ => false,
        }
}
