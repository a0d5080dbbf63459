#![doc = include_str!("../README.md")]

pub mod audit;
pub mod demo;
pub mod initiate;
pub mod secrets;
mod system;
pub mod up;

pub use system::{Configs, Error, System};
