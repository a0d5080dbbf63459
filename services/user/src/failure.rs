use std::time::Duration;

use orderflow_contract::{Invalid, deadline, status};
use orderflow_mongo as mongo;
use tonic::{Code, Status};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the request is not valid")]
    Invalid(Invalid),
    #[error("the e-mail address has an account already")]
    EmailTaken,
    #[error("e-mail address and password do not match")]
    BadCredentials,
    #[error("the current password is another one")]
    WrongPassword,
    #[error("the account is gone")]
    AccountGone,
    #[error("too many passwords are waiting to be checked")]
    Busy,
    #[error("the service is not ready yet")]
    Starting,
    #[error("MongoDB failed")]
    Mongo(#[from] mongodb::error::Error),
    #[error("a password could not be hashed")]
    Bcrypt(#[from] bcrypt::BcryptError),
    /// Something broke and was logged where it did.
    #[error("internal error")]
    Broken(Status),
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let message = failure.to_string();
        let refuse = |code, reason| status::error(code, reason, message.clone());
        match failure {
            // Fields that can never be right; every one is named.
            Failure::Invalid(invalid) => invalid.into(),
            // Only this address stands in the way.
            Failure::EmailTaken => refuse(Code::AlreadyExists, "EMAIL_TAKEN"),
            // Unknown address and wrong password alike: who has an account here is nobody's business.
            Failure::BadCredentials => refuse(Code::Unauthenticated, "BAD_CREDENTIALS"),
            // The caller is known, but this takes the password too.
            Failure::WrongPassword => refuse(Code::PermissionDenied, "WRONG_PASSWORD"),
            // The token is genuine, but nobody is behind it any more: as good as none.
            Failure::AccountGone => refuse(Code::Unauthenticated, "ACCOUNT_GONE"),
            // Nothing was done; the queue is shorter in a second.
            Failure::Busy => status::retry_later(
                Code::ResourceExhausted,
                "TOO_MANY_LOGINS",
                message,
                Duration::from_secs(1),
            ),
            // Nothing was done; MongoDB has not been reached yet.
            Failure::Starting => status::unavailable("STARTING", message),
            // A read that outlived its call.
            Failure::Mongo(error) if mongo::is_over_time(&error) => deadline::exceeded(),
            // It may work soon. Whether a write was done is not known.
            Failure::Mongo(error) if mongo::is_outage(&error) => {
                tracing::warn!(%error, "MongoDB does not answer");
                status::unavailable("DATABASE_UNAVAILABLE", "the database does not answer")
            }
            // Ours to mend. Whether a write was done is not known.
            Failure::Mongo(error) => status::internal(&error),
            Failure::Bcrypt(error) => status::internal(&error),
            Failure::Broken(status) => status,
        }
    }
}
