use futures::TryStreamExt;
use mongodb::{
    bson::{Bson, DateTime, Document, doc},
    error::Error,
    options::Hint,
};
use orderflow_contract::Id;
use orderflow_mongo::{
    keyset::{self, Direction},
    max_time,
};

use super::{
    Store,
    indexes::{
        all_by_time, all_by_total, bought_by_time, bought_by_total, sold_by_time, sold_by_total,
    },
    orders::OrderDocument,
};
use crate::domain::{self, Status};

/// What a list of orders is to show.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) whose: Whose,
    pub(crate) status: Option<Status>,
    pub(crate) start_time_ms: Option<i64>,
    pub(crate) end_time_ms: Option<i64>,
    pub(crate) currency: Option<String>,
    pub(crate) order: Order,
    /// The last order of the page before. Its sort keys never change, so its id is position enough; and an id, unlike a total,
    /// tells its holder nothing.
    pub(crate) behind: Option<Id>,
    pub(crate) size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Everybodys,
    BoughtBy(Id),
    SoldBy(Id),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    CreateTime(Direction),
    Total(Direction),
}

impl Order {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::CreateTime(_) => &["create_time", "_id"],
            Self::Total(_) => &["currency", "total", "_id"],
        }
    }

    fn direction(self) -> Direction {
        match self {
            Self::CreateTime(direction) | Self::Total(direction) => direction,
        }
    }

    fn position(self, document: &OrderDocument, id: Id) -> Vec<Bson> {
        match self {
            Self::CreateTime(_) => vec![document.create_time.into(), id.to_string().into()],
            Self::Total(_) => vec![
                document.currency.clone().into(),
                document.total.into(),
                id.to_string().into(),
            ],
        }
    }
}

impl Listing {
    fn index(&self) -> Document {
        match (self.whose, self.order) {
            (Whose::Everybodys, Order::CreateTime(_)) => all_by_time(),
            (Whose::Everybodys, Order::Total(_)) => all_by_total(),
            (Whose::BoughtBy(_), Order::CreateTime(_)) => bought_by_time(),
            (Whose::BoughtBy(_), Order::Total(_)) => bought_by_total(),
            (Whose::SoldBy(_), Order::CreateTime(_)) => sold_by_time(),
            (Whose::SoldBy(_), Order::Total(_)) => sold_by_total(),
        }
    }

    fn conditions(&self) -> Document {
        let mut filter = match self.whose {
            Whose::Everybodys => Document::new(),
            Whose::BoughtBy(id) => doc! { "user_id": id.to_string() },
            Whose::SoldBy(id) => doc! { "seller_ids": id.to_string() },
        };
        let mut time = Document::new();
        if let Some(ms) = self.start_time_ms {
            time.insert("$gte", DateTime::from_millis(ms));
        }
        if let Some(ms) = self.end_time_ms {
            time.insert("$lt", DateTime::from_millis(ms));
        }
        if !time.is_empty() {
            filter.insert("create_time", time);
        }
        if let Some(currency) = &self.currency {
            filter.insert("currency", currency);
        }
        filter
    }

    /// The order of a position. It must be one of this list: a position is no right, and whose place among one's own orders one
    /// may ask for is known. Its status may have changed from page to page.
    fn of_this_list(&self, id: Id) -> Document {
        let mut filter = self.conditions();
        filter.insert("_id", id.to_string());
        filter
    }

    /// One index range for each status and tie.
    fn filter(&self, position: Option<&[Bson]>) -> Document {
        let conditions = self.conditions();
        let range = |status: Status| {
            let mut filter = conditions.clone();
            filter.insert("status", status.name());
            keyset::behind(&filter, self.order.keys(), self.order.direction(), position)
        };
        keyset::any(match self.status {
            Some(status) => range(status),
            None => Status::ALL.into_iter().flat_map(range).collect(),
        })
    }
}

impl Store {
    /// The orders of a list, one more than a page has; `None` if the position is not that of any order.
    pub(crate) async fn page(
        &self,
        listing: &Listing,
    ) -> Result<Option<Vec<domain::Order>>, Error> {
        let position = match listing.behind {
            None => None,
            Some(id) => {
                let last = self.orders.find_one(listing.of_this_list(id));
                match last.max_time(max_time()).await? {
                    Some(document) => Some(listing.order.position(&document, id)),
                    None => return Ok(None),
                }
            }
        };
        let orders = self
            .orders
            .find(listing.filter(position.as_deref()))
            .sort(listing.order.direction().sort(listing.order.keys()))
            .hint(Hint::Keys(listing.index()))
            .limit(i64::try_from(listing.size + 1).unwrap_or(i64::MAX))
            .max_time(max_time())
            .await?;
        orders
            .map_ok(domain::Order::from)
            .try_collect()
            .await
            .map(Some)
    }
}
