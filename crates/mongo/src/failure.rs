use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, WriteFailure};

pub(crate) const WRITE_CONFLICT: i32 = 112;
pub(crate) const DUPLICATE_KEY: i32 = 11000;
pub(crate) const INTERRUPTED: i32 = 11601;

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

impl From<std::io::Error> for Failure {
    /// Nobody answered.
    fn from(error: std::io::Error) -> Self {
        Self::Unknown(error.into())
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
pub(crate) fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::InsertMany(error) => error.write_errors.as_ref()?.first().map(|e| e.code),
        _ => None,
    }
}
