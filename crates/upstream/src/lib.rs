#![doc = include_str!("../README.md")]

mod budget;
mod choice;
mod replica;
mod upstream;

pub use budget::{Budget, backoff};
pub use choice::{Choice, Refused};
pub use replica::{Lease, Standing};
pub use upstream::Upstream;
