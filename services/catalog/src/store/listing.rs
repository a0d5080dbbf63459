use futures::TryStreamExt;
use mongodb::{
    bson::{Bson, DateTime, Document, doc},
    error::Error,
};
use orderflow_contract::Id;
use orderflow_mongo::{
    keyset::{self, Direction},
    max_time,
};
use serde::{Deserialize, Serialize};

use super::{
    Store,
    products::{ProductDocument, text},
};
use crate::domain::Product;

/// How many hits of a text search are considered, best first.
const SEARCHED: i64 = 1_000;

/// What a list of products is to show.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    /// Words to search for.
    pub(crate) words: Option<String>,
    pub(crate) owner_id: Option<Id>,
    pub(crate) currency: Option<String>,
    pub(crate) min_price: Option<i64>,
    pub(crate) max_price: Option<i64>,
    pub(crate) in_stock: Option<bool>,
    pub(crate) order: Order,
    pub(crate) behind: Option<Position>,
    pub(crate) size: usize,
}

/// How a list of products is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    CreateTime(Direction),
    Price(Direction),
    /// Best first; only of a text search.
    Relevance,
}

/// The sort keys of the last item of a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Position {
    CreateTime(i64, Id),
    Price(String, i64, Id),
    /// The bits of the score, for JSON does not keep every float.
    Relevance(u64, Id),
}

impl Order {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::CreateTime(_) => &["create_time", "_id"],
            Self::Price(_) => &["currency", "price", "_id"],
            Self::Relevance => &["score", "_id"],
        }
    }

    fn direction(self) -> Direction {
        match self {
            Self::CreateTime(direction) | Self::Price(direction) => direction,
            Self::Relevance => Direction::Descending,
        }
    }
}

impl Position {
    fn keys(&self) -> Vec<Bson> {
        match self {
            Self::CreateTime(ms, id) => vec![DateTime::from_millis(*ms).into(), text(*id)],
            Self::Price(currency, price, id) => {
                vec![currency.into(), (*price).into(), text(*id)]
            }
            Self::Relevance(score, id) => vec![f64::from_bits(*score).into(), text(*id)],
        }
    }
}

impl Store {
    /// The products of a list with their positions, one more than a page has.
    pub(crate) async fn page(&self, listing: &Listing) -> Result<Vec<(Product, Position)>, Error> {
        let limit = i64::try_from(listing.size + 1).unwrap_or(i64::MAX);
        let found: Vec<Found> = match &listing.words {
            None => {
                let cursor = self
                    .products
                    .find(listing.filter())
                    .sort(listing.sort())
                    .limit(limit)
                    .max_time(max_time());
                let unscored = |product| Found {
                    product,
                    score: 0.0,
                };
                cursor.await?.map_ok(unscored).try_collect().await?
            }
            Some(words) => {
                let pipeline = listing.search(words, limit);
                let cursor = self
                    .products
                    .aggregate(pipeline)
                    .max_time(max_time())
                    .with_type::<Found>()
                    .await?;
                cursor.try_collect().await?
            }
        };
        let placed = |found: Found| {
            let position = found.position(listing.order);
            (found.product.into(), position)
        };
        Ok(found.into_iter().map(placed).collect())
    }
}

#[derive(Deserialize)]
struct Found {
    #[serde(flatten)]
    product: ProductDocument,
    #[serde(default)]
    score: f64,
}

impl Found {
    fn position(&self, order: Order) -> Position {
        let product = &self.product;
        match order {
            Order::CreateTime(_) => {
                Position::CreateTime(product.create_time.timestamp_millis(), product.id)
            }
            Order::Price(_) => Position::Price(product.currency.clone(), product.price, product.id),
            Order::Relevance => Position::Relevance(self.score.to_bits(), product.id),
        }
    }
}

impl Listing {
    /// What all pages of the list have in common.
    fn conditions(&self) -> Document {
        let mut filter = doc! { "withdrawn": false };
        if let Some(owner_id) = self.owner_id {
            filter.insert("owner_id", text(owner_id));
        }
        if let Some(currency) = &self.currency {
            filter.insert("currency", currency);
        }
        let mut price = Document::new();
        if let Some(min) = self.min_price {
            price.insert("$gte", min);
        }
        if let Some(max) = self.max_price {
            price.insert("$lte", max);
        }
        if !price.is_empty() {
            filter.insert("price", price);
        }
        match self.in_stock {
            Some(true) => _ = filter.insert("stock", doc! { "$gt": 0_i64 }),
            Some(false) => _ = filter.insert("stock", 0_i64),
            None => {}
        }
        filter
    }

    fn behind(&self, filter: &Document) -> Document {
        let position = self.behind.as_ref().map(Position::keys);
        let (keys, direction) = (self.order.keys(), self.order.direction());
        keyset::any(keyset::behind(filter, keys, direction, position.as_deref()))
    }

    fn filter(&self) -> Document {
        self.behind(&self.conditions())
    }

    fn sort(&self) -> Document {
        self.order.direction().sort(self.order.keys())
    }

    fn search(&self, words: &str, limit: i64) -> Vec<Document> {
        let mut matching = self.conditions();
        matching.insert("$text", doc! { "$search": words });
        vec![
            doc! { "$match": matching },
            doc! { "$addFields": { "score": { "$meta": "textScore" } } },
            doc! { "$sort": { "score": -1, "_id": -1 } },
            doc! { "$limit": SEARCHED },
            doc! { "$match": self.behind(&Document::new()) },
            doc! { "$sort": self.sort() },
            doc! { "$limit": limit },
        ]
    }
}
