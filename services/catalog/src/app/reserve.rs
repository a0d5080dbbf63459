use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use mongodb::ClientSession;
use orderflow_batch::{Batcher, Limits};
use orderflow_contract::{Id, status, time::now_ms};
use orderflow_faults::{At, repeatable};
use orderflow_mongo::Failure;

use super::{
    Catalog, Stock,
    together::{self, together},
};
use crate::{
    domain::{Shelf, Wish},
    error::Error,
    steps::Step,
    store::{Known, Recorded},
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

/// One batch at a time, merged from what the order service's replicas have sent meanwhile: all of it, as far as the weight allows,
/// which is in lines. Each of them sends three requests at a time at the most.
const LANE: Limits = Limits {
    name: "reserve",
    lanes: 1,
    queue: 256,
    items: 64,
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
    together::lane(LANE, move |wishes| {
        let stock = stock.clone();
        async move { stock.reserve(wishes).await }
    })
}

impl Stock {
    /// Decides a batch in one transaction: the stock, the reservations and the journal entry that names them change together or
    /// not at all. Several wishes with one order id are one, if they ask for the same.
    async fn reserve(&self, wishes: Vec<Wish>) -> Vec<Outcome> {
        let mut seen = HashSet::new();
        let mut distinct: Vec<_> = wishes.iter().collect();
        distinct.retain(|wish| seen.insert(wish.order_id));

        let record = |part, patience| self.record_together(part, patience);
        let recorded = together("wishes", &distinct, record).await;
        let recorded = recorded.into_iter().filter_map(|record| record.ok()?);
        let records: HashMap<_, _> = by_id(recorded).collect();
        let outcome = |wish: &Wish| match records.get(&wish.order_id) {
            None => Outcome::Undecided,
            Some(record) if record.is_of(wish) => Outcome::Recorded(record.clone()),
            Some(_) => Outcome::LinesDiffer,
        };
        wishes.iter().map(outcome).collect()
    }

    /// What is on record about the wishes once this returns; nothing about those whose products cannot be read.
    async fn record_together(
        &self,
        wishes: &[&Wish],
        patience: Duration,
    ) -> Result<Vec<Option<Recorded>>, Failure> {
        let mut records: HashMap<Id, Recorded> = HashMap::new();
        let mut fresh = wishes.to_vec();
        for _ in 0..ATTEMPTS {
            match repeatable(Step::ReserveTogether, || self.decide(&fresh, patience)).await {
                Ok(decided) => {
                    records.extend(by_id(decided));
                    fresh.retain(|wish| !records.contains_key(&wish.order_id));
                    // What could not be decided may have been, before its product became unreadable.
                    records.extend(by_id(self.known(&fresh).await?.records));
                    return Ok(wishes
                        .iter()
                        .map(|wish| records.remove(&wish.order_id))
                        .collect());
                }
                // A duplicate key ends the transaction at the first one. Known orders are decided by their record, whatever
                // the products are like by now, so look all of them up at once and go on without them.
                Err(Failure::Duplicate) => {
                    let known = self.known(&fresh).await?;
                    records.extend(by_id(known.records));
                    let is_known = |id| records.contains_key(id) || known.unreadable.contains(id);
                    fresh.retain(|wish| !is_known(&wish.order_id));
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Conflict)
    }

    async fn known(&self, wishes: &[&Wish]) -> Result<Known, Failure> {
        if wishes.is_empty() {
            return Ok(Known::default());
        }
        let ids: Vec<_> = wishes.iter().map(|wish| wish.order_id).collect();
        Ok(self.store.reservations(&ids).await?)
    }

    async fn decide(&self, wishes: &[&Wish], patience: Duration) -> Result<Vec<Recorded>, Failure> {
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.store.transaction(patience).await?;
        let mut at_once = true;
        loop {
            let session = transaction.start().await?;
            let attempt = self.decide_once(session, wishes, at_once).await;
            if let Some(result) = transaction.end(attempt).await {
                return result;
            }
            // In turns: what is in the way of a product is no matter for orders on record, which only the usual way finds; and
            // the usual way alone comes too late, time and again, where another replica sells the product at once.
            at_once = !at_once;
        }
    }

    /// One attempt: read the products, decide, record, take the stock. Orders are recorded before their products are written, so
    /// that a known one is found out whatever is in the way of its product; unless it goes `at_once`.
    async fn decide_once(
        &self,
        session: &mut ClientSession,
        wishes: &[&Wish],
        at_once: bool,
    ) -> Result<Vec<Recorded>, Failure> {
        let mut shelf = self.fill_shelf(session, wishes, at_once).await?;

        let now_ms = now_ms();
        let decide = |wish: &&Wish| Recorded::new(wish, shelf.decide(wish), now_ms);
        // Refusals are recorded as well: a stopped replica may still hold the same call, and wake up after a restock.
        let records: Vec<_> = wishes.iter().filter_map(decide).collect();
        if !records.is_empty() {
            self.store
                .insert_reservations(session, &records)
                .at(Step::ReserveRecord)
                .await?;
        }
        let changes = shelf.to_take().map(|(id, quantity)| (id, -quantity));
        self.store
            .change_stock(session, changes)
            .at(Step::ReserveTake)
            .await?;
        Ok(records)
    }

    /// What the wishes are decided from. If all of them ask for one and the same product, and it has enough, that is taken while
    /// it is read: one command less where a command is a large part of it all.
    async fn fill_shelf(
        &self,
        session: &mut ClientSession,
        wishes: &[&Wish],
        at_once: bool,
    ) -> Result<Shelf, Failure> {
        let mut asked: BTreeMap<Id, i64> = BTreeMap::new();
        for line in wishes.iter().flat_map(|wish| &wish.lines) {
            *asked.entry(line.product_id).or_default() += line.quantity;
        }
        if at_once
            && asked.len() == 1
            && let Some((id, quantity)) = asked.first_key_value()
        {
            let taking = self.store.take(session, *id, *quantity);
            let offers = taking.at(Step::ReserveTakeOne).await;
            // The next attempt, which takes nothing at once, finds out what is wrong, and with which orders.
            let offers = offers.map_err(|failure| {
                if !failure.is_of_one_statement() {
                    return failure;
                }
                let cause = status::chain(&failure);
                tracing::warn!(product = %id, cause, "no stock can be taken at once");
                Failure::Conflict
            })?;
            if !offers.is_empty() {
                return Ok(Shelf::of_taken(offers, *id, *quantity));
            }
        }
        let offers = self.store.offers(session, asked.into_keys()).await?;
        Ok(Shelf::new(offers))
    }
}

fn by_id(records: impl IntoIterator<Item = Recorded>) -> impl Iterator<Item = (Id, Recorded)> {
    records.into_iter().map(|record| (record.order_id, record))
}
