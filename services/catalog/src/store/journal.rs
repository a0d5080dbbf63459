use futures::TryStreamExt;
use mongodb::{
    bson::{Document, deserialize_from_document, doc, oid::ObjectId},
    error::Error,
};
use orderflow_contract::Id;
use orderflow_mongo::max_time;
use serde::{Deserialize, Serialize};

use super::Store;

/// The orders of one committed batch of reservations.
///
/// Entries stand among the reservations, so that both are inserted by one command. Their ids tell them apart: an `ObjectId` is
/// never compared with a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Grows with time, roughly; nothing but the order of a list rests on it.
    #[serde(rename = "_id")]
    pub(crate) id: ObjectId,
    pub(crate) orders: Vec<Id>,
}

impl Entry {
    /// A new entry; none for no orders.
    pub(super) fn of(orders: Vec<Id>) -> Option<Self> {
        let id = ObjectId::new();
        (!orders.is_empty()).then_some(Self { id, orders })
    }
}

impl Store {
    /// Moves what is left where the journal stood until 0.1, in a collection of its own.
    pub(super) async fn move_old_journal(&self) -> Result<(), Error> {
        let old = self.database.collection::<Entry>("journal");
        let entries: Vec<_> = old.find(doc! {}).await?.try_collect().await?;
        let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        if !entries.is_empty() {
            orderflow_mongo::insert(&self.journal, &entries).await?;
            old.delete_many(doc! { "_id": { "$in": ids } }).await?;
        }
        Ok(())
    }

    /// Entries behind one, oldest first. One that cannot be read is reported and comes without orders: nobody settles it, and
    /// those behind it are found.
    pub(crate) async fn entries(
        &self,
        behind: Option<ObjectId>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let behind = behind.unwrap_or_else(|| ObjectId::from_bytes([0; 12]));
        let filter = doc! { "_id": { "$gt": behind } };
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
