//! Orders that lie there beforehand: a real one, copied behind the services' backs, as often as wanted.

use std::{ops::Range, time::Duration};

use futures::{StreamExt, TryStreamExt, future::try_join, stream};
use indicatif::{ProgressBar, ProgressStyle};
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc},
    error::Error,
};
use orderflow_contract::{Id, time::now_ms};

use super::{raw, shop::Shop, target::Target};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Over how long the orders are spread.
const SPAN_MS: i64 = 2 * 365 * DAY_MS;
/// How many of those who are measured each have, however long the history is: so they see the same.
const OWN: usize = 500;
/// Among how many the others are spread.
const BUYERS: usize = 20_000;
const SELLERS: usize = 500;
/// How many are written in one command, and how many commands at once.
const CHUNK: usize = 1_000;
const AT_ONCE: usize = 4;

/// How many orders, and how many of them are those of the buyer and of the seller who are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) all: usize,
    pub(super) own: usize,
}

impl Length {
    /// For each number of orders.
    pub(super) fn of(numbers: &[usize]) -> Vec<Self> {
        let smallest = numbers.iter().copied().min().unwrap_or(0);
        let own = OWN.min(smallest / 2);
        numbers.iter().map(|&all| Self { all, own }).collect()
    }
}

/// What is copied, and to whom.
struct History {
    length: Length,
    order: Document,
    reservation: Document,
    orders: Collection<Document>,
    reservations: Collection<Document>,
    buyer: Id,
    seller: Id,
    buyers: Vec<Id>,
    sellers: Vec<Id>,
    /// When the last one was placed. Statistics of what came before are closed; what lies behind it belongs to the present, and
    /// is the same however long the history is.
    end_ms: i64,
}

/// Writes so many orders like this one, of one piece of the first product, each with its reservation; and takes from the stock
/// what they hold.
pub(super) async fn write(
    target: &Target,
    shop: &Shop,
    order: Id,
    length: Length,
) -> Result<(), super::Error> {
    let mongodb = raw::connect(target.mongo_url()?, AT_ONCE).await?;
    let catalog = target.database(&mongodb, "catalog");
    let orders = target.database(&mongodb, "order").collection("orders");
    let reservations = catalog.collection("reservations");
    let of_it = doc! { "_id": order.to_string() };
    let (sample, reservation) = try_join(
        orders.find_one(of_it.clone()).into_future(),
        reservations.find_one(of_it).into_future(),
    )
    .await?;
    let random = |number| (0..number).map(|_| Id::random()).collect();
    let history = History {
        length,
        order: sample.unwrap_or_default(),
        reservation: reservation.unwrap_or_default(),
        orders,
        reservations,
        buyer: shop.buyer().id,
        seller: shop.seller().id,
        buyers: random(BUYERS),
        sellers: random(SELLERS),
        end_ms: (now_ms().div_euclid(DAY_MS) - 1) * DAY_MS,
    };

    // To build them at the end is less work than to keep them up order by order.
    let indexes: Vec<_> = history.orders.list_indexes().await?.try_collect().await?;
    let of_id = doc! { "_id": 1 };
    let secondary = indexes.into_iter().filter(|index| index.keys != of_id);
    history.orders.drop_indexes().await?;

    let bar = ProgressBar::new(length.all as u64);
    let style = ProgressStyle::with_template("history {bar:30} {pos}/{len} {elapsed}");
    bar.set_style(style.expect("the template is valid"));
    bar.enable_steady_tick(Duration::from_millis(200));
    let held: i64 = stream::iter((0..length.all).step_by(CHUNK))
        .map(|first| history.insert(first..length.all.min(first + CHUNK)))
        .buffer_unordered(AT_ONCE)
        .inspect_ok(|_| bar.inc(CHUNK as u64))
        .try_fold(0, async |sum, held| Ok(sum + held))
        .await?;
    history.orders.create_indexes(secondary).await?;
    bar.finish_and_clear();
    catalog
        .collection::<Document>("products")
        .update_one(
            doc! { "_id": &shop.products()[0] },
            doc! { "$inc": { "stock": -held } },
        )
        .await?;
    // So that it is not written out while something is measured.
    let flush = doc! { "fsync": 1 };
    mongodb.database("admin").run_command(flush).await?;
    Ok(())
}

impl History {
    /// Inserts these copies, and says how many of them hold their piece.
    async fn insert(&self, copies: Range<usize>) -> Result<i64, Error> {
        let mut held = 0;
        let (mut orders, mut reservations) = (Vec::new(), Vec::new());
        for n in copies {
            let (order, reservation, is_held) = self.copy(n);
            held += i64::from(is_held);
            orders.push(order);
            reservations.push(reservation);
        }
        try_join(
            self.orders.insert_many(orders).ordered(false).into_future(),
            self.reservations
                .insert_many(reservations)
                .ordered(false)
                .into_future(),
        )
        .await?;
        Ok(held)
    }

    /// The order, its reservation, and whether that holds its piece.
    fn copy(&self, n: usize) -> (Document, Document, bool) {
        let Length { all, own } = self.length;
        let (buyer, seller, nth, of) = if n < own {
            (self.buyer, self.seller, n, own)
        } else {
            let one_of = |ids: &[Id]| ids[rand::random_range(0..ids.len())];
            let (buyer, seller) = (one_of(&self.buyers), one_of(&self.sellers));
            (buyer, seller, n - own, all - own)
        };
        // Evenly, so that a month has of each history what it should.
        let before = SPAN_MS as f64 * (nth + 1) as f64 / of as f64;
        let time = DateTime::from_millis(self.end_ms - before as i64);
        // The newest still have some way to go.
        let (status, is_held) = match nth % 20 {
            0 => ("PENDING", true),
            1 => ("CANCELLED", false),
            2 => ("SHIPPED", true),
            _ => ("DELIVERED", true),
        };
        let (buyer, seller) = (buyer.to_string(), seller.to_string());
        let request_id = Id::random().to_string();
        let id = Id::derived(&[buyer.as_bytes(), request_id.as_bytes()]).to_string();
        let copy = |document: &Document| {
            let mut document = document.clone();
            document.insert("_id", &id);
            document.insert("user_id", &buyer);
            document.insert("request_id", &request_id);
            document.insert("create_time", time);
            let lines = document.get_array_mut("lines").into_iter().flatten();
            for line in lines.filter_map(Bson::as_document_mut) {
                line.insert("seller_id", &seller);
            }
            document
        };
        let (mut order, mut reservation) = (copy(&self.order), copy(&self.reservation));
        order.insert("update_time", time);
        order.insert("status", status);
        order.insert("seller_ids", [&seller]);
        let state = if is_held { "HELD" } else { "RELEASED" };
        reservation.insert("state", state);
        (order, reservation, is_held)
    }
}
