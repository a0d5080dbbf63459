use futures::TryStreamExt;
use mongodb::{
    bson::{Document, deserialize_from_document, doc, oid::ObjectId},
    error::Error,
};
use orderflow_contract::Id;
use orderflow_mongo::max_time;
use serde::{Deserialize, Serialize};

use super::Store;

/// How many entries are taken over at a time from where they stood before.
const OLD_ENTRIES: i64 = 500;

/// The orders of one committed batch of reservations.
///
/// Entries stand among the reservations, so that both are inserted by one command. Their ids tell them apart: no range or list of
/// texts holds an `ObjectId`, nor the other way round.
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
        (!orders.is_empty()).then(|| Self {
            id: ObjectId::new(),
            orders,
        })
    }
}

impl Store {
    /// Entries behind one, oldest first. One that cannot be read is reported and comes without orders: nobody settles it, and
    /// those behind it are found. What replicas from before the first release have written is taken over first.
    pub(crate) async fn entries(
        &self,
        behind: Option<ObjectId>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        if behind.is_none() {
            self.take_over_old_journal().await?;
        }
        let behind = behind.unwrap_or_else(|| ObjectId::from_bytes([0; 12]));
        let filter = doc! { "_id": { "$gt": behind } };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let journal = self.reservations.clone_with_type::<Document>();
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
        self.reservations
            .delete_many(doc! { "_id": { "$in": ids } })
            .await?;
        Ok(())
    }

    /// Moves entries from where they stood before the first release, a collection of their own, so many at a time. To be dropped
    /// when nobody comes from there any more.
    async fn take_over_old_journal(&self) -> Result<(), Error> {
        let old = self.database.collection::<Document>("journal");
        let entries = old.find(doc! { "_id": { "$type": "objectId" } });
        let entries = entries.limit(OLD_ENTRIES);
        let entries: Vec<_> = entries.max_time(max_time()).await?.try_collect().await?;
        if !entries.is_empty() {
            let ids: Vec<_> = entries
                .iter()
                .filter_map(|entry| entry.get("_id"))
                .collect();
            let journal = self.reservations.clone_with_type();
            orderflow_mongo::insert(&journal, &entries).await?;
            old.delete_many(doc! { "_id": { "$in": ids } }).await?;
        }
        Ok(())
    }
}
