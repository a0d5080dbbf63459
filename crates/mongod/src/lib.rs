#![doc = include_str!("../README.md")]

mod deadline;
mod directory;
mod error;
mod fetch;
mod locate;
mod node;
mod options;
mod process;
mod replica_set;
mod source;

pub use error::Error;
pub use node::Node;
pub use options::Options;
pub use replica_set::ReplicaSet;
pub use source::Source;
