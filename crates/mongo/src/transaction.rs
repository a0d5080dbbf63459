use std::time::Duration;

use mongodb::{
    Client, ClientSession,
    error::{
        Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
        WriteFailure,
    },
    options::{ReadConcern, TransactionOptions},
};

use tokio::time::{Instant, sleep};

/// How long a transaction is replayed because another got in its way, before it is given up: within what callers wait.
const REPLAYING: Duration = Duration::from_millis(1_500);
/// How often a commit is repeated whose outcome is unknown.
const COMMITS: usize = 6;

pub(crate) const WRITE_CONFLICT: i32 = 112;
pub(crate) const DUPLICATE_KEY: i32 = 11000;

/// Why a write did not happen, or may have.
#[derive(Debug, Clone, thiserror::Error)]
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

impl Failure {
    /// True if one statement may have failed for reasons of its own: without it the others may succeed.
    pub fn is_of_one_statement(&self) -> bool {
        match self {
            Self::Rejected(_) => true,
            Self::Mongo(error) => !crate::is_outage(error),
            Self::Conflict | Self::Duplicate | Self::Unknown(_) => false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // To the driver this one is transient as well. But to replay it is to wait, with everything that waits behind.
        let is_out_of_reach = matches!(error.kind.as_ref(), ErrorKind::ServerSelection { .. });
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) && !is_out_of_reach {
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

/// Attempts at a transaction, until one is committed by a majority or it is known that none will be. A conflict replays at
/// once, or after 5 ms at most: with exponential back-off one of two replicas was seen to starve for half a second.
///
/// What an attempt has read counts only once it is committed: a transaction that is not protects nothing.
///
/// ```ignore
/// let mut transaction = Transaction::new(&client).await?;
/// loop {
///     let attempt = body(transaction.start().await?).await;
///     if let Some(result) = transaction.end(attempt).await {
///         return result;
///     }
/// }
/// ```
pub struct Transaction {
    session: ClientSession,
    began: Instant,
    replays: usize,
}

impl Transaction {
    /// A transaction that has not begun.
    pub async fn new(client: &Client) -> Result<Self, Failure> {
        Ok(Self {
            session: client.start_session().await?,
            began: Instant::now(),
            replays: 0,
        })
    }

    /// Begins an attempt.
    pub async fn start(&mut self) -> Result<&mut ClientSession, Failure> {
        if self.replays > 1 {
            sleep(Duration::from_micros(rand::random_range(0..5_000))).await;
        }
        let options = TransactionOptions::builder()
            .read_concern(ReadConcern::snapshot())
            .write_concern(crate::acknowledged_by_majority())
            .build();
        self.session
            .start_transaction()
            .with_options(options)
            .await?;
        Ok(&mut self.session)
    }

    /// Ends an attempt. `None` asks for another one.
    pub async fn end<T>(&mut self, attempt: Result<T, Failure>) -> Option<Result<T, Failure>> {
        let result = match attempt {
            Ok(value) => commit(&mut self.session).await.map(|()| value),
            // Nobody there to tell; the server ends it by itself.
            Err(Failure::Mongo(error)) if crate::is_outage(&error) => Err(Failure::Mongo(error)),
            Err(failure) => {
                // The server may have ended it already; either way it is over.
                let _ = self.session.abort_transaction().await;
                Err(failure)
            }
        };
        if matches!(result, Err(Failure::Conflict)) && self.began.elapsed() < REPLAYING {
            self.replays += 1;
            return None;
        }
        Some(result)
    }
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
        sleep(Duration::from_millis(50)).await;
    }
}
