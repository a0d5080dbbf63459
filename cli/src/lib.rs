#![doc = include_str!("../README.md")]

pub mod audit;
pub mod bench;
pub mod demo;
pub mod initiate;
pub mod processes;
pub mod secrets;
mod system;
pub mod up;

pub use system::{Configs, Error, System};
