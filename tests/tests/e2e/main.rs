//! End to end: through the gateway, over real sockets, into a real MongoDB.

#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    clippy::manual_is_multiple_of
)]

mod audit;
mod closed_days;
#[cfg(debug_assertions)]
mod crash_walk;
mod dead_transactions;
mod draining;
mod eight_steps;
mod encrypted;
mod failing;
mod following;
mod forger;
mod hostile;
mod identity;
mod input;
mod inventory;
mod json;
mod jwt;
mod killing;
mod limits;
mod listing;
mod logs;
mod moving;
mod network;
mod orders;
mod outages;
mod policy;
mod products;
mod programs;
mod reflection;
mod replica;
mod selling_out;
mod stats;
mod two_replicas;
#[cfg(debug_assertions)]
mod unheard;
mod untimed;
mod upstreams;
mod users;
mod watching;
mod wire;
