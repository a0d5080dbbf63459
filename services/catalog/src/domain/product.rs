//! What a product is.

use orderflow_contract::{Id, text};
use serde::{Deserialize, Serialize};

const MAX_PRICE: i64 = 1_000_000_000_000;

/// An amount in the smallest unit of a currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Money {
    pub(crate) currency: String,
    pub(crate) minor_units: i64,
}

/// Something that can be ordered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Product {
    pub(crate) id: Id,
    pub(crate) owner_id: Id,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) price: Money,
    pub(crate) stock: i64,
    pub(crate) create_time_ms: i64,
    pub(crate) update_time_ms: i64,
    /// Counts the changes to name, description and price.
    pub(crate) revision: i64,
}

impl Product {
    pub(crate) fn etag(&self) -> String {
        format!("r{}", self.revision)
    }
}

/// A product as its owner wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) price: Money,
    pub(crate) stock: i64,
}

/// New values for some of a product's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) price: Option<Money>,
}

pub(crate) fn name(name: &str) -> Result<String, String> {
    text::line(name, 1..=200)
}

pub(crate) fn description(description: &str) -> Result<String, String> {
    text::bounded(description, 0..=5_000)
}

/// The minor units of a price.
pub(crate) fn price(minor_units: i64) -> Result<i64, String> {
    text::integer(minor_units, 0..=MAX_PRICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert!(name(&"n".repeat(200)).is_ok());
        assert!(name(&"n".repeat(201)).is_err());
        assert!(name("").is_err());
        assert!(description("").is_ok());
        assert!(description(&"d".repeat(5_000)).is_ok());
        assert!(description(&"d".repeat(5_001)).is_err());
        assert!(price(0).is_ok() && price(MAX_PRICE).is_ok());
        assert!(price(-1).is_err() && price(MAX_PRICE + 1).is_err());
    }
}
