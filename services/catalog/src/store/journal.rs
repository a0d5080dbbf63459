use futures::TryStreamExt;
use mongodb::{
    ClientSession,
    bson::{Document, deserialize_from_document, doc, oid::ObjectId},
    error::Error,
};
use orderflow_contract::Id;
use orderflow_mongo::{Failure, max_time};
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

    /// Entries behind one, oldest first. One that cannot be read is reported and comes without orders: nobody settles it, and
    /// those behind it are found.
    pub(crate) async fn entries(
        &self,
        behind: Option<ObjectId>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let filter = behind.map_or_else(Default::default, |id| doc! { "_id": { "$gt": id } });
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let journal = self.journal.clone_with_type::<Document>();
        let found = journal.find(filter).sort(doc! { "_id": 1 }).limit(limit);
        let found: Vec<_> = found.max_time(max_time()).await?.try_collect().await?;
        let read = |document: Document| {
            let id = document.get_object_id("_id").ok()?;
            let entry = deserialize_from_document(document).unwrap_or_else(|error| {
                tracing::error!(entry = %id, %error, "a broken entry of the journal");
                Entry {
                    id,
                    orders: Vec::new(),
                }
            });
            Some(entry)
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    pub(crate) async fn delete_entries(&self, ids: &[ObjectId]) -> Result<(), Error> {
        self.journal
            .delete_many(doc! { "_id": { "$in": ids } })
            .await?;
        Ok(())
    }
}
