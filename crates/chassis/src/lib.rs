#![doc = include_str!("../README.md")]

pub mod channel;
pub mod config;
pub mod deadline;
pub mod gather;
pub mod health;
pub mod log;
pub mod malformed;
pub mod program;
pub mod serve;
pub mod task;

/// Of every program that has this chassis. Calls are boxes of some kilobytes that one thread takes and another gives back: what
/// the C library's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use tokio_util::sync::CancellationToken as Shutdown;
