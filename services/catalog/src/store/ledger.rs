use mongodb::{
    ClientSession, IndexModel,
    bson::{DateTime, doc},
    error::Error,
};
use orderflow_contract::Id;
use orderflow_mongo::Failure;
use serde::{Deserialize, Serialize};

use super::Store;

/// One change of a product's stock from outside of orders. Rows are never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    #[serde(rename = "_id")]
    pub(crate) id: Id,
    pub(crate) product_id: Id,
    pub(crate) delta: i64,
    pub(crate) reason: String,
    pub(crate) user_id: Id,
    pub(crate) create_time: DateTime,
    /// On a product's first row: what it was created as, to recognise a repeated request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_as: Option<First>,
}

/// A product as it was asked for; its first stock is the row's delta.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct First {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) currency: String,
    pub(crate) price: i64,
}

pub(super) fn indexes() -> Vec<IndexModel> {
    let keys = doc! { "product_id": 1, "create_time": 1 };
    vec![IndexModel::builder().keys(keys).build()]
}

impl Store {
    pub(crate) async fn ledger_row(&self, id: Id) -> Result<Option<Row>, Error> {
        self.ledger.find_one(doc! { "_id": id.to_string() }).await
    }

    /// A row, as a transaction sees it.
    pub(crate) async fn ledger_row_in(
        &self,
        session: &mut ClientSession,
        id: Id,
    ) -> Result<Option<Row>, Failure> {
        let filter = doc! { "_id": id.to_string() };
        Ok(self.ledger.find_one(filter).session(session).await?)
    }

    pub(crate) async fn insert_ledger_row(
        &self,
        session: &mut ClientSession,
        row: &Row,
    ) -> Result<(), Failure> {
        self.ledger.insert_one(row).session(session).await?;
        Ok(())
    }
}
