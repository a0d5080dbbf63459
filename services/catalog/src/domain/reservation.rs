//! Which orders can be had.

use std::collections::{BTreeMap, HashMap};

use orderflow_contract::Id;
use serde::{Deserialize, Serialize};

use super::Money;

pub(crate) const MAX_LINES: usize = 100;
pub(crate) const MAX_QUANTITY: i64 = 10_000;

/// What an order asks for. Its lines, sorted by product and compared by value, are what tells a repeated order from another
/// one under the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) order_id: Id,
    pub(crate) user_id: Id,
    pub(crate) request_id: Option<String>,
    pub(crate) lines: Vec<WishLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WishLine {
    pub(crate) product_id: Id,
    pub(crate) quantity: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expected_unit_price: Option<Money>,
}

/// A line of an order that can be had, with the product as it is at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldLine {
    pub(crate) product_id: Id,
    pub(crate) product_name: String,
    pub(crate) seller_id: Id,
    pub(crate) quantity: i64,
    pub(crate) unit_price: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedLine {
    pub(crate) product_id: Id,
    pub(crate) problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Problem {
    ProductNotFound,
    InsufficientStock { available: i64 },
    PriceChanged { unit_price: Money },
    CurrencyMismatch { unit_price: Money },
}

/// A product as far as reserving is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) seller_id: Id,
    pub(crate) price: Money,
    pub(crate) stock: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Held {
        lines: Vec<HeldLine>,
        total: Money,
    },
    Refused(Vec<RefusedLine>),
    /// A product that it needs cannot be read.
    Undecided,
}

/// The products that a batch of wishes is served from. Decisions are made one after another, each from what the ones before
/// have left.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// `None` where a product is there but cannot be read.
    offers: HashMap<Id, Option<Offer>>,
    to_take: BTreeMap<Id, i64>,
}

impl Shelf {
    pub(crate) fn new(offers: HashMap<Id, Option<Offer>>) -> Self {
        Self {
            offers,
            to_take: BTreeMap::new(),
        }
    }

    /// Of products as they were before that much was taken of one of them.
    pub(crate) fn of_taken(offers: HashMap<Id, Option<Offer>>, id: Id, quantity: i64) -> Self {
        Self {
            offers,
            to_take: BTreeMap::from([(id, -quantity)]),
        }
    }

    /// All lines of a wish, or none.
    pub(crate) fn decide(&mut self, wish: &Wish) -> Decision {
        let mut held = Vec::with_capacity(wish.lines.len());
        let mut refused = Vec::new();
        let mut total: Option<Money> = None;
        for line in &wish.lines {
            let offer = match self.offers.get(&line.product_id) {
                Some(Some(offer)) => offer,
                Some(None) => return Decision::Undecided,
                None => {
                    refused.push(line.refused(Problem::ProductNotFound));
                    continue;
                }
            };
            let problem = line.problem(offer, total.as_ref());
            // The first readable price sets the currency. No overflow: 10¹² × 10⁴ × 100 lines is less than 2⁶³.
            let total = total.get_or_insert_with(|| Money {
                currency: offer.price.currency.clone(),
                minor_units: 0,
            });
            match problem {
                Some(problem) => refused.push(line.refused(problem)),
                None => {
                    total.minor_units += offer.price.minor_units * line.quantity;
                    held.push(HeldLine {
                        product_id: line.product_id,
                        product_name: offer.name.clone(),
                        seller_id: offer.seller_id,
                        quantity: line.quantity,
                        unit_price: offer.price.minor_units,
                    });
                }
            }
        }
        match total {
            Some(total) if refused.is_empty() => {
                for line in &held {
                    self.take(line);
                }
                Decision::Held { lines: held, total }
            }
            _ => Decision::Refused(refused),
        }
    }

    fn take(&mut self, line: &HeldLine) {
        if let Some(Some(offer)) = self.offers.get_mut(&line.product_id) {
            offer.stock -= line.quantity;
        }
        *self.to_take.entry(line.product_id).or_default() += line.quantity;
    }

    /// What all decisions together take of each product, beyond what is taken already; less than nothing where that was too
    /// much.
    pub(crate) fn to_take(&self) -> impl Iterator<Item = (Id, i64)> {
        let to_take = self.to_take.iter().map(|(id, quantity)| (*id, *quantity));
        to_take.filter(|(_, quantity)| *quantity != 0)
    }
}

impl WishLine {
    /// What is wrong with this line, the most fundamental thing first.
    fn problem(&self, offer: &Offer, total: Option<&Money>) -> Option<Problem> {
        let unit_price = || offer.price.clone();
        if total.is_some_and(|total| total.currency != offer.price.currency) {
            return Some(Problem::CurrencyMismatch {
                unit_price: unit_price(),
            });
        }
        if self
            .expected_unit_price
            .as_ref()
            .is_some_and(|expected| *expected != offer.price)
        {
            return Some(Problem::PriceChanged {
                unit_price: unit_price(),
            });
        }
        (offer.stock < self.quantity).then_some(Problem::InsufficientStock {
            available: offer.stock,
        })
    }

    fn refused(&self, problem: Problem) -> RefusedLine {
        RefusedLine {
            product_id: self.product_id,
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Id {
        Id::derived(&[name.as_bytes()])
    }

    fn lira(minor_units: i64) -> Money {
        Money {
            currency: "TRY".to_owned(),
            minor_units,
        }
    }

    fn offer(price: Money, stock: i64) -> Option<Offer> {
        Some(Offer {
            name: "tea".to_owned(),
            seller_id: id("seller"),
            price,
            stock,
        })
    }

    fn shelf(offers: [(&str, Option<Offer>); 2]) -> Shelf {
        Shelf::new(
            offers
                .into_iter()
                .map(|(name, offer)| (id(name), offer))
                .collect(),
        )
    }

    fn wish(lines: &[(&str, i64)]) -> Wish {
        let line = |(product, quantity): &(&str, i64)| WishLine {
            product_id: id(product),
            quantity: *quantity,
            expected_unit_price: None,
        };
        Wish {
            order_id: Id::random(),
            user_id: id("buyer"),
            request_id: None,
            lines: lines.iter().map(line).collect(),
        }
    }

    fn problems(decision: Decision) -> Vec<Problem> {
        match decision {
            Decision::Refused(lines) => lines.into_iter().map(|line| line.problem).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_lines_or_none() {
        let mut shelf = shelf([("tea", offer(lira(5), 10)), ("cup", offer(lira(7), 1))]);
        let refused = shelf.decide(&wish(&[("tea", 3), ("cup", 2), ("none", 1)]));
        assert_eq!(
            problems(refused),
            [
                Problem::InsufficientStock { available: 1 },
                Problem::ProductNotFound
            ]
        );
        assert_eq!(shelf.to_take().count(), 0);

        match shelf.decide(&wish(&[("tea", 3), ("cup", 1)])) {
            Decision::Held { lines, total } => {
                assert_eq!(lines.len(), 2);
                assert_eq!(total, lira(22));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(shelf.to_take().map(|(_, n)| n).sum::<i64>(), 4);
    }

    #[test]
    fn earlier_wishes_leave_less_for_later_ones() {
        let mut shelf = shelf([("tea", offer(lira(5), 3)), ("cup", offer(lira(7), 1))]);
        assert!(matches!(
            shelf.decide(&wish(&[("tea", 2)])),
            Decision::Held { .. }
        ));
        let refused = shelf.decide(&wish(&[("tea", 2)]));
        assert_eq!(
            problems(refused),
            [Problem::InsufficientStock { available: 1 }]
        );
        assert!(matches!(
            shelf.decide(&wish(&[("tea", 1)])),
            Decision::Held { .. }
        ));
    }

    #[test]
    fn what_was_taken_already_and_is_not_held_goes_back() {
        let shelf = |offer| Shelf::of_taken(HashMap::from([(id("tea"), offer)]), id("tea"), 5);
        let to_take = |shelf: &Shelf| shelf.to_take().collect::<Vec<_>>();
        let mut all = shelf(offer(lira(5), 7));
        for quantity in [2, 3] {
            let decision = all.decide(&wish(&[("tea", quantity)]));
            assert!(matches!(decision, Decision::Held { .. }), "{decision:?}");
        }
        assert_eq!(to_take(&all), []);

        let mut some = shelf(offer(lira(5), 7));
        let mut dear = wish(&[("tea", 2)]);
        dear.lines[0].expected_unit_price = Some(lira(4));
        let unit_price = lira(5);
        assert_eq!(
            problems(some.decide(&dear)),
            [Problem::PriceChanged { unit_price }]
        );
        some.decide(&wish(&[("tea", 3)]));
        assert_eq!(to_take(&some), [(id("tea"), -2)]);

        let mut none = shelf(None);
        assert_eq!(none.decide(&wish(&[("tea", 5)])), Decision::Undecided);
        assert_eq!(to_take(&none), [(id("tea"), -5)]);
    }

    #[test]
    fn one_currency_and_the_price_that_was_expected() {
        let euro = Money {
            currency: "EUR".to_owned(),
            minor_units: 7,
        };
        let mut shelf = shelf([("tea", offer(lira(5), 9)), ("cup", offer(euro.clone(), 9))]);
        let mut wish = wish(&[("tea", 1), ("cup", 1)]);
        assert_eq!(
            problems(shelf.decide(&wish)),
            [Problem::CurrencyMismatch { unit_price: euro }]
        );
        wish.lines.truncate(1);
        wish.lines[0].expected_unit_price = Some(lira(4));
        assert_eq!(
            problems(shelf.decide(&wish)),
            [Problem::PriceChanged {
                unit_price: lira(5)
            }]
        );
        wish.lines[0].expected_unit_price = Some(lira(5));
        assert!(matches!(shelf.decide(&wish), Decision::Held { .. }));
    }

    #[test]
    fn a_broken_product_harms_its_own_wishes_only() {
        let mut shelf = shelf([("tea", offer(lira(5), 9)), ("cup", None)]);
        assert_eq!(
            shelf.decide(&wish(&[("tea", 1), ("cup", 1)])),
            Decision::Undecided
        );
        assert!(matches!(
            shelf.decide(&wish(&[("tea", 9)])),
            Decision::Held { .. }
        ));
    }

    #[test]
    fn the_largest_order_does_not_overflow() {
        let largest = lira(1_000_000_000_000);
        let names: Vec<_> = (0..MAX_LINES).map(|n| n.to_string()).collect();
        let offers = names
            .iter()
            .map(|n| (id(n), offer(largest.clone(), 1_000_000)));
        let mut shelf = Shelf::new(offers.collect());
        let lines: Vec<_> = names.iter().map(|n| (n.as_str(), MAX_QUANTITY)).collect();
        match shelf.decide(&wish(&lines)) {
            Decision::Held { total, .. } => {
                assert_eq!(total.minor_units, 1_000_000_000_000 * MAX_QUANTITY * 100);
            }
            other => panic!("{other:?}"),
        }
    }
}
