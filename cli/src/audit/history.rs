//! I3 and I7, as far as they are about what somebody was told.

use std::collections::HashSet;

use mongodb::{
    Database,
    bson::{Document, doc},
};
use orderflow_contract::Id;

use super::{
    Audit, Error, Report, Violation,
    records::{Key, ORDERS, RESERVATIONS},
    snapshot::Snapshot,
    unfinished::{IDS, among},
};

/// What clients were told, who know best what must be there.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Orders that were acknowledged.
    pub acknowledged: Vec<Id>,
    /// Orders for which every attempt has ended in a definite error.
    pub refused: Vec<Id>,
}

impl Audit {
    pub(super) async fn recall(&self, report: &mut Report) -> Result<(), Error> {
        for ids in self.history.acknowledged.chunks(IDS) {
            let orders = self
                .existing(&self.order, ORDERS, doc! { "_id": among(ids) })
                .await?;
            for order in ids.iter().copied().filter(|id| !orders.contains(id)) {
                report.found(Violation::Lost { order });
            }
        }
        for ids in self.history.refused.chunks(IDS) {
            let orders = self
                .existing(&self.order, ORDERS, doc! { "_id": among(ids) })
                .await?;
            let taken = doc! { "_id": among(ids), "state": { "$in": ["HELD", "RELEASED"] } };
            let reservations = self.existing(&self.catalog, RESERVATIONS, taken).await?;
            for order in ids.iter().copied() {
                let made = match (orders.contains(&order), reservations.contains(&order)) {
                    (false, false) => continue,
                    (true, _) => "it exists",
                    (false, true) => "its stock was reserved",
                };
                report.found(Violation::MadeDespiteError { order, made });
            }
        }
        Ok(())
    }

    async fn existing(
        &self,
        database: &Database,
        collection: &'static str,
        filter: Document,
    ) -> Result<HashSet<Id>, Error> {
        let mut snapshot = Snapshot::now(&self.client).await?;
        let mut found = snapshot
            .find::<Key>(database, collection, filter, "_id", doc! { "_id": 1 })
            .await?;
        let mut ids = HashSet::new();
        while let Some(read) = found.next(&mut snapshot).await? {
            // It was found by its id.
            ids.extend(read.map(|key| key.id));
        }
        Ok(ids)
    }
}
