use std::time::Duration;

use mongodb::{
    Client, ClientSession,
    error::{
        Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
        WriteFailure,
    },
    options::{ReadConcern, TransactionOptions, WriteConcern},
};

/// How often a transaction is replayed because another got in its way, before it is given up.
const REPLAYS: usize = 200;
/// How often a commit is repeated whose outcome is unknown.
const COMMITS: usize = 20;

pub(crate) const WRITE_CONFLICT: i32 = 112;
pub(crate) const DUPLICATE_KEY: i32 = 11000;

/// Why a write did not happen, or may have.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another transaction got in the way; nothing was done.
    #[error("other writes got in the way")]
    Conflict,
    /// A key that shall be new is there already; nothing was done.
    #[error("a key is there already")]
    Duplicate,
    /// The server refused a statement, or it matched less than it must; nothing was done.
    #[error("a statement failed: {0}")]
    Rejected(String),
    /// MongoDB failed; within a transaction nothing was done, outside of one something may have been.
    #[error("MongoDB failed")]
    Mongo(#[source] Error),
    /// The transaction may or may not have been committed.
    #[error("the outcome of a commit is unknown")]
    Unknown(#[source] Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            return Self::Conflict;
        }
        match code(&error) {
            Some(WRITE_CONFLICT) => Self::Conflict,
            Some(DUPLICATE_KEY) => Self::Duplicate,
            _ => Self::Mongo(error),
        }
    }
}

/// The first code in an error that says why a write failed.
fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::InsertMany(error) => error.write_errors.as_ref()?.first().map(|e| e.code),
        _ => None,
    }
}

/// Runs `body` in a transaction until it is committed by a majority. `body` may run several times. A conflict replays at
/// once, or after 5 ms at most: with exponential back-off one of two replicas was seen to starve for half a second.
///
/// What `body` has read counts only once this returned `Ok`: a transaction that is not committed protects nothing.
pub async fn transaction<T>(
    client: &Client,
    mut body: impl AsyncFnMut(&mut ClientSession) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut session = client.start_session().await?;
    for replay in 0.. {
        let options = TransactionOptions::builder()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .build();
        session.start_transaction().with_options(options).await?;
        let failure = match body(&mut session).await {
            Ok(value) => match commit(&mut session).await {
                Ok(()) => return Ok(value),
                Err(failure) => failure,
            },
            Err(failure) => {
                // The server may have ended it already; either way it is over.
                let _ = session.abort_transaction().await;
                failure
            }
        };
        if !matches!(failure, Failure::Conflict) || replay == REPLAYS {
            return Err(failure);
        }
        if replay > 0 {
            tokio::time::sleep(Duration::from_micros(rand::random_range(0..5_000))).await;
        }
    }
    unreachable!("the loop ends by returning")
}

async fn commit(session: &mut ClientSession) -> Result<(), Failure> {
    let mut attempt = 1;
    loop {
        let Err(error) = session.commit_transaction().await else {
            return Ok(());
        };
        // Not committed, or it cannot be told: in both cases the keys in the replay decide.
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            return Err(Failure::Conflict);
        }
        if !error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) || attempt == COMMITS {
            return Err(Failure::Unknown(error));
        }
        attempt += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
