use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use mongodb::ClientSession;
use orderflow_batch::{Batcher, Limits};
use orderflow_contract::Id;
use orderflow_faults::{At, repeatable};
use orderflow_mongo::Failure;

use super::{
    Catalog, Stock,
    together::{self, together},
};
use crate::{error::Error, steps::Step, store::State};

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    /// The stock is back, by this call or an earlier one.
    Yes,
    /// No stock is, or was, held for that order.
    NotFound,
    /// Not known.
    Undecided,
}

/// The weight is in orders.
const LANE: Limits = Limits {
    name: "release",
    lanes: 1,
    queue: 2_048,
    items: 256,
    weight: 256,
};

impl Catalog {
    /// Gives the stock of orders back, of each once. The outcomes are in the order of the ids.
    pub(crate) async fn release(&self, order_ids: Vec<Id>) -> Result<Vec<Released>, Error> {
        let orders = order_ids.len();
        Ok(self.releasing.submit(order_ids, orders).await?)
    }
}

/// Starts the lane on which stock is given back.
pub(super) fn lane(stock: Stock) -> Batcher<Vec<Id>, Vec<Released>> {
    together::lane(LANE, move |order_ids| {
        let stock = stock.clone();
        async move { stock.release(order_ids).await }
    })
}

impl Stock {
    async fn release(&self, order_ids: Vec<Id>) -> Vec<Released> {
        let mut distinct = order_ids.clone();
        distinct.sort_unstable();
        distinct.dedup();

        let release = |part, patience| {
            repeatable(Step::ReleaseTogether, move || {
                self.release_together(part, patience)
            })
        };
        let released = together("releases", &distinct, release).await;
        let outcomes: HashMap<_, _> = distinct.iter().zip(released).collect();
        let outcome = |id| match outcomes.get(id) {
            Some(Ok(released)) => *released,
            _ => Released::Undecided,
        };
        order_ids.iter().map(outcome).collect()
    }

    async fn release_together(
        &self,
        order_ids: &[Id],
        patience: Duration,
    ) -> Result<Vec<Released>, Failure> {
        let mut transaction = self.store.transaction(patience).await?;
        loop {
            let attempt = self
                .release_once(transaction.start().await?, order_ids)
                .await;
            if let Some(result) = transaction.end(attempt).await {
                return result;
            }
        }
    }

    /// One attempt. Also what it finds released counts only once it is committed.
    async fn release_once(
        &self,
        session: &mut ClientSession,
        order_ids: &[Id],
    ) -> Result<Vec<Released>, Failure> {
        let known = self.store.reservations_in(session, order_ids).await?;
        let records = &known.records;
        let held: Vec<_> = records.iter().filter(|r| r.state == State::Held).collect();
        if !held.is_empty() {
            let mut given: BTreeMap<Id, i64> = BTreeMap::new();
            for line in held.iter().flat_map(|record| &record.lines) {
                *given.entry(line.product_id).or_default() += line.quantity;
            }
            let ids: Vec<_> = held.iter().map(|record| record.order_id).collect();
            self.store
                .mark_released(session, &ids)
                .at(Step::ReleaseMark)
                .await?;
            self.store
                .change_stock(session, given.into_iter())
                .at(Step::ReleaseGive)
                .await?;
        }
        let states: HashMap<_, _> = records.iter().map(|r| (r.order_id, r.state)).collect();
        let outcome = |id: &Id| match states.get(id) {
            Some(State::Held | State::Released) => Released::Yes,
            Some(State::Refused) => Released::NotFound,
            None if known.unreadable.contains(id) => Released::Undecided,
            None => Released::NotFound,
        };
        Ok(order_ids.iter().map(outcome).collect())
    }
}
