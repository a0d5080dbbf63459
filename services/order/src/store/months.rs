//! What was counted and kept: one document for everybody's sales, and for each seller's, of each month.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use mongodb::{
    ClientSession,
    bson::{Bson, Document, deserialize_from_document, doc},
    error::Error,
};
use orderflow_faults::repeatable;
use orderflow_mongo::{Failure, max_time};
use serde::Deserialize;

use super::{
    MONTHS, Store,
    stats::{Row, Sales},
};
use crate::{
    domain::{Day, Order},
    steps::Step,
};

#[derive(Debug, Default, Deserialize)]
struct MonthDocument {
    days: BTreeMap<String, DayDocument>,
}

#[derive(Debug, Default, Deserialize)]
struct DayDocument {
    /// How often orders of the day have changed after its end. Each such change is in one transaction with its increment.
    #[serde(default)]
    version: i64,
    counted: Option<Counted>,
}

#[derive(Debug, Deserialize)]
struct Counted {
    /// The day's version, read before it was counted: once that is another one, the rows are good for nothing.
    version: i64,
    rows: Vec<Row>,
}

/// Months as they were kept; `None` where one cannot be read.
pub(super) struct Kept(BTreeMap<String, Option<MonthDocument>>);

impl Kept {
    fn day(&self, whose: Sales, day: Day) -> Option<&DayDocument> {
        let month = self.0.get(&key(whose, day))?.as_ref()?;
        month.days.get(&day.to_string())
    }

    /// What was counted of a day, if it still is so.
    pub(super) fn rows(&self, whose: Sales, day: Day) -> Option<&[Row]> {
        let day = self.day(whose, day)?;
        let counted = day.counted.as_ref()?;
        (counted.version == day.version).then_some(&counted.rows)
    }
}

/// `all/2026-11`, or the seller's id in place of `all`.
fn key(whose: Sales, day: Day) -> String {
    let month = day.month();
    match whose {
        Sales::Everybodys => format!("all/{month}"),
        Sales::Of(seller_id) => format!("{seller_id}/{month}"),
    }
}

impl Store {
    /// What is kept of the months of these days.
    pub(super) async fn kept(
        &self,
        session: &mut ClientSession,
        whose: Sales,
        first: Day,
        last: Day,
    ) -> Result<Kept, Error> {
        let range = doc! { "_id": { "$gte": key(whose, first), "$lte": key(whose, last) } };
        let found = self.months.find(range).max_time(max_time());
        let mut found = found.session(&mut *session).await?;
        let read = |document: Document| {
            let key = document.get_str("_id").unwrap_or_default().to_owned();
            let month = deserialize_from_document(document)
                .inspect_err(|error| tracing::error!(key, %error, "a broken month"))
                .ok();
            (key, month)
        };
        let months = found.stream(session).map_ok(read).try_collect().await?;
        Ok(Kept(months))
    }

    /// Keeps what was counted of days, for whoever asks next. It is good while the days stand at the versions that they stood at
    /// before; so whoever comes too late, or between others, does no harm. A month without any sales is not worth it.
    pub(super) async fn keep<'a>(
        &self,
        whose: Sales,
        kept: &Kept,
        counted: impl Iterator<Item = (&'a Day, &'a Vec<Row>)>,
    ) {
        let mut months: BTreeMap<String, (bool, Document)> = BTreeMap::new();
        for (day, rows) in counted {
            let (is_worth_it, month) = months.entry(key(whose, *day)).or_default();
            *is_worth_it |= !rows.is_empty();
            let version = kept.day(whose, *day).map_or(0, |day| day.version);
            let rows: Vec<_> = rows.iter().map(Bson::from).collect();
            let counted = doc! { "version": version, "rows": rows };
            month.insert(format!("days.{day}.counted"), counted);
        }
        months.retain(|key, (is_worth_it, _)| match kept.0.get(key) {
            Some(month) => month.is_some(),
            None => *is_worth_it,
        });
        if months.is_empty() {
            return;
        }
        let statement = |(key, (_, month))| {
            doc! { "q": { "_id": key }, "u": { "$set": month }, "upsert": true }
        };
        let statements: Vec<_> = months.into_iter().map(statement).collect();
        let keep = || orderflow_mongo::update_each(&self.database, MONTHS, statements.clone());
        let kept = repeatable(Step::KeepCounted, keep).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "what was counted could not be kept");
        }
    }

    /// Says that the days of these orders are changed by this transaction, for all and for each seller.
    pub(super) async fn mark_changed<'a>(
        &self,
        session: &mut ClientSession,
        orders: impl Iterator<Item = &'a Order>,
    ) -> Result<(), Failure> {
        let mut months: BTreeMap<String, Document> = BTreeMap::new();
        for order in orders {
            let day = order.day();
            let sellers = order.seller_ids().into_iter().map(Sales::Of);
            for whose in sellers.chain([Sales::Everybodys]) {
                let month = months.entry(key(whose, day)).or_default();
                month.insert(format!("days.{day}.version"), 1_i64);
            }
        }
        let statement = |(key, days)| {
            doc! { "q": { "_id": key }, "u": { "$inc": days }, "upsert": true }
        };
        let expected = months.len();
        let statements = months.into_iter().map(statement).collect();
        orderflow_mongo::update(&self.database, session, MONTHS, statements, expected).await
    }
}

impl From<&Row> for Bson {
    fn from(row: &Row) -> Self {
        let Row {
            currency,
            orders,
            revenue,
        } = row;
        doc! { "currency": currency, "orders": orders, "revenue": revenue }.into()
    }
}
