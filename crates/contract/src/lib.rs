#![doc = include_str!("../README.md")]

pub mod deadline;
mod id;
mod invalid;
pub mod page;
pub mod status;
pub mod text;
pub mod time;
pub mod trace;

pub use id::{Id, MalformedId};
pub use invalid::{Invalid, Violation};
