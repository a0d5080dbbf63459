//! gRPC: decode, call, encode. All fields of a request are looked at before the first is complained about.

mod listing;
mod orders;
mod placement;
mod stats;
mod watching;

pub(crate) use orders::OrderGrpc;
