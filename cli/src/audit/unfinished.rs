//! I5: what stands half-way is noted where it is seen, and looked at again until it is gone.

use std::collections::BTreeMap;

use mongodb::bson::{Document, doc, oid::ObjectId};
use orderflow_contract::Id;
use tokio::time::{Duration, Instant, sleep};

use super::{
    Audit, Error, Report, Violation,
    orders::Stage,
    records::{Entry, EntryKey, RESERVATIONS, is_entry},
    snapshot::Snapshot,
};

/// How many orders, and how many entries of the journal, are looked at again. On a busy system some tens of thousands are
/// unfinished at any time, a moment each.
const LIMIT: usize = 100_000;
/// How many ids are asked for at once.
pub(super) const IDS: usize = 1_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Unfinished {
    orders: BTreeMap<Id, Stage>,
    entries: Vec<ObjectId>,
}

impl Unfinished {
    pub(super) fn add_order(&mut self, order: Id, stage: Stage, report: &mut Report) {
        if self.orders.len() < LIMIT {
            self.orders.insert(order, stage);
        } else {
            report.not_followed += 1;
        }
    }

    fn add_entry(&mut self, entry: ObjectId, report: &mut Report) {
        if self.entries.len() < LIMIT {
            self.entries.push(entry);
        } else {
            report.not_followed += 1;
        }
    }

    fn len(&self) -> usize {
        self.orders.len() + self.entries.len()
    }
}

/// As a condition.
pub(super) fn among(ids: &[Id]) -> Document {
    doc! { "$in": ids.iter().map(Id::to_string).collect::<Vec<_>>() }
}

impl Audit {
    pub(super) async fn read_journal(
        &self,
        report: &mut Report,
        unfinished: &mut Unfinished,
    ) -> Result<(), Error> {
        let mut snapshot = Snapshot::now(&self.client).await?;
        let mut entries = snapshot
            .find::<Entry>(&self.catalog, RESERVATIONS, is_entry(), "_id", doc! {})
            .await?;
        while let Some(read) = entries.next(&mut snapshot).await? {
            if let Some(entry) = report.readable(read) {
                report.unsettled.add(entry.id.timestamp());
                unfinished.add_entry(entry.id, report);
            }
        }
        Ok(())
    }

    /// Waits until everything that was unfinished is finished, as long as the patience lasts.
    pub(super) async fn follow(
        &self,
        mut unfinished: Unfinished,
        report: &mut Report,
    ) -> Result<(), Error> {
        let until = Instant::now() + self.patience;
        while unfinished.len() > 0 {
            unfinished = self.look_again(&unfinished, report).await?;
            if Instant::now() >= until {
                break;
            }
            self.progress.set_message(format!(
                "waiting for {} unfinished things",
                unfinished.len()
            ));
            sleep(BETWEEN_LOOKS).await;
        }
        for (order, stage) in unfinished.orders {
            report.found(match stage {
                Stage::Unwritten => Violation::Unwritten { order },
                Stage::Cancelling => Violation::StuckInCancelling { order },
            });
        }
        for entry in unfinished.entries {
            report.found(Violation::Unsettled { entry });
        }
        Ok(())
    }

    /// What is unfinished still. Whatever has come out is judged like any other.
    async fn look_again(
        &self,
        before: &Unfinished,
        report: &mut Report,
    ) -> Result<Unfinished, Error> {
        let mut still = Unfinished::default();
        let orders: Vec<_> = before.orders.keys().copied().collect();
        for orders in orders.chunks(IDS) {
            let filter = doc! { "_id": among(orders) };
            let seen = self.look_at_orders(filter, usize::MAX, report).await?;
            // One that was written and is being cancelled by now is not stuck: it has moved.
            let stands = |(order, stage): &(Id, Stage)| before.orders.get(order) == Some(stage);
            still
                .orders
                .extend(seen.unfinished.into_iter().filter(stands));
        }
        let mut snapshot = Snapshot::now(&self.client).await?;
        for entries in before.entries.chunks(IDS) {
            let filter = doc! { "_id": { "$in": entries } };
            let mut found = snapshot
                .find::<EntryKey>(
                    &self.catalog,
                    RESERVATIONS,
                    filter,
                    "_id",
                    doc! { "_id": 1 },
                )
                .await?;
            while let Some(read) = found.next(&mut snapshot).await? {
                still
                    .entries
                    .extend(report.readable(read).map(|entry| entry.id));
            }
        }
        Ok(still)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_says_so() {
        let (mut unfinished, mut report) = (Unfinished::default(), Report::default());
        for n in 0..LIMIT + 3 {
            let order = Id::derived(&[&n.to_be_bytes()]);
            unfinished.add_order(order, Stage::Unwritten, &mut report);
        }
        assert_eq!((unfinished.len(), report.not_followed), (LIMIT, 3));
        assert!(!report.is_clean());
        assert!(report.to_string().contains("3 more things were unfinished"));
    }
}
