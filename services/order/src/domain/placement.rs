//! What can be ordered.

use std::collections::{BTreeMap, btree_map::Entry};

use orderflow_contract::Id;

use super::Money;

pub(crate) const MAX_LINES: usize = 100;
const MAX_QUANTITY: i64 = 10_000;

/// A wish to order. It is named before anything is sent, so that repeating it never makes a second order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) order_id: Id,
    pub(crate) user_id: Id,
    pub(crate) request_id: Option<String>,
    /// Sorted by product, none twice.
    pub(crate) lines: Vec<PlacementLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacementLine {
    pub(crate) product_id: Id,
    pub(crate) quantity: i64,
    pub(crate) expected_unit_price: Option<Money>,
}

/// What is wrong with a line of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrongLine {
    Quantity,
    ExpectedUnitPrice,
}

impl WrongLine {
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Quantity => "quantity",
            Self::ExpectedUnitPrice => "expected_unit_price",
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Quantity => "must be 1 to 10000, also for all lines of one product together",
            Self::ExpectedUnitPrice => "must be the same on all lines of one product",
        }
    }
}

impl Placement {
    /// The same user and request id always give the same order id; without one every request is an order of its own.
    pub(crate) fn new(user_id: Id, request_id: Option<String>, lines: Vec<PlacementLine>) -> Self {
        let order_id = match &request_id {
            Some(request_id) => {
                Id::derived(&[user_id.to_string().as_bytes(), request_id.as_bytes()])
            }
            None => Id::random(),
        };
        Self {
            order_id,
            user_id,
            request_id,
            lines,
        }
    }
}

/// Adds up the lines of each product and sorts them. Every wrong line is named by its index.
pub(crate) fn merge(
    lines: impl IntoIterator<Item = PlacementLine>,
) -> Result<Vec<PlacementLine>, Vec<(usize, WrongLine)>> {
    let mut merged: BTreeMap<Id, PlacementLine> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (i, line) in lines.into_iter().enumerate() {
        if !(1..=MAX_QUANTITY).contains(&line.quantity) {
            wrong.push((i, WrongLine::Quantity));
            continue;
        }
        match merged.entry(line.product_id) {
            Entry::Vacant(vacant) => _ = vacant.insert(line),
            Entry::Occupied(occupied) => {
                let sum = occupied.into_mut();
                sum.quantity += line.quantity;
                if sum.quantity > MAX_QUANTITY {
                    wrong.push((i, WrongLine::Quantity));
                }
                match (&sum.expected_unit_price, line.expected_unit_price) {
                    (Some(one), Some(other)) if *one != other => {
                        wrong.push((i, WrongLine::ExpectedUnitPrice));
                    }
                    (None, Some(price)) => sum.expected_unit_price = Some(price),
                    _ => {}
                }
            }
        }
    }
    if wrong.is_empty() {
        Ok(merged.into_values().collect())
    } else {
        Err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product: &str, quantity: i64) -> PlacementLine {
        PlacementLine {
            product_id: Id::derived(&[product.as_bytes()]),
            quantity,
            expected_unit_price: None,
        }
    }

    #[test]
    fn a_request_that_is_sent_again_after_an_upgrade_is_the_same_order() {
        let user = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let placement = Placement::new(user, Some("order-1".to_owned()), Vec::new());
        let id = placement.order_id.to_string();
        assert_eq!(id, "d297bf8ef8cfcfde33b17ee9740313f3");
    }

    #[test]
    fn lines_of_one_product_are_added_up() {
        let merged = merge([line("a", 1), line("b", 2), line("a", 3)]).unwrap();
        assert_eq!(merged.len(), 2);
        assert!(merged.contains(&line("a", 4)));
        assert!(merged.is_sorted_by_key(|line| line.product_id));
    }

    #[test]
    fn every_wrong_quantity_is_named() {
        let max = i64::from(i32::MAX);
        let lines = [
            line("a", 0),
            line("b", -1),
            line("c", 1),
            line("d", max),
            line("e", 10_001),
        ];
        let quantity = |i| (i, WrongLine::Quantity);
        assert_eq!(
            merge(lines),
            Err(vec![quantity(0), quantity(1), quantity(3), quantity(4)])
        );
        assert!(merge([line("a", 10_000)]).is_ok());
        assert_eq!(
            merge([line("a", 10_000), line("a", 1)]),
            Err(vec![quantity(1)])
        );
    }

    #[test]
    fn one_product_has_one_expected_price() {
        let expecting = |minor_units| PlacementLine {
            expected_unit_price: Some(Money {
                currency: "TRY".to_owned(),
                minor_units,
            }),
            ..line("a", 1)
        };
        let merged = merge([line("a", 1), expecting(5), expecting(5)]).unwrap();
        assert_eq!(
            merged[0].expected_unit_price,
            expecting(5).expected_unit_price
        );
        assert_eq!(
            merge([expecting(5), expecting(6)]),
            Err(vec![(1, WrongLine::ExpectedUnitPrice)])
        );
    }

    #[test]
    fn a_request_id_names_one_order_of_one_user() {
        let (ada, bob) = (Id::random(), Id::random());
        let id = |user, request: Option<&str>| {
            Placement::new(user, request.map(str::to_owned), Vec::new()).order_id
        };
        assert_eq!(id(ada, Some("1")), id(ada, Some("1")));
        assert_ne!(id(ada, Some("1")), id(ada, Some("2")));
        assert_ne!(id(ada, Some("1")), id(bob, Some("1")));
        assert_ne!(id(ada, None), id(ada, None));
    }
}
