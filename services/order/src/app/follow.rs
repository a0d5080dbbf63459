use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    time::Duration,
};

use futures::future::join_all;
use orderflow_contract::{Id, status};
use orderflow_faults::{At, repeatable};
use tokio::time::{Instant, sleep};

use super::{
    Orders,
    place_order::{pending, write},
};
use crate::{
    domain::Order,
    error::Error,
    inventory::{AT_ONCE, Entry},
    steps::Step,
};

/// How long something must have been seen unfinished before it is taken up. By this replica's own monotonic clock, and for
/// thrift alone: what is taken up too early is done twice, and nothing changes.
const PATIENCE: Duration = Duration::from_secs(3);
/// After this long it is worth a line in the log.
const OVERDUE: Duration = Duration::from_secs(15);
/// Between two looks, and a random part more, so that replicas do not look at the same moment.
const EVERY: Duration = Duration::from_millis(1_000);

/// What is unfinished, and since when this replica has seen it so.
struct Seen<K>(HashMap<K, Instant>);

impl<K: Eq + Hash> Seen<K> {
    /// Takes note of what is unfinished now and forgets the rest.
    fn note(&mut self, now: impl IntoIterator<Item = K>) {
        let mut before = std::mem::take(&mut self.0);
        for key in now {
            let since = before.remove(&key).unwrap_or_else(Instant::now);
            self.0.insert(key, since);
        }
    }

    fn age(&self, key: &K) -> Duration {
        self.0.get(key).map_or(Duration::ZERO, Instant::elapsed)
    }

    fn overdue(&self) -> usize {
        self.0
            .values()
            .filter(|since| since.elapsed() > OVERDUE)
            .count()
    }
}

impl Orders {
    /// Finishes what was begun: writes orders that the catalog has promised and nobody has written, and cancels to the end what
    /// was left half-way. Every replica does it; whatever two of them do at once, or again, changes nothing.
    pub(crate) async fn follow(self) {
        let mut entries = Seen(HashMap::new());
        let mut cancelling = Seen(HashMap::new());
        loop {
            sleep(EVERY + rand::random_range(Duration::ZERO..EVERY / 2)).await;
            if let Err(error) = self.settle(&mut entries).await {
                tracing::warn!(cause = status::chain(&error), "the journal waits");
            }
            if let Err(error) = self.resume_cancelling(&mut cancelling).await {
                tracing::warn!(cause = status::chain(&error), "cancellations wait");
            }
            let (unsettled, stuck) = (entries.overdue(), cancelling.overdue());
            if unsettled + stuck > 0 {
                tracing::warn!(
                    unsettled,
                    cancelling = stuck,
                    "unfinished for more than {OVERDUE:?}"
                );
            }
        }
    }

    /// Goes through the journal, page by page, and strikes out what is done. A page or an entry that fails holds up no other.
    async fn settle(&self, seen: &mut Seen<String>) -> Result<(), Error> {
        let mut unsettled = HashSet::new();
        let mut page_token = Some(String::new());
        while let Some(token) = page_token {
            let (entries, next) = self.inventory.unsettled(token).at(Step::FollowList).await?;
            unsettled.extend(entries.iter().map(|entry| entry.id.clone()));
            let is_due = |entry: &&Entry| seen.age(&entry.id) >= PATIENCE;
            let due: Vec<_> = entries.iter().filter(is_due).collect();
            let mut done = Vec::new();
            // Nearly always all of them exist: so one look for a whole page, not one for each entry.
            let order_ids: Vec<_> = due
                .iter()
                .flat_map(|entry| &entry.order_ids)
                .copied()
                .collect();
            let existing = self
                .store
                .existing(&order_ids)
                .await
                .unwrap_or_else(|error| {
                    // Then they are looked at one by one.
                    tracing::warn!(%error, "a page of the journal could not be looked at");
                    HashSet::new()
                });
            for entry in due {
                match self.finish(entry, &existing).await {
                    Ok(true) => done.push(entry.id.clone()),
                    Ok(false) => tracing::error!(entry = entry.id, "an entry cannot be settled"),
                    Err(error) => {
                        let cause = status::chain(&error);
                        tracing::warn!(entry = entry.id, cause, "an entry of the journal waits");
                    }
                }
            }
            for id in &done {
                unsettled.remove(id);
            }
            let settle = || self.inventory.settle(&done);
            if !done.is_empty()
                && let Err(error) = repeatable(Step::FollowSettle, settle).await
            {
                tracing::warn!(%error, "entries that are done stay for now");
            }
            page_token = next;
        }
        seen.note(unsettled);
        Ok(())
    }

    /// Writes the orders of an entry that do not exist. True if every order of it exists now, acknowledged by a majority.
    async fn finish(&self, entry: &Entry, existing: &HashSet<Id>) -> Result<bool, Error> {
        let mut missing = entry.order_ids.clone();
        missing.retain(|id| !existing.contains(id));
        if !missing.is_empty() {
            let reading = self.inventory.reservations(&missing);
            let reservations = reading.at(Step::FollowRead).await?;
            let orders: Vec<_> = reservations.iter().filter_map(pending).collect();
            let write = || write(&self.store, &orders);
            let written = repeatable(Step::FollowWrite, write).await?;
            tracing::info!(
                orders = written.len(),
                "wrote orders that were left to be written"
            );
            missing.retain(|id| !written.iter().any(|order| order.id == *id));
        }
        // One without orders could not be read where it is kept.
        Ok(missing.is_empty() && !entry.order_ids.is_empty())
    }

    /// Cancels to the end what has stood in CANCELLING for a while: many at once, and all of them, so that those that cannot be
    /// finished hide no others.
    async fn resume_cancelling(&self, seen: &mut Seen<Id>) -> Result<(), Error> {
        let cancelling = self.store.cancelling().await?;
        seen.note(cancelling.iter().copied());
        let is_due = |id: &Id| seen.age(id) >= PATIENCE;
        let due: Vec<_> = cancelling.into_iter().filter(is_due).collect();
        for ids in due.chunks(AT_ONCE) {
            let orders = self.store.orders(ids).await?;
            let finish = async |order: Order| {
                let id = order.id;
                let finish = || self.finish_cancelling(order.clone());
                if let Err(error) = repeatable(Step::FollowCancel, finish).await {
                    tracing::warn!(order = %id, cause = status::chain(&error), "a cancellation waits");
                }
            };
            join_all(orders.into_iter().map(finish)).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn age_counts_from_the_first_sight_and_ends_with_the_last() {
        let mut seen = Seen(HashMap::new());
        seen.note(["a"]);
        tokio::time::advance(PATIENCE).await;
        seen.note(["a", "b"]);
        assert!(seen.age(&"a") >= PATIENCE);
        assert!(seen.age(&"b") < PATIENCE);
        seen.note(["b"]);
        seen.note(["a", "b"]);
        assert!(seen.age(&"a") < PATIENCE);
    }
}
