use orderflow_identity::Unprotected;

pub use crate::json::Unsupported;

/// Why the gateway does not start, or no longer serves.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The contract has methods that do not say who may call them.
    #[error(transparent)]
    Policy(#[from] Unprotected),
    /// The contract says of a method how HTTP calls it, and it cannot be done.
    #[error(transparent)]
    Json(#[from] Unsupported),
    /// The contract has a public service, and nobody here knows which upstream serves it.
    #[error("no upstream serves {0}")]
    Unplaced(String),
    /// The contract has a method that takes a stream of messages.
    #[error("{0} takes a stream, which the gateway cannot pass on")]
    TakesStream(String),
    /// The contract says that calls of a method go together, and its messages are not made for it.
    #[error("{0} cannot be batched as the contract says")]
    Unbatchable(String),
    /// The descriptors cannot be published.
    #[error("reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
}
