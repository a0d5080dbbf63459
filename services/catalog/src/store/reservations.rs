use futures::TryStreamExt;
use mongodb::{
    ClientSession,
    bson::{DateTime, Document, deserialize_from_document, doc},
    error::Error,
};
use orderflow_contract::Id;
use orderflow_mongo::{Failure, max_time};
use serde::{Deserialize, Serialize};

use super::{Entry, RESERVATIONS, Store};
use crate::domain::{Decision, HeldLine, Money, RefusedLine, Wish, WishLine};

/// What was decided about an order. Never deleted: a call that was held up for ever so long must find it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    #[serde(rename = "_id")]
    pub(crate) order_id: Id,
    pub(crate) user_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
    pub(crate) state: State,
    pub(crate) create_time: DateTime,
    /// What was asked for.
    asked: Vec<WishLine>,
    /// HELD and RELEASED: what was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lines: Vec<HeldLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<Money>,
    /// REFUSED: why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<RefusedLine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum State {
    Held,
    Released,
    Refused,
}

impl Recorded {
    /// The record of a decision; an undecided wish leaves none.
    pub(crate) fn new(wish: &Wish, decision: Decision, now_ms: i64) -> Option<Self> {
        let record = |state| Self {
            order_id: wish.order_id,
            user_id: wish.user_id,
            request_id: wish.request_id.clone(),
            state,
            create_time: DateTime::from_millis(now_ms),
            asked: wish.lines.clone(),
            lines: Vec::new(),
            total: None,
            refused: Vec::new(),
        };
        match decision {
            Decision::Held { lines, total } => Some(Self {
                lines,
                total: Some(total),
                ..record(State::Held)
            }),
            Decision::Refused(lines) => Some(Self {
                refused: lines,
                ..record(State::Refused)
            }),
            Decision::Undecided => None,
        }
    }

    /// True if the order was asked for with these lines.
    pub(crate) fn is_of(&self, wish: &Wish) -> bool {
        self.asked == wish.lines
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Inserted<'a> {
    Record(&'a Recorded),
    Entry(Entry),
}

impl Store {
    /// Records decisions, and in the same command the journal entry that names those that are HELD.
    pub(crate) async fn insert_reservations(
        &self,
        session: &mut ClientSession,
        records: &[Recorded],
    ) -> Result<(), Failure> {
        let held = records.iter().filter(|record| record.state == State::Held);
        let entry = Entry::of(held.map(|record| record.order_id).collect());
        let records = records.iter().map(Inserted::Record);
        self.reservations
            .clone_with_type::<Inserted<'_>>()
            .insert_many(records.chain(entry.map(Inserted::Entry)))
            .session(session)
            .await?;
        Ok(())
    }

    /// Those of the orders that are known.
    pub(crate) async fn reservations(&self, order_ids: &[Id]) -> Result<Known, Error> {
        let reservations = self.reservations.clone_with_type::<Document>();
        let found = reservations.find(among(order_ids)).max_time(max_time());
        Ok(Known::read(found.await?.try_collect().await?))
    }

    /// Those of the orders that are known, as a transaction sees them.
    pub(crate) async fn reservations_in(
        &self,
        session: &mut ClientSession,
        order_ids: &[Id],
    ) -> Result<Known, Failure> {
        let reservations = self.reservations.clone_with_type::<Document>();
        let mut cursor = reservations
            .find(among(order_ids))
            .session(&mut *session)
            .await?;
        let mut documents = Vec::new();
        while let Some(document) = cursor.next(session).await.transpose()? {
            documents.push(document);
        }
        Ok(Known::read(documents))
    }

    /// HELD to RELEASED, each once.
    pub(crate) async fn mark_released(
        &self,
        session: &mut ClientSession,
        order_ids: &[Id],
    ) -> Result<(), Failure> {
        let mut held = among(order_ids);
        held.insert("state", "HELD");
        let release = doc! { "q": held, "u": { "$set": { "state": "RELEASED" } }, "multi": true };
        self.update(session, RESERVATIONS, vec![release], order_ids.len())
            .await
    }
}

fn among(order_ids: &[Id]) -> Document {
    let ids: Vec<_> = order_ids.iter().map(Id::to_string).collect();
    doc! { "_id": { "$in": ids } }
}

/// What is on record about orders.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) records: Vec<Recorded>,
    /// Orders of which there is a record that cannot be read, perhaps of a newer version: nothing can be said about them.
    pub(crate) unreadable: Vec<Id>,
}

impl Known {
    fn read(documents: Vec<Document>) -> Self {
        let mut known = Self::default();
        for document in documents {
            let id: Option<Id> = document.get_str("_id").ok().and_then(|id| id.parse().ok());
            match deserialize_from_document(document) {
                Ok(record) => known.records.push(record),
                Err(error) => {
                    tracing::error!(order = ?id, %error, "a broken reservation");
                    known.unreadable.extend(id);
                }
            }
        }
        known
    }
}
