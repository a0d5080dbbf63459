//! I1 and I2: each product beside its ledger and what is held of it.

use mongodb::bson::doc;
use orderflow_contract::Id;

use super::{
    Audit, Error, Report, Violation,
    records::{Held, LEDGER, PRODUCTS, Product, RESERVATIONS, Row},
    snapshot::Snapshot,
};

impl Audit {
    /// Walks through all products. The whole walk is one snapshot: what is held of a product is spread over all reservations.
    pub(super) async fn walk_stock(&self, report: &mut Report) -> Result<(), Error> {
        self.phase("stock", &self.catalog, PRODUCTS).await?;
        let mut snapshot = Snapshot::now(&self.client).await?;
        let pipeline = vec![
            doc! { "$match": { "state": "HELD" } },
            doc! { "$unwind": "$lines" },
            doc! { "$group": { "_id": "$lines.product_id", "quantity": { "$sum": "$lines.quantity" } } },
            doc! { "$sort": { "_id": 1 } },
        ];
        let mut held = snapshot
            .aggregate::<Held>(&self.catalog, RESERVATIONS, pipeline)
            .await?;
        let mut products = snapshot
            .find::<Product>(&self.catalog, PRODUCTS, doc! {}, "_id", doc! { "stock": 1 })
            .await?;
        let fields = doc! { "product_id": 1, "delta": 1 };
        let mut ledger = snapshot
            .find::<Row>(&self.catalog, LEDGER, doc! {}, "product_id", fields)
            .await?;
        loop {
            let heads = [
                products.head(&mut snapshot, report).await?,
                ledger.head(&mut snapshot, report).await?,
                held.head(&mut snapshot, report).await?,
            ];
            let Some(id) = heads.into_iter().flatten().min().map(str::to_owned) else {
                return Ok(());
            };
            let unreadable = report.violation_count;
            let product = products.take(&id);
            if product.is_some() {
                report.products += 1;
                self.progress.inc(1);
            }
            let mut account = Account {
                stock: product
                    .and_then(|read| report.readable(read))
                    .map(|p| p.stock),
                ..Account::default()
            };
            if let Some(read) = held.take(&id) {
                account.held = report.readable(read).map_or(0, |held| held.quantity.into());
            }
            loop {
                ledger.head(&mut snapshot, report).await?;
                let Some(read) = ledger.take(&id) else { break };
                account.ledger += report.readable(read).map_or(0, |row| row.delta.into());
            }
            // Where a part cannot be read, nothing can be said about the whole.
            if report.violation_count == unreadable {
                report.found_all(account.judge(&id));
            }
        }
    }
}

/// What is on record about a product.
#[derive(Debug, Default)]
struct Account {
    /// `None` if the product does not exist.
    stock: Option<i64>,
    /// The sum of its rows; the first stock is the first row.
    ledger: i128,
    held: i128,
}

impl Account {
    fn judge(&self, id: &str) -> Vec<Violation> {
        let Self { ledger, held, .. } = *self;
        let (Some(stock), Ok(product)) = (self.stock, id.parse::<Id>()) else {
            let product = id.to_owned();
            return vec![Violation::NoProduct {
                product,
                ledger,
                held,
            }];
        };
        let mut wrong = Vec::new();
        if stock < 0 {
            wrong.push(Violation::NegativeStock { product, stock });
        }
        if ledger != i128::from(stock) + held {
            wrong.push(Violation::Unbalanced {
                product,
                ledger,
                stock,
                held,
            });
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_is_there_or_held() {
        let product = Id::random();
        let judge = |stock, ledger, held| {
            let account = Account {
                stock,
                ledger,
                held,
            };
            account.judge(&product.to_string())
        };
        assert_eq!(judge(Some(7), 10, 3), []);
        assert_eq!(judge(Some(0), 0, 0), []);
        let unbalanced = |ledger, stock, held| Violation::Unbalanced {
            product,
            ledger,
            stock,
            held,
        };
        assert_eq!(judge(Some(8), 10, 3), [unbalanced(10, 8, 3)]);
        assert_eq!(
            judge(Some(-2), 1, 3),
            [Violation::NegativeStock { product, stock: -2 }]
        );
        assert_eq!(judge(Some(-2), 2, 3).len(), 2);
        let product = product.to_string();
        let no_product = Violation::NoProduct {
            product,
            ledger: 5,
            held: 1,
        };
        assert_eq!(judge(None, 5, 1), [no_product]);
        // The largest numbers there can be add up without overflow.
        assert_eq!(
            judge(Some(i64::MAX), i128::from(i64::MAX) * 2, i64::MAX.into()),
            []
        );
    }
}
