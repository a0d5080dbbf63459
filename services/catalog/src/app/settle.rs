use mongodb::bson::oid::ObjectId;
use orderflow_contract::Id;
use orderflow_faults::repeatable;

use super::Catalog;
use crate::{
    error::Error,
    steps::Step,
    store::{Entry, Recorded},
};

impl Catalog {
    /// The journal's entries, oldest first, one more than a page has.
    pub(crate) async fn list_unsettled(
        &self,
        behind: Option<ObjectId>,
        size: usize,
    ) -> Result<Vec<Entry>, Error> {
        Ok(self.stock.store.entries(behind, size + 1).await?)
    }

    /// Strikes entries out of the journal.
    pub(crate) async fn settle(&self, entry_ids: &[ObjectId]) -> Result<(), Error> {
        let delete = || self.stock.store.delete_entries(entry_ids);
        Ok(repeatable(Step::Settle, delete).await?)
    }

    /// What is on record about orders.
    pub(crate) async fn get_reservations(&self, order_ids: &[Id]) -> Result<Vec<Recorded>, Error> {
        Ok(self.stock.store.reservations(order_ids).await?.records)
    }
}
