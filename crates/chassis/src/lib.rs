#![doc = include_str!("../README.md")]

pub mod channel;
pub mod config;
pub mod deadline;
pub mod health;
pub mod program;
pub mod serve;
pub mod task;

pub use tokio_util::sync::CancellationToken as Shutdown;
