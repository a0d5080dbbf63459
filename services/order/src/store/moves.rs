use std::collections::HashMap;

use futures::future::join;
use mongodb::{
    bson::{DateTime, Document, doc},
    error::Error,
};
use orderflow_contract::Id;
use orderflow_faults::repeatable;
use orderflow_mongo::{Failure, is_outage};

use super::{ORDERS, Store, orders::OrderDocument};
use crate::{
    domain::{Move, Order, Status},
    steps::Step,
};

/// A move that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// As it was when it stood where the move begins.
    pub(crate) order: Order,
    pub(crate) step: Move,
    /// What the attempt is known by, once it is made.
    pub(crate) op_id: Id,
}

/// What became of an attempt, with the order as it is now.
#[derive(Debug, Clone)]
pub(crate) enum Made {
    /// It has moved the order, which may have moved on since.
    Yes(Order),
    /// Not, as far as a majority knows. While the order still stands where the move begins, it may yet arrive.
    No(Order),
}

impl Attempt {
    /// Whether it takes the order out of a day that has ended.
    fn is_late(&self, now_ms: i64) -> bool {
        self.step.to == Status::Cancelling && self.order.day().has_ended(now_ms)
    }

    pub(super) fn statement(&self, now_ms: i64) -> Document {
        let Move { from, to } = self.step;
        doc! {
            "q": { "_id": self.order.id.to_string(), "status": from.name() },
            "u": {
                "$set": { "status": to.name(), "update_time": DateTime::from_millis(now_ms) },
                "$push": { "moves": { "to": to.name(), "op_id": self.op_id.to_string() } },
            },
        }
    }

    /// The order behind the move. Nothing else of an order ever changes.
    fn moved(self, now_ms: i64) -> Order {
        Order {
            status: self.step.to,
            update_time_ms: now_ms,
            ..self.order
        }
    }

    /// What became of it, where the answer does not say. Not the status tells: the order may have moved on.
    fn outcome(
        &self,
        found: Option<&OrderDocument>,
        sent: Result<bool, Failure>,
    ) -> Result<Made, Failure> {
        match (found, sent) {
            (Some(order), _) if order.was_moved_by(self.op_id) => {
                Ok(Made::Yes(order.clone().into()))
            }
            (_, Err(failure)) if !is_lost(&failure) => Err(failure),
            (Some(order), _) => Ok(Made::No(order.clone().into())),
            (None, _) => Err(Failure::Rejected("an order cannot be read".to_owned())),
        }
    }
}

/// True for a failure that says nothing about what was done: nobody answered, or no majority did.
fn is_lost(failure: &Failure) -> bool {
    match failure {
        Failure::Unknown(_) => true,
        Failure::Mongo(error) => is_outage(error),
        Failure::Conflict | Failure::Duplicate | Failure::Rejected(_) => false,
    }
}

impl Store {
    /// Makes moves, each on its own, if its order still stands where it begins. The outcomes are in the order of the attempts.
    pub(crate) async fn make_moves(
        &self,
        attempts: Vec<Attempt>,
        now_ms: i64,
    ) -> Vec<Result<Made, Failure>> {
        let is_late = |attempt: &&Attempt| attempt.is_late(now_ms);
        let (late, others): (Vec<_>, Vec<_>) = attempts.iter().partition(is_late);
        let late = self.move_late(&late, now_ms);
        let (late, others) = join(late, self.move_others(&others, now_ms)).await;
        let (mut late, mut others) = (late.into_iter(), others.into_iter());
        let sent = |attempt| {
            let group = if is_late(&attempt) {
                &mut late
            } else {
                &mut others
            };
            group.next().expect("there is one for each")
        };
        let sent: Vec<_> = attempts.iter().map(sent).collect();

        let doubtful = attempts.iter().zip(&sent);
        let doubtful = doubtful.filter(|(_, sent)| !matches!(sent, Ok(true)));
        let doubtful: Vec<_> = doubtful.map(|(attempt, _)| attempt.order.id).collect();
        let found = self.as_they_are(&doubtful).await;
        let outcome = |(attempt, sent): (Attempt, _)| match (sent, &found) {
            (Ok(true), _) => Ok(Made::Yes(attempt.moved(now_ms))),
            (sent, Ok(found)) => attempt.outcome(found.get(&attempt.order.id), sent),
            (_, Err(error)) => Err(error.clone().into()),
        };
        attempts.into_iter().zip(sent).map(outcome).collect()
    }

    /// For each attempt, in their order: true if it was made, false if that is not known of every one.
    async fn move_others(&self, attempts: &[&Attempt], now_ms: i64) -> Vec<Result<bool, Failure>> {
        if attempts.is_empty() {
            return Vec::new();
        }
        let send = || {
            let statements = attempts.iter().map(|attempt| attempt.statement(now_ms));
            orderflow_mongo::update_each(&self.database, ORDERS, statements.collect())
        };
        let sent = repeatable(Step::MoveOrders, send).await;
        vec![sent.map_err(Failure::from); attempts.len()]
    }

    async fn as_they_are(&self, ids: &[Id]) -> Result<HashMap<Id, OrderDocument>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.readable(ids).await?;
        Ok(found.into_iter().map(|order| (order.id(), order)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Line;

    fn pending() -> Order {
        Order {
            id: Id::random(),
            user_id: Id::random(),
            request_id: None,
            lines: Vec::<Line>::new(),
            currency: "TRY".to_owned(),
            total: 0,
            status: Status::Pending,
            create_time_ms: 0,
            update_time_ms: 0,
        }
    }

    #[test]
    fn the_attempt_tells_whether_it_was_made_and_not_the_status() {
        let attempt = Attempt {
            order: pending(),
            step: Move {
                from: Status::Pending,
                to: Status::Shipped,
            },
            op_id: Id::random(),
        };
        let found = |status, moves: &[(Status, Id)]| {
            let order = Order {
                status,
                ..attempt.order.clone()
            };
            OrderDocument::from(&order).moved(moves)
        };
        let made = (Status::Shipped, attempt.op_id);
        let moved_on = [made, (Status::Delivered, Id::random())];
        let moved_on = found(Status::Delivered, &moved_on);
        let by_another = found(Status::Shipped, &[(Status::Shipped, Id::random())]);
        let not_yet = found(Status::Pending, &[]);

        let unacknowledged = || Err(Failure::Unknown(Error::custom("nobody answered")));
        for sent in [Ok(false), unacknowledged()] {
            let outcome = |found| attempt.outcome(Some(found), sent.clone()).unwrap();
            assert!(
                matches!(outcome(&moved_on), Made::Yes(order) if order.status == Status::Delivered)
            );
            assert!(
                matches!(outcome(&by_another), Made::No(order) if order.status == Status::Shipped)
            );
            assert!(
                matches!(outcome(&not_yet), Made::No(order) if order.status == Status::Pending)
            );
            assert!(attempt.outcome(None, sent.clone()).is_err());
        }
        // What cannot be sent is not sent again, but may have been made before.
        let rejected = Err(Failure::Rejected(String::new()));
        assert!(attempt.outcome(Some(&not_yet), rejected.clone()).is_err());
        assert!(matches!(
            attempt.outcome(Some(&moved_on), rejected),
            Ok(Made::Yes(_))
        ));
    }
}
