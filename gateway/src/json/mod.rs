//! HTTP/JSON: what `google.api.http` in the contract says, and nothing else.

#[cfg(test)]
mod contract;
mod field;
mod routes;
mod template;

pub(crate) use field::{FieldPath, is_well_known};
pub use routes::Unsupported;
pub(crate) use routes::{Binding, Body, bindings};
pub(crate) use template::Segment;
