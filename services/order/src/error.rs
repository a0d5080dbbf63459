use orderflow_contract::{
    Invalid, deadline,
    status::{self, PreconditionViolation},
};
use orderflow_mongo::{Failure, is_outage, is_over_time};
use tonic::{Code, Status};

use crate::{
    domain::NoSuchMove,
    inventory::{NoAnswer, Problem, RefusedLine},
};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the request is not valid")]
    Invalid(Invalid),
    #[error("no such order")]
    OrderNotFound,
    #[error("this is for the seller of all its lines")]
    NotSellerOfAll,
    #[error("only admins may name another user")]
    NotAdmin,
    #[error("the order cannot be had as asked for")]
    Refused(Vec<RefusedLine>),
    #[error("the request id was used for other lines")]
    RequestIdReused,
    #[error("the order is {}", .0.from)]
    NoSuchMove(NoSuchMove),
    #[error("too many requests are waiting")]
    Busy,
    #[error("the outcome is not known, try again with the same request_id")]
    Unknown,
    #[error("no answer from the catalog")]
    NoAnswer,
    #[error("an order and its reservation do not fit")]
    Inconsistent,
    #[error("too many watches are open, of this user or of all")]
    TooManyWatches,
    #[error("the reader is too far behind; go on with the last resume_token")]
    SlowReader,
    #[error(
        "what has changed since then is not known any more: list the orders and watch from now on"
    )]
    HistoryLost,
    #[error("the changes cannot be followed; go on with the last resume_token")]
    WatchInterrupted,
    #[error("the service is stopping; go on with the last resume_token")]
    Stopping,
    #[error("the token has expired; go on with a new one and the last resume_token")]
    TokenExpired,
    #[error("MongoDB failed")]
    Mongo(#[from] mongodb::error::Error),
    #[error("a write failed")]
    Write(#[from] Failure),
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<NoAnswer> for Error {
    fn from(_: NoAnswer) -> Self {
        Self::NoAnswer
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            // The request alone shows what is wrong.
            Error::Invalid(invalid) => invalid.into(),
            // There is none, or it is not the caller's to see; the two cannot be told apart.
            Error::OrderNotFound => status::not_found("ORDER_NOT_FOUND", message),
            // The caller sees the order and may not change it.
            Error::NotSellerOfAll => {
                status::error(Code::PermissionDenied, "NOT_SELLER_OF_ALL_LINES", message)
            }
            Error::NotAdmin => status::error(Code::PermissionDenied, "NOT_ADMIN", message),
            // Definite: this request id, if there was one, will never make an order.
            Error::Refused(lines) => refused(message, &lines),
            // Definite: the id stands for another order of the caller's.
            Error::RequestIdReused => {
                status::error(Code::AlreadyExists, "REQUEST_ID_REUSED", message)
            }
            // The order would have to be in another status.
            Error::NoSuchMove(no) => status::failed_precondition(
                "NO_SUCH_TRANSITION",
                format!("{message}, which {} does not follow", no.to),
                &[PreconditionViolation::new(
                    "ORDER_STATUS",
                    "order",
                    no.from.name(),
                )],
            ),
            // Definite: nothing was sent anywhere.
            Error::Busy => status::retry_later(
                Code::ResourceExhausted,
                "BUSY",
                message,
                std::time::Duration::from_millis(100),
            ),
            // Others must end first.
            Error::TooManyWatches => status::retry_later(
                Code::ResourceExhausted,
                "TOO_MANY_WATCHES",
                message,
                std::time::Duration::from_secs(1),
            ),
            // What comes next is there; this stream just does not get it to its reader.
            Error::SlowReader => status::error(Code::ResourceExhausted, "SLOW_READER", message),
            // The position lies before what MongoDB remembers.
            Error::HistoryLost => status::error(Code::OutOfRange, "WATCH_HISTORY_LOST", message),
            // Nothing is lost: the position that the caller knows is as good as before.
            Error::WatchInterrupted => status::unavailable("WATCH_INTERRUPTED", message),
            Error::Stopping => status::unavailable("STOPPING", message),
            Error::TokenExpired => status::error(Code::Unauthenticated, "TOKEN_EXPIRED", message),
            // The order may exist, or come to exist.
            Error::Unknown | Error::Write(Failure::Conflict | Failure::Unknown(_)) => {
                status::unavailable("OUTCOME_UNKNOWN", Error::Unknown.to_string())
            }
            // A read that outlived its call.
            Error::Mongo(cause) if is_over_time(&cause) => deadline::exceeded(),
            Error::NoAnswer => status::unavailable("CATALOG_UNAVAILABLE", message),
            Error::Mongo(cause) | Error::Write(Failure::Mongo(cause)) if is_outage(&cause) => {
                tracing::warn!(%cause, "MongoDB is out of reach");
                status::unavailable("DATABASE_UNAVAILABLE", "the database is out of reach")
            }
            // A defect, here or in the data.
            Error::Inconsistent | Error::Mongo(_) | Error::Write(_) => status::internal(&error),
        }
    }
}

/// Every line that cannot be had, and what is so now.
fn refused(message: String, lines: &[RefusedLine]) -> Status {
    let violation = |line: &RefusedLine| {
        let (kind, now) = match &line.problem {
            Problem::ProductNotFound => {
                ("PRODUCT_NOT_FOUND", "there is no such product".to_owned())
            }
            Problem::InsufficientStock { available } => {
                ("INSUFFICIENT_STOCK", format!("{available} left"))
            }
            Problem::PriceChanged { unit_price } => {
                let price = format!("{} {}", unit_price.minor_units, unit_price.currency);
                (
                    "PRICE_CHANGED",
                    format!("the price is {price} (minor units) now"),
                )
            }
            Problem::CurrencyMismatch { unit_price } => {
                let currency = &unit_price.currency;
                (
                    "CURRENCY_MISMATCH",
                    format!("the price is in {currency}, another line's is not"),
                )
            }
        };
        PreconditionViolation::new(kind, format!("products/{}", line.product_id), now)
    };
    let violations: Vec<_> = lines.iter().map(violation).collect();
    // The reason of all, if they have one in common.
    let reason = match violations.split_first() {
        Some((first, rest)) if rest.iter().all(|v| v.r#type == first.r#type) => &first.r#type,
        _ => "ORDER_REFUSED",
    };
    let named = violations
        .iter()
        .take(3)
        .map(|v| format!("{}: {}", v.subject, v.description));
    let named: Vec<_> = named.collect();
    status::failed_precondition(
        reason,
        format!("{message}: {}", named.join("; ")),
        &violations,
    )
}
