//! gRPC: decode, call, encode. All fields of a request are looked at before the first is complained about.

mod catalog;
mod inventory;
mod money;

pub(crate) use catalog::CatalogGrpc;
pub(crate) use inventory::InventoryGrpc;
