use std::collections::{BTreeMap, HashMap};

use futures::TryStreamExt;
use mongodb::{
    ClientSession, IndexModel,
    bson::{Bson, DateTime, Document, deserialize_from_document, doc},
    error::Error,
    options::{IndexOptions, ReturnDocument},
};
use orderflow_contract::Id;
use orderflow_mongo::{
    Failure,
    keyset::{self, Direction},
    max_time,
};
use serde::{Deserialize, Serialize};

use super::{PRODUCTS, Store};
use crate::domain::{Change, Money, Offer, Product};

/// How many hits of a text search are considered, best first.
const SEARCHED: i64 = 1_000;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProductDocument {
    #[serde(rename = "_id")]
    id: Id,
    owner_id: Id,
    name: String,
    description: String,
    currency: String,
    price: i64,
    stock: i64,
    create_time: DateTime,
    update_time: DateTime,
    revision: i64,
    withdrawn: bool,
}

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

fn text(id: Id) -> Bson {
    id.to_string().into()
}

/// Withdrawn products are in no index but `_id`, so no list ever passes over them. Stock is in none either: every order
/// changes it.
pub(super) fn indexes() -> Vec<IndexModel> {
    let offered = |keys: Document| {
        let options =
            IndexOptions::builder().partial_filter_expression(doc! { "withdrawn": false });
        IndexModel::builder()
            .keys(keys)
            .options(options.build())
            .build()
    };
    let search = IndexOptions::builder()
        .partial_filter_expression(doc! { "withdrawn": false })
        // Languages drop their common words and cut endings; names are in any language.
        .default_language("none".to_owned())
        .weights(doc! { "name": 4, "description": 1 })
        .build();
    vec![
        offered(doc! { "create_time": 1, "_id": 1 }),
        offered(doc! { "currency": 1, "price": 1, "_id": 1 }),
        offered(doc! { "owner_id": 1, "create_time": 1, "_id": 1 }),
        offered(doc! { "owner_id": 1, "currency": 1, "price": 1, "_id": 1 }),
        IndexModel::builder()
            .keys(doc! { "name": "text", "description": "text" })
            .options(search)
            .build(),
    ]
}

impl From<ProductDocument> for Product {
    fn from(document: ProductDocument) -> Self {
        Self {
            id: document.id,
            owner_id: document.owner_id,
            name: document.name,
            description: document.description,
            price: Money {
                currency: document.currency,
                minor_units: document.price,
            },
            stock: document.stock,
            create_time_ms: document.create_time.timestamp_millis(),
            update_time_ms: document.update_time.timestamp_millis(),
            revision: document.revision,
        }
    }
}

impl From<&Product> for ProductDocument {
    fn from(product: &Product) -> Self {
        Self {
            id: product.id,
            owner_id: product.owner_id,
            name: product.name.clone(),
            description: product.description.clone(),
            currency: product.price.currency.clone(),
            price: product.price.minor_units,
            stock: product.stock,
            create_time: DateTime::from_millis(product.create_time_ms),
            update_time: DateTime::from_millis(product.update_time_ms),
            revision: product.revision,
            withdrawn: false,
        }
    }
}

fn offered(id: Id) -> Document {
    doc! { "_id": text(id), "withdrawn": false }
}

impl Store {
    /// Those of the products that are offered, each read for itself.
    pub(crate) async fn look_up(
        &self,
        ids: Vec<Id>,
    ) -> Result<HashMap<Id, Result<Product, Error>>, Error> {
        let ids = ids.iter().map(Id::to_string).collect();
        let found = orderflow_mongo::find_by_ids(&self.products, ids).await?;
        let product = |(id, found): (String, Result<ProductDocument, _>)| {
            let is_withdrawn = matches!(&found, Ok(product) if product.withdrawn);
            let id = id.parse().ok().filter(|_| !is_withdrawn)?;
            Some((id, found.map(Product::from)))
        };
        Ok(found.into_iter().filter_map(product).collect())
    }

    /// A product, withdrawn or not.
    pub(crate) async fn any_product(&self, id: Id) -> Result<Option<Product>, Error> {
        let found = self.products.find_one(doc! { "_id": text(id) });
        let document = found.max_time(max_time()).await?;
        Ok(document.map(Product::from))
    }

    /// Those of the products that are offered.
    pub(crate) async fn products(&self, ids: &[Id]) -> Result<Vec<Product>, Error> {
        let ids: Vec<_> = ids.iter().copied().map(text).collect();
        let filter = doc! { "_id": { "$in": ids }, "withdrawn": false };
        self.products
            .find(filter)
            .max_time(max_time())
            .await?
            .map_ok(Product::from)
            .try_collect()
            .await
    }

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

    /// What the order path needs of the products that are offered. A product that cannot be read is `None`.
    pub(crate) async fn offers(
        &self,
        session: &mut ClientSession,
        ids: impl Iterator<Item = Id>,
    ) -> Result<HashMap<Id, Option<Offer>>, Failure> {
        let ids: Vec<_> = ids.map(text).collect();
        let filter = doc! { "_id": { "$in": ids }, "withdrawn": false };
        let products = self.products.clone_with_type::<Document>();
        let mut cursor = products
            .find(filter)
            .projection(offer_fields())
            .session(&mut *session)
            .await?;
        let mut offers = HashMap::new();
        while let Some(document) = cursor.next(session).await.transpose()? {
            let Some(id) = document.get_str("_id").ok().and_then(|id| id.parse().ok()) else {
                continue;
            };
            offers.insert(id, read_offer(id, document));
        }
        Ok(offers)
    }

    /// Takes stock from a product, and gives the product as it was before, as `offers` does. Nothing, and nothing is done, if it
    /// is not offered or has less than that.
    pub(crate) async fn take(
        &self,
        session: &mut ClientSession,
        id: Id,
        quantity: i64,
    ) -> Result<HashMap<Id, Option<Offer>>, Failure> {
        let mut having = offered(id);
        having.insert("stock", doc! { "$gte": quantity });
        let products = self.products.clone_with_type::<Document>();
        let taken = products
            .find_one_and_update(having, doc! { "$inc": { "stock": -quantity } })
            .projection(offer_fields())
            .session(session)
            .await?;
        let offer = taken.map(|document| (id, read_offer(id, document)));
        Ok(offer.into_iter().collect())
    }

    /// Gives stock to products, withdrawn or not, or takes it from them: each must still have what is taken.
    ///
    /// One statement for all products that change by the same: planned once, they cost MongoDB a quarter of what a statement
    /// for each would.
    pub(crate) async fn change_stock(
        &self,
        session: &mut ClientSession,
        changes: impl Iterator<Item = (Id, i64)>,
    ) -> Result<(), Failure> {
        let mut products = 0;
        let mut by_change: BTreeMap<i64, Vec<Bson>> = BTreeMap::new();
        for (id, change) in changes {
            products += 1;
            by_change.entry(change).or_default().push(text(id));
        }
        if products == 0 {
            return Ok(());
        }
        let statement = |(change, ids): (i64, Vec<Bson>)| {
            let mut products = doc! { "_id": { "$in": ids } };
            if change < 0 {
                products.insert("stock", doc! { "$gte": -change });
            }
            doc! { "q": products, "u": { "$inc": { "stock": change } }, "multi": true }
        };
        let statements = by_change.into_iter().map(statement).collect();
        self.update(session, PRODUCTS, statements, products).await
    }

    /// Those of the products that are offered, as a transaction sees them.
    pub(crate) async fn products_in(
        &self,
        session: &mut ClientSession,
        ids: impl Iterator<Item = Id>,
    ) -> Result<HashMap<Id, Product>, Failure> {
        let ids: Vec<_> = ids.map(text).collect();
        let filter = doc! { "_id": { "$in": ids }, "withdrawn": false };
        let mut found = self.products.find(filter).session(&mut *session).await?;
        let keyed = found
            .stream(session)
            .map_ok(|found| (found.id, found.into()));
        Ok(keyed.try_collect().await?)
    }

    pub(crate) async fn insert_products(
        &self,
        session: &mut ClientSession,
        products: &[&Product],
    ) -> Result<(), Failure> {
        if !products.is_empty() {
            let documents = products.iter().copied().map(ProductDocument::from);
            self.products
                .insert_many(documents)
                .session(session)
                .await?;
        }
        Ok(())
    }

    /// Changes a product if it still is at `revision`. Never its stock.
    pub(crate) async fn change_product(
        &self,
        id: Id,
        revision: i64,
        change: &Change,
        now_ms: i64,
    ) -> Result<Option<Product>, Error> {
        let mut set = doc! { "update_time": DateTime::from_millis(now_ms) };
        if let Some(name) = &change.name {
            set.insert("name", name);
        }
        if let Some(description) = &change.description {
            set.insert("description", description);
        }
        if let Some(price) = &change.price {
            set.insert("currency", &price.currency);
            set.insert("price", price.minor_units);
        }
        let mut guard = offered(id);
        guard.insert("revision", revision);
        let update = doc! { "$set": set, "$inc": { "revision": 1_i64 } };
        let changed = self
            .products
            .find_one_and_update(guard, update)
            .return_document(ReturnDocument::After)
            .await?;
        Ok(changed.map(Product::from))
    }

    /// Withdraws a product if it still is at `revision`; false if it is not.
    pub(crate) async fn withdraw_product(
        &self,
        id: Id,
        revision: i64,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let mut guard = offered(id);
        guard.insert("revision", revision);
        let update = doc! {
            "$set": { "withdrawn": true, "update_time": DateTime::from_millis(now_ms) },
            "$inc": { "revision": 1_i64 },
        };
        let result = self.products.update_one(guard, update).await?;
        Ok(result.matched_count == 1)
    }
}

#[derive(Deserialize)]
struct OfferDocument {
    name: String,
    owner_id: Id,
    currency: String,
    price: i64,
    stock: i64,
}

fn offer_fields() -> Document {
    doc! { "name": 1, "owner_id": 1, "currency": 1, "price": 1, "stock": 1 }
}

fn read_offer(id: Id, document: Document) -> Option<Offer> {
    deserialize_from_document(document)
        .inspect_err(|error| tracing::error!(product = %id, %error, "a broken product"))
        .ok()
        .map(|offer: OfferDocument| Offer {
            name: offer.name,
            seller_id: offer.owner_id,
            price: Money {
                currency: offer.currency,
                minor_units: offer.price,
            },
            stock: offer.stock,
        })
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
