//! Rows of the ledger, each with the change of stock that it stands for.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use mongodb::ClientSession;
use orderflow_batch::{Batcher, Limits};
use orderflow_contract::Id;
use orderflow_faults::{At, repeatable};
use orderflow_identity::User;
use orderflow_mongo::Failure;

use super::{Catalog, Stock, may_change, together::together};
use crate::{
    domain::{Product, adjusted},
    error::Error,
    steps::Step,
    store::Row,
};

/// A row for the ledger. Its key is chosen before the first attempt, and inserted with the change: so no attempt repeats
/// another.
pub(super) struct Posting {
    pub(super) row: Row,
    pub(super) cause: Cause,
}

/// Why stock changes.
pub(super) enum Cause {
    /// This product is new.
    Creation(Product),
    /// This user says so.
    Adjustment(User),
}

/// What became of a posting.
pub(super) enum Posted {
    /// The product as it is after it.
    Now(Product),
    /// An earlier one with its key has this row.
    Before(Row),
}

/// 128 of the largest products are 2.6 MB.
const LANE: Limits = Limits {
    name: "post",
    lanes: 1,
    queue: 1_024,
    items: 128,
    weight: 128,
};

impl Catalog {
    /// Posts a row, in one transaction with all that have come in meanwhile.
    pub(super) async fn post(&self, posting: Posting) -> Result<Posted, Error> {
        self.posting.submit(posting, 1).await?
    }

    /// The product of a row, as it is now.
    pub(super) async fn product_of(&self, row: &Row) -> Result<Product, Error> {
        let product = self.stock.store.any_product(row.product_id).await?;
        product.ok_or(Error::ProductNotFound)
    }
}

/// Starts the lane on which rows are posted.
pub(super) fn lane(stock: Stock) -> Batcher<Posting, Result<Posted, Error>> {
    Batcher::start(LANE, move |postings: Vec<Posting>, turn| {
        let stock = stock.clone();
        async move {
            let stock = &stock;
            let post = |part, patience| {
                repeatable(Step::Post, move || stock.post_together(part, patience))
            };
            let posted = together("postings", &postings, post).await;
            drop(turn);
            let flatten = |posted: Result<_, Failure>| posted.unwrap_or_else(|f| Err(f.into()));
            posted.into_iter().map(flatten).collect()
        }
    })
}

impl Stock {
    async fn post_together(
        &self,
        postings: &[Posting],
        patience: Duration,
    ) -> Result<Vec<Result<Posted, Error>>, Failure> {
        let mut transaction = self.store.transaction(patience).await?;
        loop {
            let attempt = match self.post_once(transaction.start().await?, postings).await {
                // The same request at another replica, at the same moment: look again.
                Err(Failure::Duplicate) => Err(Failure::Conflict),
                attempt => attempt,
            };
            if let Some(result) = transaction.end(attempt).await {
                return result;
            }
        }
    }

    /// One attempt. Also what it refuses or finds posted counts only once it is committed.
    async fn post_once(
        &self,
        session: &mut ClientSession,
        postings: &[Posting],
    ) -> Result<Vec<Result<Posted, Error>>, Failure> {
        let rows = postings.iter().map(|posting| &posting.row);
        let mut books = Books {
            rows: self
                .store
                .ledger_rows_in(session, rows.clone().map(|row| row.id))
                .await?,
            products: self
                .store
                .products_in(session, rows.map(|row| row.product_id))
                .await?,
            ..Books::default()
        };
        let outcomes = postings.iter().map(|posting| books.post(posting)).collect();

        let changes = books.changes.into_iter();
        self.store
            .insert_products(session, &books.new_products)
            .at(Step::PostProducts)
            .await?;
        self.store
            .change_stock(session, changes)
            .at(Step::PostStock)
            .await?;
        self.store
            .insert_ledger_rows(session, &books.new_rows)
            .at(Step::PostRows)
            .await?;
        Ok(outcomes)
    }
}

/// The ledger and the products as the postings before have left them. Nothing is decided by what comes after.
#[derive(Default)]
struct Books<'a> {
    rows: HashMap<Id, Row>,
    products: HashMap<Id, Product>,
    /// What to write.
    new_rows: Vec<&'a Row>,
    new_products: Vec<&'a Product>,
    changes: BTreeMap<Id, i64>,
}

impl<'a> Books<'a> {
    fn post(&mut self, posting: &'a Posting) -> Result<Posted, Error> {
        let row = &posting.row;
        if let Some(before) = self.rows.get(&row.id) {
            return Ok(Posted::Before(before.clone()));
        }
        let product = match &posting.cause {
            Cause::Creation(product) => {
                self.new_products.push(product);
                product
            }
            Cause::Adjustment(user) => {
                let product = self.products.get_mut(&row.product_id);
                let product = product.ok_or(Error::ProductNotFound)?;
                may_change(user, product)?;
                let stock = product.stock;
                product.stock =
                    adjusted(stock, row.delta).ok_or(Error::StockOutOfRange { stock })?;
                *self.changes.entry(product.id).or_default() += row.delta;
                product
            }
        };
        let product = product.clone();
        self.new_rows.push(row);
        self.rows.insert(row.id, row.clone());
        Ok(Posted::Now(product))
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::DateTime;

    use super::*;
    use crate::domain::Money;

    fn id(name: &str) -> Id {
        Id::derived(&[name.as_bytes()])
    }

    fn adjustment(key: &str, product: &str, delta: i64, by: &str) -> Posting {
        let row = Row {
            id: id(key),
            product_id: id(product),
            delta,
            reason: "count".to_owned(),
            user_id: id(by),
            create_time: DateTime::from_millis(0),
            created_as: None,
        };
        let user = User {
            id: id(by),
            roles: Vec::new(),
            session_id: id("session"),
        };
        let cause = Cause::Adjustment(user);
        Posting { row, cause }
    }

    #[test]
    fn each_posting_is_decided_from_what_the_ones_before_have_left() {
        let tea = Product {
            id: id("tea"),
            owner_id: id("ada"),
            name: "tea".to_owned(),
            description: String::new(),
            price: Money {
                currency: "TRY".to_owned(),
                minor_units: 5,
            },
            stock: 5,
            create_time_ms: 0,
            update_time_ms: 0,
            revision: 1,
        };
        let mut books = Books {
            products: HashMap::from([(tea.id, tea)]),
            ..Books::default()
        };
        let postings = [
            adjustment("a", "tea", -3, "ada"),
            adjustment("b", "tea", -3, "ada"),
            adjustment("c", "tea", 7, "bob"),
            adjustment("a", "tea", -3, "ada"),
            adjustment("d", "cup", 1, "ada"),
            adjustment("e", "tea", 1, "ada"),
            // What was refused before it may be had now.
            adjustment("b", "tea", -3, "ada"),
        ];
        let outcome = |posting| match books.post(posting) {
            Ok(Posted::Now(product)) => format!("now {}", product.stock),
            Ok(Posted::Before(row)) => format!("before {}", row.delta),
            Err(Error::StockOutOfRange { stock }) => format!("out of range {stock}"),
            Err(error) => error.to_string(),
        };
        let outcomes: Vec<_> = postings.iter().map(outcome).collect();
        assert_eq!(
            outcomes,
            [
                "now 2",
                "out of range 2",
                "the product belongs to somebody else",
                "before -3",
                "no such product",
                "now 3",
                "now 0"
            ]
        );
        let posted: Vec<_> = books.new_rows.iter().map(|row| row.id).collect();
        assert_eq!(posted, ["a", "e", "b"].map(id));
        assert_eq!(books.changes, BTreeMap::from([(id("tea"), -5)]));
    }
}
