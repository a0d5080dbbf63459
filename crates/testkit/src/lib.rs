#![doc = include_str!("../README.md")]
// It is test code, though not marked so: what goes wrong here fails the test that it happens in.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod link;
mod person;
mod refusal;
mod world;

pub use link::{Condition, Link};
pub use person::{Bearer, OrderDraft, Person, ProductDraft, money};
pub use refusal::Refusal;
pub use world::{Builder, World, eventually, mongo_url};
