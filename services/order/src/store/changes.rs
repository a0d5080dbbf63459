//! Orders as they change, from a change stream of MongoDB.

use std::sync::Arc;

use mongodb::{
    bson::{
        DateTime, Document, RawDocumentBuf, deserialize_from_document, deserialize_from_slice, doc,
        serialize_to_document,
    },
    change_stream::{ChangeStream, event::ResumeToken},
    error::Error,
    options::FullDocumentType,
};
use serde::{Deserialize, Serialize};

use super::{Store, Whose, orders::OrderDocument};
use crate::domain::{Order, Status};

/// Longer than any that MongoDB makes.
const MAX_POSITION: usize = 2_048;

/// A place in the history of all orders; what sorts behind it came later. That is MongoDB's resume token, of which it says that it
/// can be compared.
///
/// Behind a change it holds the order's id, elsewhere nothing but a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Position(Arc<str>);

/// An order as it was behind a change.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) order: Order,
    pub(crate) position: Position,
}

/// The changes of some orders, in the order in which they were made, each once a majority has acknowledged it.
pub(crate) struct Changes {
    stream: ChangeStream<RawDocumentBuf>,
    position: Position,
    /// The last position that was not that of a change.
    idle: Option<Position>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    full_document: Option<OrderDocument>,
    update_description: Option<Update>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    updated_fields: Moved,
}

/// All of an order that ever changes and can be seen.
#[derive(Deserialize)]
struct Moved {
    status: Option<Status>,
    update_time: Option<DateTime>,
}

impl TryFrom<String> for Position {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_token = text.len() <= MAX_POSITION && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_token.then(|| Self(text.into())).ok_or("no position")
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.0.as_ref().to_owned()
    }
}

impl Position {
    fn of(token: &ResumeToken) -> Result<Self, Error> {
        let token = serialize_to_document(token)?;
        let data = token.get_str("_data").map_err(Error::custom)?;
        Self::try_from(data.to_owned()).map_err(Error::custom)
    }

    fn token(&self) -> Result<ResumeToken, Error> {
        Ok(deserialize_from_document(doc! { "_data": &*self.0 })?)
    }
}

impl Whose {
    /// Whether an order is one of these.
    pub(crate) fn includes(self, order: &Order) -> bool {
        match self {
            Self::Everybodys => true,
            Self::BoughtBy(id) => order.user_id == id,
            Self::SoldBy(id) => order.lines.iter().any(|line| line.seller_id == id),
        }
    }

    /// The changes of these orders.
    fn changes(self) -> Document {
        let mut filter = doc! { "operationType": { "$in": ["insert", "update", "replace"] } };
        match self {
            Self::Everybodys => None,
            Self::BoughtBy(id) => filter.insert("fullDocument.user_id", id.to_string()),
            Self::SoldBy(id) => filter.insert("fullDocument.seller_ids", id.to_string()),
        };
        filter
    }
}

impl Store {
    /// The changes behind a position, or from now on.
    pub(crate) async fn changes(
        &self,
        whose: Whose,
        behind: Option<&Position>,
    ) -> Result<Changes, Error> {
        let resume_after = behind.map(Position::token).transpose()?;
        loop {
            let stream = self
                .orders
                .watch()
                .pipeline([doc! { "$match": whose.changes() }])
                // Of an update there is but what it has set: the rest is looked up.
                .full_document(FullDocumentType::UpdateLookup)
                .resume_after(resume_after.clone())
                .await?;
            // Without one something has changed at this very moment, and where "now" is cannot be told: once more.
            if let Some(token) = stream.resume_token() {
                let position = Position::of(&token)?;
                let idle = behind.is_none().then(|| position.clone());
                return Ok(Changes {
                    stream: stream.with_type(),
                    position,
                    idle,
                });
            }
        }
    }
}

impl Changes {
    /// All changes up to here have been seen.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// The last such position that is not that of a change, if there was one.
    pub(crate) fn idle(&self) -> Option<&Position> {
        self.idle.as_ref()
    }

    /// The next change; `None` if there is none for the moment, which MongoDB waits a second for.
    pub(crate) async fn next(&mut self) -> Result<Option<Change>, Error> {
        let event = self.stream.next_if_any().await?;
        if event.is_none() && !self.stream.is_alive() {
            return Err(Error::custom("the collection is there no more"));
        }
        if let Some(token) = self.stream.resume_token() {
            let before = std::mem::replace(&mut self.position, Position::of(&token)?);
            if event.is_none() && self.position > before {
                self.idle = Some(self.position.clone());
            }
        }
        Ok(event.and_then(|event| {
            Some(Change {
                order: order_behind(&event)?,
                position: self.position.clone(),
            })
        }))
    }
}

/// An order that cannot be read, perhaps of a newer version, is reported and left out.
fn order_behind(event: &RawDocumentBuf) -> Option<Order> {
    let read = deserialize_from_slice::<Event>(event.as_bytes());
    let event = read
        .inspect_err(|error| tracing::error!(%error, "a change that cannot be read"))
        .ok()?;
    let mut order = Order::from(event.full_document?);
    // It was looked up later, and may have moved on since; but nothing else of it ever changes.
    if let Some(Update { updated_fields }) = event.update_description {
        if let Some(status) = updated_fields.status {
            order.status = status;
        }
        if let Some(time) = updated_fields.update_time {
            order.update_time_ms = time.timestamp_millis();
        }
    }
    Some(order)
}
