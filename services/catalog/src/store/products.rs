use std::collections::{BTreeMap, HashMap};

use futures::TryStreamExt;
use mongodb::{
    ClientSession, IndexModel,
    bson::{Bson, DateTime, Document, deserialize_from_document, doc},
    error::Error,
    options::{IndexOptions, ReturnDocument},
};
use orderflow_contract::Id;
use orderflow_mongo::{Failure, max_time};
use serde::{Deserialize, Serialize};

use super::{PRODUCTS, Store};
use crate::domain::{Change, Money, Offer, Product};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProductDocument {
    #[serde(rename = "_id")]
    pub(super) id: Id,
    owner_id: Id,
    name: String,
    description: String,
    pub(super) currency: String,
    pub(super) price: i64,
    stock: i64,
    pub(super) create_time: DateTime,
    update_time: DateTime,
    revision: i64,
    withdrawn: bool,
}

pub(super) fn text(id: Id) -> Bson {
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
