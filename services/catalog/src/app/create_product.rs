use mongodb::bson::DateTime;
use orderflow_contract::{Id, time::now_ms};

use super::{
    Catalog,
    post::{Cause, Posted, Posting},
};
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

        let posting = Posting {
            row: row.clone(),
            cause: Cause::Creation(product),
        };
        match self.post(posting).await? {
            Posted::Now(product) => Ok(product),
            Posted::Before(first) => {
                if (first.delta, &first.created_as) != (row.delta, &row.created_as) {
                    return Err(Error::RequestIdReused);
                }
                self.product_of(&first).await
            }
        }
    }
}
