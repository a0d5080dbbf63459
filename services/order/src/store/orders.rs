use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::{
    bson::{DateTime, Document, deserialize_from_document, doc},
    error::Error,
    options::Hint,
};
use orderflow_contract::{Id, time::now_ms};
use orderflow_mongo::{Failure, max_time};
use serde::{Deserialize, Serialize};

use super::{Store, indexes::all_by_time};
use crate::domain::{Line, Order, Status};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OrderDocument {
    #[serde(rename = "_id")]
    id: Id,
    user_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    lines: Vec<Line>,
    pub(super) currency: String,
    pub(super) total: i64,
    status: Status,
    pub(super) create_time: DateTime,
    update_time: DateTime,
    /// For the indexes: whose lines it has.
    seller_ids: Vec<Id>,
    /// For the statistics: whether a seller's revenue differs from the total.
    is_shared: bool,
    /// Every move with the id of the attempt that made it: so an attempt whose answer got lost can tell that it happened, even
    /// when the order has moved on since.
    #[serde(default)]
    moves: Vec<MoveDocument>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct MoveDocument {
    to: Status,
    op_id: Id,
}

#[derive(Deserialize)]
pub(super) struct Key {
    #[serde(rename = "_id")]
    pub(super) id: Id,
}

impl OrderDocument {
    pub(super) fn id(&self) -> Id {
        self.id
    }

    /// Whether the attempt `op_id` has moved it.
    pub(super) fn was_moved_by(&self, op_id: Id) -> bool {
        self.moves.iter().any(|made| made.op_id == op_id)
    }

    #[cfg(test)]
    pub(super) fn moved(mut self, moves: &[(Status, Id)]) -> Self {
        let made = |&(to, op_id)| MoveDocument { to, op_id };
        self.moves.extend(moves.iter().map(made));
        self
    }
}

impl From<&Order> for OrderDocument {
    fn from(order: &Order) -> Self {
        let seller_ids = order.seller_ids();
        Self {
            id: order.id,
            user_id: order.user_id,
            request_id: order.request_id.clone(),
            lines: order.lines.clone(),
            currency: order.currency.clone(),
            total: order.total,
            status: order.status,
            create_time: DateTime::from_millis(order.create_time_ms),
            update_time: DateTime::from_millis(order.update_time_ms),
            is_shared: seller_ids.len() > 1,
            seller_ids,
            moves: Vec::new(),
        }
    }
}

impl From<OrderDocument> for Order {
    fn from(document: OrderDocument) -> Self {
        Self {
            id: document.id,
            user_id: document.user_id,
            request_id: document.request_id,
            lines: document.lines,
            currency: document.currency,
            total: document.total,
            status: document.status,
            create_time_ms: document.create_time.timestamp_millis(),
            update_time_ms: document.update_time.timestamp_millis(),
        }
    }
}

impl Store {
    /// Those of the orders that exist, as a majority knows them, each read for itself.
    pub(crate) async fn look_up(
        &self,
        ids: Vec<Id>,
    ) -> Result<HashMap<Id, Result<Order, Error>>, Error> {
        let ids = ids.iter().map(Id::to_string).collect();
        let found = orderflow_mongo::find_by_ids(&self.orders, ids).await?;
        let order = |(id, order): (String, Result<OrderDocument, _>)| {
            Some((id.parse().ok()?, order.map(Order::from)))
        };
        Ok(found.into_iter().filter_map(order).collect())
    }

    /// An order, as a majority knows it.
    pub(crate) async fn order(&self, id: Id) -> Result<Option<Order>, Error> {
        let found = self
            .orders
            .find_one(doc! { "_id": id.to_string() })
            .max_time(max_time())
            .await?;
        Ok(found.map(Order::from))
    }

    /// Those of the orders that exist, as a majority knows them. One that cannot be read is reported and left out.
    pub(crate) async fn orders(&self, ids: &[Id]) -> Result<Vec<Order>, Error> {
        let found = self.readable(ids).await?;
        Ok(found.into_iter().map(Order::from).collect())
    }

    /// Which of the orders exist, as a majority knows it; read from the index alone.
    pub(crate) async fn existing(&self, ids: &[Id]) -> Result<HashSet<Id>, Error> {
        let ids: Vec<_> = ids.iter().map(Id::to_string).collect();
        let keys = self.orders.clone_with_type::<Key>();
        let found = keys
            .find(doc! { "_id": { "$in": ids } })
            .projection(doc! { "_id": 1 })
            .max_time(max_time());
        found.await?.map_ok(|key| key.id).try_collect().await
    }

    /// Orders that are being cancelled, oldest first; read from the index alone.
    pub(crate) async fn cancelling(&self) -> Result<Vec<Id>, Error> {
        let keys = self.orders.clone_with_type::<Key>();
        let found = keys
            .find(doc! { "status": Status::Cancelling.name() })
            .sort(doc! { "create_time": 1, "_id": 1 })
            .hint(Hint::Keys(all_by_time()))
            .projection(doc! { "_id": 1 })
            .max_time(max_time());
        found.await?.map_ok(|key| key.id).try_collect().await
    }

    /// What can be read of these orders: one that cannot, perhaps of a newer version, must not take others with it.
    pub(super) async fn readable(&self, ids: &[Id]) -> Result<Vec<OrderDocument>, Error> {
        let ids: Vec<_> = ids.iter().map(Id::to_string).collect();
        let orders = self.orders.clone_with_type::<Document>();
        let found = orders.find(doc! { "_id": { "$in": ids } });
        let found = found.max_time(max_time()).await?;
        let found: Vec<_> = found.try_collect().await?;
        let read = |document: Document| {
            let id = document.get_str("_id").unwrap_or_default().to_owned();
            deserialize_from_document(document)
                .inspect_err(|error| tracing::error!(order = id, %error, "a broken order"))
                .ok()
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// Inserts orders, each on its own. `Ok` says that all of them are acknowledged by a majority, and gives the indices of
    /// those that were there already.
    pub(crate) async fn insert_orders(&self, orders: &[Order]) -> Result<Vec<usize>, Error> {
        let now_ms = now_ms();
        let is_late = |i: &usize| orders[*i].day().has_ended(now_ms);
        let (late, new): (Vec<_>, Vec<_>) = (0..orders.len()).partition(is_late);
        let mut there_already = Vec::new();
        if !new.is_empty() {
            let documents = new.iter().map(|i| OrderDocument::from(&orders[*i]));
            let documents: Vec<_> = documents.collect();
            let found = orderflow_mongo::insert(&self.orders, &documents).await?;
            there_already.extend(found.into_iter().map(|i| new[i]));
        }
        if !late.is_empty() {
            let of_ended_days: Vec<_> = late.iter().map(|i| &orders[*i]).collect();
            let found = self.insert_late(&of_ended_days).await;
            let found = found.map_err(|failure| match failure {
                Failure::Mongo(error) | Failure::Unknown(error) => error,
                failure => Error::custom(failure),
            })?;
            there_already.extend(late.into_iter().filter(|i| found.contains(&orders[*i].id)));
        }
        Ok(there_already)
    }
}
