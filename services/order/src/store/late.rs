//! Changes of what counts on a day that has ended. Somebody may have counted that day, or be about to: so each change is in one
//! transaction with a new version of the day.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use mongodb::{ClientSession, bson::doc};
use orderflow_contract::Id;
use orderflow_faults::{At, repeatable};
use orderflow_mongo::{Failure, Transaction};

use super::{
    ORDERS, Store,
    moves::Attempt,
    orders::{Key, OrderDocument},
};
use crate::{
    domain::{Order, Status},
    steps::Step,
};

/// How long a transaction is replayed while others get in its way: within what callers wait.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How often orders are looked up again because others were writing them.
const ATTEMPTS: usize = 10;

impl Store {
    async fn transaction(&self) -> Result<Transaction<'_>, Failure> {
        self.transactions.begin(PATIENCE).await
    }

    /// Inserts orders of days that have ended. `Ok` says that all of them are acknowledged by a majority, and which of them were
    /// there already.
    pub(super) async fn insert_late(&self, orders: &[&Order]) -> Result<HashSet<Id>, Failure> {
        let ids: Vec<_> = orders.iter().map(|order| order.id).collect();
        for _ in 0..ATTEMPTS {
            let mut existing = self.existing(&ids).await?;
            let mut new = orders.to_vec();
            new.retain(|order| !existing.contains(&order.id));
            if new.is_empty() {
                return Ok(existing);
            }
            match repeatable(Step::InsertLate, || self.insert_late_together(&new)).await {
                Ok(()) => return Ok(existing),
                // Somebody else writes one of them, or changes one of their days.
                Err(Failure::Duplicate | Failure::Conflict) => {}
                // One of them spoils the transaction for all: alone it spoils its own.
                Err(failure) if failure.is_of_one_statement() && new.len() > 1 => {
                    let mut failed = None;
                    for one in new {
                        match Box::pin(self.insert_late(&[one])).await {
                            Ok(found) => existing.extend(found),
                            Err(failure) => failed = Some(failure),
                        }
                    }
                    return failed.map_or(Ok(existing), Err);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Conflict)
    }

    async fn insert_late_together(&self, orders: &[&Order]) -> Result<(), Failure> {
        let mut transaction = self.transaction().await?;
        loop {
            let attempt = self
                .insert_late_once(transaction.start().await?, orders)
                .await;
            if let Some(result) = transaction.end(attempt).await {
                return result;
            }
        }
    }

    async fn insert_late_once(
        &self,
        session: &mut ClientSession,
        orders: &[&Order],
    ) -> Result<(), Failure> {
        self.mark_changed(session, orders.iter().copied())
            .at(Step::InsertLateDays)
            .await?;
        let documents = orders.iter().map(|order| OrderDocument::from(*order));
        let inserting = self.orders.insert_many(documents).session(session);
        inserting.into_future().at(Step::InsertLateOrders).await?;
        Ok(())
    }

    /// Takes orders out of days that have ended. For each attempt, in their order: true if it was made, false if that is not known
    /// of every one.
    pub(super) async fn move_late(
        &self,
        attempts: &[&Attempt],
        now_ms: i64,
    ) -> Vec<Result<bool, Failure>> {
        if attempts.is_empty() {
            return Vec::new();
        }
        let together = || self.move_late_together(attempts, now_ms);
        match repeatable(Step::MoveLate, together).await {
            Err(failure) if failure.is_of_one_statement() && attempts.len() > 1 => {
                let mut each = Vec::with_capacity(attempts.len());
                // All other moves wait meanwhile, and must not do so for long.
                let until = Instant::now() + PATIENCE;
                for one in attempts {
                    each.push(match Instant::now() < until {
                        true => self.move_late_together(&[one], now_ms).await,
                        false => Err(Failure::Conflict),
                    });
                }
                each
            }
            together => vec![together; attempts.len()],
        }
    }

    async fn move_late_together(
        &self,
        attempts: &[&Attempt],
        now_ms: i64,
    ) -> Result<bool, Failure> {
        let mut transaction = self.transaction().await?;
        loop {
            let attempt = self
                .move_late_once(transaction.start().await?, attempts, now_ms)
                .await;
            if let Some(result) = transaction.end(attempt).await {
                return result;
            }
        }
    }

    async fn move_late_once(
        &self,
        session: &mut ClientSession,
        attempts: &[&Attempt],
        now_ms: i64,
    ) -> Result<bool, Failure> {
        let mut pending = self.pending_among(session, attempts).await?;
        // Of two attempts at one order the first is made.
        let is_first = |attempt: &&&Attempt| pending.remove(&attempt.order.id);
        let made: Vec<_> = attempts.iter().filter(is_first).collect();
        if !made.is_empty() {
            let orders = made.iter().map(|attempt| &attempt.order);
            self.mark_changed(session, orders)
                .at(Step::MoveLateDays)
                .await?;
            let statements = made.iter().map(|attempt| attempt.statement(now_ms));
            let statements = statements.collect();
            orderflow_mongo::update(&self.database, session, ORDERS, statements, made.len())
                .at(Step::MoveLateOrders)
                .await?;
        }
        Ok(made.len() == attempts.len())
    }

    async fn pending_among(
        &self,
        session: &mut ClientSession,
        attempts: &[&Attempt],
    ) -> Result<HashSet<Id>, Failure> {
        let ids = attempts.iter().map(|attempt| attempt.order.id.to_string());
        let ids: Vec<_> = ids.collect();
        let filter = doc! { "_id": { "$in": ids }, "status": Status::Pending.name() };
        let keys = self.orders.clone_with_type::<Key>();
        let mut found = keys
            .find(filter)
            .projection(doc! { "_id": 1 })
            .session(&mut *session)
            .await?;
        let mut pending = HashSet::new();
        while let Some(key) = found.next(session).await.transpose()? {
            pending.insert(key.id);
        }
        Ok(pending)
    }
}
