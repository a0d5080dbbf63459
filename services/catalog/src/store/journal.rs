use futures::TryStreamExt;
use mongodb::{
    ClientSession,
    bson::{doc, oid::ObjectId},
    error::Error,
};
use orderflow_contract::Id;
use orderflow_mongo::Failure;
use serde::{Deserialize, Serialize};

use super::Store;

/// The orders of one committed batch of reservations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Grows with time, roughly; nothing but the order of a list rests on it.
    #[serde(rename = "_id")]
    pub(crate) id: ObjectId,
    pub(crate) orders: Vec<Id>,
}

impl Store {
    pub(crate) async fn insert_entry(
        &self,
        session: &mut ClientSession,
        orders: Vec<Id>,
    ) -> Result<(), Failure> {
        let id = ObjectId::new();
        self.journal
            .insert_one(Entry { id, orders })
            .session(session)
            .await?;
        Ok(())
    }

    /// Entries behind one, oldest first.
    pub(crate) async fn entries(
        &self,
        behind: Option<ObjectId>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let filter = behind.map_or_else(Default::default, |id| doc! { "_id": { "$gt": id } });
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let cursor = self
            .journal
            .find(filter)
            .sort(doc! { "_id": 1 })
            .limit(limit)
            .await?;
        cursor.try_collect().await
    }

    pub(crate) async fn delete_entries(&self, ids: &[ObjectId]) -> Result<(), Error> {
        self.journal
            .delete_many(doc! { "_id": { "$in": ids } })
            .await?;
        Ok(())
    }
}
