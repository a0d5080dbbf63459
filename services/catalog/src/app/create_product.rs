use mongodb::bson::DateTime;
use orderflow_contract::{Id, time::now_ms};
use orderflow_mongo::Failure;

use super::Catalog;
use crate::{
    domain::{Draft, Product},
    error::Error,
    store::{First, Row},
};

impl Catalog {
    /// Offers a product. With a request id it does so once, however often it is asked.
    pub(crate) async fn create_product(
        &self,
        owner_id: Id,
        draft: Draft,
        request_id: Option<String>,
    ) -> Result<Product, Error> {
        let id = match &request_id {
            Some(request_id) => Id::derived(&[
                b"product",
                owner_id.to_string().as_bytes(),
                request_id.as_bytes(),
            ]),
            None => Id::random(),
        };
        let now_ms = now_ms();
        let product = Product {
            id,
            owner_id,
            name: draft.name,
            description: draft.description,
            price: draft.price,
            stock: draft.stock,
            create_time_ms: now_ms,
            update_time_ms: now_ms,
            revision: 1,
        };
        // The stock's first row has a name of its own too, so that the two are inserted both or not at all.
        let row = Row {
            id: Id::derived(&[b"first stock", id.to_string().as_bytes()]),
            product_id: id,
            delta: product.stock,
            reason: "first stock".to_owned(),
            user_id: owner_id,
            create_time: DateTime::from_millis(now_ms),
            created_as: request_id.is_some().then(|| First {
                name: product.name.clone(),
                description: product.description.clone(),
                currency: product.price.currency.clone(),
                price: product.price.minor_units,
            }),
        };

        let inserted = self.insert_with_row(&product, &row).await;
        match inserted {
            Ok(()) => Ok(product),
            Err(Failure::Duplicate) => self.created_before(&row).await,
            Err(failure) => Err(failure.into()),
        }
    }

    async fn insert_with_row(&self, product: &Product, row: &Row) -> Result<(), Failure> {
        let mut transaction = self.stock.store.transaction().await?;
        loop {
            let session = transaction.start().await?;
            let attempt = async {
                self.stock.store.insert_product(session, product).await?;
                self.stock.store.insert_ledger_row(session, row).await
            };
            let attempt = attempt.await;
            if let Some(result) = transaction.end(attempt).await {
                return result;
            }
        }
    }

    /// The product that an earlier request with this id created, as it is now.
    async fn created_before(&self, row: &Row) -> Result<Product, Error> {
        // What is there but not yet seen by a majority may yet vanish: then it is not known what will be.
        let Some(first) = self.stock.store.ledger_row(row.id).await? else {
            return Err(Failure::Conflict.into());
        };
        if (first.delta, &first.created_as) != (row.delta, &row.created_as) {
            return Err(Error::RequestIdReused);
        }
        let product = self.stock.store.any_product(row.product_id).await?;
        product.ok_or(Error::ProductNotFound)
    }
}
