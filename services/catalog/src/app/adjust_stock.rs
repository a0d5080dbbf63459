use mongodb::bson::DateTime;
use orderflow_contract::{Id, time::now_ms};
use orderflow_identity::User;

use super::{
    Catalog,
    post::{Cause, Posted, Posting},
};
use crate::{
    domain::{Adjustment, Product},
    error::Error,
    store::Row,
};

impl Catalog {
    /// Adds to the stock or takes from it, and keeps the reason. With a request id it does so once.
    pub(crate) async fn adjust_stock(
        &self,
        user: User,
        adjustment: Adjustment,
        request_id: Option<String>,
    ) -> Result<(Product, Row), Error> {
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
        let posting = Posting {
            row: row.clone(),
            cause: Cause::Adjustment(user),
        };
        match self.post(posting).await? {
            Posted::Now(product) => Ok((product, row)),
            Posted::Before(before) => {
                let content = |row: &Row| (row.product_id, row.delta, row.reason.clone());
                if content(&before) != content(&row) {
                    return Err(Error::RequestIdReused);
                }
                Ok((self.product_of(&before).await?, before))
            }
        }
    }
}
