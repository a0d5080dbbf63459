use orderflow_batch::Refused;
use orderflow_contract::{Invalid, deadline, status};
use orderflow_mongo::{Failure, is_outage, is_over_time};
use tonic::{Code, Status};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the request is not valid")]
    Invalid(Invalid),
    #[error("no such product")]
    ProductNotFound,
    #[error("the product belongs to somebody else")]
    NotOwner,
    #[error("the product has changed")]
    EtagMismatch,
    #[error("the request id was used for something else")]
    RequestIdReused,
    #[error("the stock is {stock}")]
    StockOutOfRange { stock: i64 },
    #[error("too many are waiting")]
    Busy,
    #[error("MongoDB failed")]
    Mongo(#[from] mongodb::error::Error),
    #[error("a transaction failed")]
    Transaction(#[from] Failure),
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Busy,
            Refused::Lost => Self::Transaction(Failure::Conflict),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            // The request alone shows what is wrong.
            Error::Invalid(invalid) => invalid.into(),
            // There never was one, or it was withdrawn.
            Error::ProductNotFound => status::not_found("PRODUCT_NOT_FOUND", message),
            // The product may be seen by all, but changed by its owner and admins alone.
            Error::NotOwner => status::error(Code::PermissionDenied, "NOT_OWNER", message),
            // Read it again, decide again, change it with the new etag.
            Error::EtagMismatch => status::error(Code::Aborted, "ETAG_MISMATCH", message),
            // The same id with other content: somebody's mistake, and nothing was changed.
            Error::RequestIdReused => {
                status::error(Code::AlreadyExists, "REQUEST_ID_REUSED", message)
            }
            // Less is there than shall be taken, or more would be there than can be counted.
            Error::StockOutOfRange { stock } => status::failed_precondition(
                "STOCK_OUT_OF_RANGE",
                &message,
                &[status::PreconditionViolation::new(
                    "STOCK_OUT_OF_RANGE",
                    "stock",
                    format!("{stock} now; it must stay between 0 and 10¹²"),
                )],
            ),
            // Definite: nothing was sent anywhere.
            Error::Busy => status::retry_later(
                Code::ResourceExhausted,
                "BUSY",
                message,
                std::time::Duration::from_millis(100),
            ),
            // It may have happened. The same request may be sent again: with the same request_id, where there is one.
            Error::Transaction(Failure::Conflict | Failure::Unknown(_)) => {
                status::unavailable("TRY_AGAIN", "the outcome is not known, try again")
            }
            // A read that outlived its call.
            Error::Mongo(cause) if is_over_time(&cause) => deadline::exceeded(),
            Error::Mongo(cause) | Error::Transaction(Failure::Mongo(cause))
                if is_outage(&cause) =>
            {
                tracing::warn!(%cause, "MongoDB is out of reach");
                status::unavailable("DATABASE_UNAVAILABLE", "the database is out of reach")
            }
            // A defect, here or in the data.
            Error::Mongo(_) | Error::Transaction(_) => status::internal(&error),
        }
    }
}
