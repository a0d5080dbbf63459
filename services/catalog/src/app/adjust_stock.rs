use mongodb::{ClientSession, bson::DateTime};
use orderflow_contract::{Id, time::now_ms};
use orderflow_identity::User;
use orderflow_mongo::Failure;

use super::{Catalog, may_change};
use crate::{
    domain::{Adjustment, Product, adjusted},
    error::Error,
    store::Row,
};

/// What a transaction found.
enum Found {
    Adjusted(Product),
    /// An earlier request with this id did it.
    Before(Row),
    Refused(Error),
}

impl Catalog {
    /// Adds to the stock or takes from it, and keeps the reason. With a request id it does so once.
    pub(crate) async fn adjust_stock(
        &self,
        user: &User,
        adjustment: Adjustment,
        request_id: Option<String>,
    ) -> Result<(Product, Row), Error> {
        // The row's key is chosen before the first attempt, and inserted with the change: so no attempt repeats another.
        let id = match &request_id {
            Some(request_id) => {
                let user_id = user.id.to_string();
                Id::derived(&[b"adjustment", user_id.as_bytes(), request_id.as_bytes()])
            }
            None => Id::random(),
        };
        let row = Row {
            id,
            product_id: adjustment.product_id,
            delta: adjustment.delta,
            reason: adjustment.reason,
            user_id: user.id,
            create_time: DateTime::from_millis(now_ms()),
            created_as: None,
        };

        let found = self.adjust(user, &row).await?;
        match found {
            Found::Adjusted(product) => Ok((product, row)),
            Found::Refused(error) => Err(error),
            Found::Before(before) => {
                let content = |row: &Row| (row.product_id, row.delta, row.reason.clone());
                if content(&before) != content(&row) {
                    return Err(Error::RequestIdReused);
                }
                let product = self.stock.store.any_product(before.product_id).await?;
                Ok((product.ok_or(Error::ProductNotFound)?, before))
            }
        }
    }

    async fn adjust(&self, user: &User, row: &Row) -> Result<Found, Failure> {
        let mut transaction = self.stock.store.transaction().await?;
        loop {
            let attempt = self
                .adjust_once(transaction.start().await?, user, row)
                .await;
            if let Some(result) = transaction.end(attempt).await {
                return result;
            }
        }
    }

    async fn adjust_once(
        &self,
        session: &mut ClientSession,
        user: &User,
        row: &Row,
    ) -> Result<Found, Failure> {
        if let Some(before) = self.stock.store.ledger_row_in(session, row.id).await? {
            return Ok(Found::Before(before));
        }
        let Some(mut product) = self.stock.store.product_in(session, row.product_id).await? else {
            return Ok(Found::Refused(Error::ProductNotFound));
        };
        if let Err(error) = may_change(user, &product) {
            return Ok(Found::Refused(error));
        }
        let Some(stock) = adjusted(product.stock, row.delta) else {
            let stock = product.stock;
            return Ok(Found::Refused(Error::StockOutOfRange { stock }));
        };
        if row.delta < 0 {
            let taken = (product.id, -row.delta);
            self.stock
                .store
                .take_stock(session, std::iter::once(taken))
                .await?;
        } else {
            let given = (product.id, row.delta);
            self.stock
                .store
                .give_stock(session, std::iter::once(given))
                .await?;
        }
        match self.stock.store.insert_ledger_row(session, row).await {
            // The same request, at the same moment: look again.
            Err(Failure::Duplicate) => return Err(Failure::Conflict),
            inserted => inserted?,
        }
        product.stock = stock;
        Ok(Found::Adjusted(product))
    }
}
