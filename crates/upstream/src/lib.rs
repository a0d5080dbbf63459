#![doc = include_str!("../README.md")]

mod budget;
mod choice;
mod connection;
mod replica;
mod reply;
mod room;
mod upstream;

pub use budget::{Budget, backoff};
pub use choice::{Choice, Refused};
pub use connection::{Connection, Failed, NotConnected};
pub use replica::{Lease, Standing};
pub use reply::Reply;
pub use upstream::Upstream;
