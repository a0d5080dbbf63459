use std::collections::HashMap;

use futures::TryStreamExt;
use mongodb::{
    ClientSession, IndexModel,
    bson::{DateTime, doc},
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
    /// Those of the rows that are there, as a transaction sees them.
    pub(crate) async fn ledger_rows_in(
        &self,
        session: &mut ClientSession,
        ids: impl Iterator<Item = Id>,
    ) -> Result<HashMap<Id, Row>, Failure> {
        let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
        let filter = doc! { "_id": { "$in": ids } };
        let mut found = self.ledger.find(filter).session(&mut *session).await?;
        let keyed = found.stream(session).map_ok(|row| (row.id, row));
        Ok(keyed.try_collect().await?)
    }

    pub(crate) async fn insert_ledger_rows(
        &self,
        session: &mut ClientSession,
        rows: &[&Row],
    ) -> Result<(), Failure> {
        if !rows.is_empty() {
            let rows = rows.iter().copied();
            self.ledger.insert_many(rows).session(session).await?;
        }
        Ok(())
    }
}
