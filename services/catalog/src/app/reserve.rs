use std::collections::{BTreeSet, HashMap, HashSet};

use mongodb::ClientSession;
use orderflow_batch::{Batcher, Limits};
use orderflow_contract::{Id, time::now_ms};
use orderflow_mongo::Failure;

use super::{Catalog, Stock};
use crate::{
    domain::{Shelf, Wish},
    error::Error,
    store::{Known, Recorded, State},
};

/// How often a batch is decided again because some of its orders turned out to be known.
const ATTEMPTS: usize = 10;

/// What became of a wish.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// HELD, RELEASED or REFUSED, now or by an earlier call.
    Recorded(Recorded),
    /// The order is known with other lines.
    LinesDiffer,
    /// Nothing is known to have been done.
    Undecided,
}

/// One batch at a time, merged from what the order service's replicas have sent meanwhile.
const LANE: Limits = Limits {
    name: "reserve",
    lanes: 1,
    queue: 256,
    items: 8,
    weight: 2_048,
};

impl Catalog {
    /// Decides wishes in their order, each all or nothing. The outcomes are in the order of the wishes.
    pub(crate) async fn reserve(&self, wishes: Vec<Wish>) -> Result<Vec<Outcome>, Error> {
        let lines = wishes.iter().map(|wish| wish.lines.len()).sum();
        let outcomes = self.reserving.submit(wishes, lines).await;
        outcomes.map_err(|_| Failure::Conflict.into())
    }
}

/// Starts the lane on which wishes are decided.
pub(super) fn lane(stock: Stock) -> Batcher<Vec<Wish>, Vec<Outcome>> {
    Batcher::start(LANE, move |requests: Vec<Vec<Wish>>, turn| {
        let stock = stock.clone();
        async move {
            let sizes: Vec<_> = requests.iter().map(Vec::len).collect();
            let mut outcomes = stock.reserve(requests.concat()).await.into_iter();
            drop(turn);
            sizes
                .into_iter()
                .map(|size| outcomes.by_ref().take(size).collect())
                .collect()
        }
    })
}

impl Stock {
    /// Decides a batch in one transaction: the stock, the reservations and the journal entry that names them change together or
    /// not at all. Several wishes with one order id are one, if they ask for the same.
    async fn reserve(&self, wishes: Vec<Wish>) -> Vec<Outcome> {
        let mut seen = HashSet::new();
        let mut distinct: Vec<_> = wishes.iter().collect();
        distinct.retain(|wish| seen.insert(wish.order_id));

        let records = self.record(&distinct).await;
        let outcome = |wish: &Wish| match records.get(&wish.order_id) {
            None => Outcome::Undecided,
            Some(record) if record.is_of(wish) => Outcome::Recorded(record.clone()),
            Some(_) => Outcome::LinesDiffer,
        };
        wishes.iter().map(outcome).collect()
    }

    /// What is on record about the wishes once this returns; nothing about those that could not be decided.
    async fn record(&self, wishes: &[&Wish]) -> HashMap<Id, Recorded> {
        match self.record_together(wishes).await {
            Ok(records) => records,
            // One of them spoils the transaction for all: alone it spoils its own.
            Err(Error::Transaction(failure))
                if failure.is_of_one_statement() && wishes.len() > 1 =>
            {
                tracing::warn!(%failure, wishes = wishes.len(), "a batch failed, deciding one by one");
                let mut records = HashMap::new();
                for wish in wishes {
                    records.extend(Box::pin(self.record(&[wish])).await);
                }
                records
            }
            Err(error) => {
                tracing::warn!(
                    cause = orderflow_contract::status::chain(&error),
                    wishes = wishes.len(),
                    "wishes stay undecided"
                );
                HashMap::new()
            }
        }
    }

    async fn record_together(&self, wishes: &[&Wish]) -> Result<HashMap<Id, Recorded>, Error> {
        let mut records: HashMap<Id, Recorded> = HashMap::new();
        let mut fresh = wishes.to_vec();
        for _ in 0..ATTEMPTS {
            if fresh.is_empty() {
                return Ok(records);
            }
            match self.decide(&fresh).await {
                Ok(decided) => {
                    records.extend(decided.into_iter().map(|record| (record.order_id, record)));
                    fresh.retain(|wish| !records.contains_key(&wish.order_id));
                    // What could not be decided may have been, before its product became unreadable.
                    let known = self.known(&fresh).await?.records;
                    records.extend(known.into_iter().map(|record| (record.order_id, record)));
                    return Ok(records);
                }
                // A duplicate key ends the transaction at the first one. Known orders are decided by their record, whatever
                // the products are like by now, so look all of them up at once and go on without them.
                Err(Failure::Duplicate) => {
                    let known = self.known(&fresh).await?;
                    let found = known
                        .records
                        .into_iter()
                        .map(|record| (record.order_id, record));
                    records.extend(found);
                    let is_known = |id| records.contains_key(id) || known.unreadable.contains(id);
                    fresh.retain(|wish| !is_known(&wish.order_id));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(Failure::Conflict.into())
    }

    async fn known(&self, wishes: &[&Wish]) -> Result<Known, Error> {
        if wishes.is_empty() {
            return Ok(Known::default());
        }
        let ids: Vec<_> = wishes.iter().map(|wish| wish.order_id).collect();
        Ok(self.store.reservations(&ids).await?)
    }

    async fn decide(&self, wishes: &[&Wish]) -> Result<Vec<Recorded>, Failure> {
        let mut transaction = self.store.transaction().await?;
        loop {
            let attempt = self.decide_once(transaction.start().await?, wishes).await;
            if let Some(result) = transaction.end(attempt).await {
                return result;
            }
        }
    }

    /// One attempt: read the products, decide, record, take the stock, write the journal.
    async fn decide_once(
        &self,
        session: &mut ClientSession,
        wishes: &[&Wish],
    ) -> Result<Vec<Recorded>, Failure> {
        let lines = wishes.iter().flat_map(|wish| &wish.lines);
        let product_ids: BTreeSet<_> = lines.map(|line| line.product_id).collect();
        let mut shelf = Shelf::new(self.store.offers(session, product_ids.into_iter()).await?);

        let now_ms = now_ms();
        let decide = |wish: &&Wish| Recorded::new(wish, shelf.decide(wish), now_ms);
        // Refusals are recorded as well: a stopped replica may still hold the same call, and wake up after a restock.
        let records: Vec<_> = wishes.iter().filter_map(decide).collect();
        if records.is_empty() {
            return Ok(records);
        }
        self.store.insert_reservations(session, &records).await?;

        let held = records.iter().filter(|record| record.state == State::Held);
        let held: Vec<_> = held.map(|record| record.order_id).collect();
        if !held.is_empty() {
            self.store.take_stock(session, shelf.taken()).await?;
            self.store.insert_entry(session, held).await?;
        }
        Ok(records)
    }
}
