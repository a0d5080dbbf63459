use std::collections::BTreeMap;

use futures::TryStreamExt;
use mongodb::{
    bson::{Bson, DateTime, Document, doc},
    error::Error,
    options::Hint,
};
use orderflow_contract::Id;
use serde::Deserialize;

use super::{
    Store,
    indexes::{all_by_time, sold_by_time},
};
use crate::domain::Status;

/// Whose sales are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sales {
    Everybodys,
    Of(Id),
}

/// The orders of one day in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DayRow {
    /// `2026-11-22`
    pub(crate) day: String,
    pub(crate) currency: String,
    pub(crate) orders: i64,
    pub(crate) revenue: i64,
}

#[derive(Deserialize)]
struct Grouped {
    #[serde(rename = "_id")]
    key: GroupKey,
    orders: i64,
    revenue: Bson,
}

#[derive(Deserialize)]
struct GroupKey {
    day: String,
    currency: String,
}

impl Store {
    /// Orders created from `start` to before `end`, by day and currency. Orders of one seller are counted from the index alone;
    /// of shared ones, a seller's part stands in the lines.
    pub(crate) async fn sales(
        &self,
        whose: Sales,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<DayRow>, Error> {
        let live: Vec<_> = Status::LIVE.iter().map(|status| status.name()).collect();
        let mut filter = doc! {
            "status": { "$in": live },
            "create_time": {
                "$gte": DateTime::from_millis(start_ms),
                "$lt": DateTime::from_millis(end_ms),
            },
        };
        let rows = match whose {
            Sales::Everybodys => {
                self.grouped(vec![doc! { "$match": filter }], "$total", all_by_time())
                    .await?
            }
            Sales::Of(seller_id) => {
                let seller_id = seller_id.to_string();
                filter.insert("seller_ids", &seller_id);
                filter.insert("is_shared", false);
                let own = vec![doc! { "$match": filter.clone() }];
                let mut rows = self.grouped(own, "$total", sold_by_time()).await?;

                filter.insert("is_shared", true);
                let part = doc! { "$sum": { "$map": {
                    "input": { "$filter": {
                        "input": "$lines",
                        "cond": { "$eq": ["$$this.seller_id", seller_id] },
                    } },
                    "in": { "$multiply": ["$$this.unit_price", "$$this.quantity"] },
                } } };
                let shared = vec![doc! { "$match": filter }];
                rows.extend(self.grouped(shared, part, sold_by_time()).await?);
                rows
            }
        };
        Ok(added_up(rows))
    }

    async fn grouped(
        &self,
        mut pipeline: Vec<Document>,
        revenue: impl Into<Bson>,
        index: Document,
    ) -> Result<Vec<DayRow>, Error> {
        pipeline.push(doc! { "$group": {
            "_id": {
                "day": { "$dateToString": { "date": "$create_time", "format": "%Y-%m-%d" } },
                "currency": "$currency",
            },
            "orders": { "$sum": 1_i64 },
            "revenue": { "$sum": revenue.into() },
        } });
        let groups = self.orders.aggregate(pipeline).hint(Hint::Keys(index));
        let groups = groups.with_type::<Grouped>().await?;
        let row = |group: Grouped| DayRow {
            day: group.key.day,
            currency: group.key.currency,
            orders: group.orders,
            revenue: saturated(&group.revenue),
        };
        groups.map_ok(row).try_collect().await
    }
}

/// A sum of 64-bit numbers becomes a double where it no longer is one; so much is as much as can be said.
fn saturated(sum: &Bson) -> i64 {
    match sum {
        Bson::Int32(sum) => (*sum).into(),
        Bson::Int64(sum) => *sum,
        _ => i64::MAX,
    }
}

/// One row a day and currency, in their order.
fn added_up(rows: Vec<DayRow>) -> Vec<DayRow> {
    let mut sums: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry((row.day, row.currency)).or_default();
        sum.0 += row.orders;
        sum.1 = sum.1.saturating_add(row.revenue);
    }
    let row = |((day, currency), (orders, revenue))| DayRow {
        day,
        currency,
        orders,
        revenue,
    };
    sums.into_iter().map(row).collect()
}
