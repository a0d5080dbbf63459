use std::collections::{BTreeMap, HashMap};

use mongodb::ClientSession;
use orderflow_contract::Id;
use orderflow_mongo::Failure;

use super::Catalog;
use crate::store::State;

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

impl Catalog {
    /// Gives the stock of orders back, of each once. The outcomes are in the order of the ids.
    pub(crate) async fn release(&self, order_ids: Vec<Id>) -> Vec<Released> {
        let mut distinct = order_ids.clone();
        distinct.sort_unstable();
        distinct.dedup();

        let outcomes = self.release_each(&distinct).await;
        let outcome = |id| outcomes.get(id).copied().unwrap_or(Released::Undecided);
        order_ids.iter().map(outcome).collect()
    }

    async fn release_each(&self, order_ids: &[Id]) -> HashMap<Id, Released> {
        match self.release_together(order_ids).await {
            Ok(outcomes) => outcomes,
            Err(failure) if failure.is_of_one_statement() && order_ids.len() > 1 => {
                let mut outcomes = HashMap::new();
                for id in order_ids {
                    outcomes.extend(Box::pin(self.release_each(&[*id])).await);
                }
                outcomes
            }
            Err(failure) => {
                tracing::warn!(
                    cause = orderflow_contract::status::chain(&failure),
                    "releases stay undecided"
                );
                HashMap::new()
            }
        }
    }

    async fn release_together(&self, order_ids: &[Id]) -> Result<HashMap<Id, Released>, Failure> {
        let mut transaction = self.stock.store.transaction().await?;
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
    ) -> Result<HashMap<Id, Released>, Failure> {
        let known = self.stock.store.reservations_in(session, order_ids).await?;
        let records = &known.records;
        let held: Vec<_> = records.iter().filter(|r| r.state == State::Held).collect();
        if !held.is_empty() {
            let mut given: BTreeMap<Id, i64> = BTreeMap::new();
            for line in held.iter().flat_map(|record| &record.lines) {
                *given.entry(line.product_id).or_default() += line.quantity;
            }
            let ids: Vec<_> = held.iter().map(|record| record.order_id).collect();
            self.stock.store.mark_released(session, &ids).await?;
            self.stock
                .store
                .give_stock(session, given.into_iter())
                .await?;
        }
        let state = |id: &Id| records.iter().find(|r| r.order_id == *id).map(|r| r.state);
        let outcome = |id: &Id| match state(id) {
            Some(State::Held | State::Released) => Released::Yes,
            Some(State::Refused) => Released::NotFound,
            None if known.unreadable.contains(id) => Released::Undecided,
            None => Released::NotFound,
        };
        Ok(order_ids.iter().map(|id| (*id, outcome(id))).collect())
    }
}
