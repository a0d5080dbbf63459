//! HTTP/JSON: what `google.api.http` in the contract says, and nothing else.

#[cfg(test)]
mod contract;
mod field;
mod routes;
mod template;

pub use routes::Unsupported;
