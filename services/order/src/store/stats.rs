use std::collections::BTreeMap;

use futures::TryStreamExt;
use mongodb::{
    ClientSession,
    bson::{Bson, DateTime, Document, doc},
    error::Error,
    options::Hint,
};
use orderflow_contract::Id;
use orderflow_mongo::max_time;
use serde::{Deserialize, Serialize};

use super::{
    Store,
    indexes::{all_by_time, sold_by_time},
};
use crate::domain::{Day, Status};

/// Whose sales are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sales {
    Everybodys,
    Of(Id),
}

/// The orders of a day in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
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
    day: DateTime,
    currency: String,
}

impl Store {
    /// Orders by the day of their creation and by currency. Days that are closed are counted once and kept; only what is open,
    /// or has changed since, is counted anew.
    pub(crate) async fn sales(
        &self,
        whose: Sales,
        first: Day,
        last: Day,
        now_ms: i64,
    ) -> Result<BTreeMap<Day, Vec<Row>>, Error> {
        // Its reads are causally consistent: what is counted is never older than the version that it will be kept under, not even
        // where another primary comes in between.
        let mut session = self.database.client().start_session().await?;
        let kept = self.kept(&mut session, whose, first, last).await?;
        let mut sales = BTreeMap::new();
        let mut missing = Vec::new();
        for day in first.through(last) {
            match kept.rows(whose, day) {
                Some(rows) if day.is_closed(now_ms) => _ = sales.insert(day, rows.to_vec()),
                _ => missing.push(day),
            }
        }
        let mut counted: BTreeMap<_, _> = missing.iter().map(|day| (*day, Vec::new())).collect();
        for run in runs(&missing) {
            for (day, row) in self.counted(&mut session, whose, run).await? {
                counted.entry(day).or_default().push(row);
            }
        }
        let closed = counted.iter().filter(|(day, _)| day.is_closed(now_ms));
        self.keep(whose, &kept, closed).await;
        sales.extend(counted);
        Ok(sales)
    }

    /// Counts orders of one seller from the index alone; of shared ones, a seller's part stands in the lines.
    async fn counted(
        &self,
        session: &mut ClientSession,
        whose: Sales,
        (first, last): (Day, Day),
    ) -> Result<Vec<(Day, Row)>, Error> {
        let live: Vec<_> = Status::LIVE.iter().map(|status| status.name()).collect();
        let mut filter = doc! {
            "status": { "$in": live },
            "create_time": {
                "$gte": DateTime::from_millis(first.start_ms()),
                "$lt": DateTime::from_millis(last.end_ms()),
            },
        };
        let rows = match whose {
            Sales::Everybodys => {
                let all = doc! { "$match": filter };
                self.grouped(session, all, "$total", all_by_time()).await?
            }
            Sales::Of(seller_id) => {
                let seller_id = seller_id.to_string();
                filter.insert("seller_ids", &seller_id);
                filter.insert("is_shared", false);
                let own = doc! { "$match": filter.clone() };
                let mut rows = self.grouped(session, own, "$total", sold_by_time()).await?;

                filter.insert("is_shared", true);
                let part = doc! { "$sum": { "$map": {
                    "input": { "$filter": {
                        "input": "$lines",
                        "cond": { "$eq": ["$$this.seller_id", seller_id] },
                    } },
                    "in": { "$multiply": ["$$this.unit_price", "$$this.quantity"] },
                } } };
                let shared = doc! { "$match": filter };
                rows.extend(self.grouped(session, shared, part, sold_by_time()).await?);
                rows
            }
        };
        Ok(added_up(rows))
    }

    async fn grouped(
        &self,
        session: &mut ClientSession,
        matching: Document,
        revenue: impl Into<Bson>,
        index: Document,
    ) -> Result<Vec<(Day, Row)>, Error> {
        let group = doc! { "$group": {
            "_id": {
                "day": { "$dateTrunc": { "date": "$create_time", "unit": "day" } },
                "currency": "$currency",
            },
            "orders": { "$sum": 1_i64 },
            "revenue": { "$sum": revenue.into() },
        } };
        let groups = self.orders.aggregate([matching, group]);
        let groups = groups.hint(Hint::Keys(index)).max_time(max_time());
        let groups = groups.with_type::<Grouped>();
        let row = |group: Grouped| {
            let row = Row {
                currency: group.key.currency,
                orders: group.orders,
                revenue: saturated(&group.revenue),
            };
            (Day::of(group.key.day.timestamp_millis()), row)
        };
        let mut groups = groups.session(&mut *session).await?;
        groups.stream(session).map_ok(row).try_collect().await
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
fn added_up(rows: Vec<(Day, Row)>) -> Vec<(Day, Row)> {
    let mut sums: BTreeMap<(Day, String), Row> = BTreeMap::new();
    for (day, row) in rows {
        sums.entry((day, row.currency.clone()))
            .and_modify(|sum| {
                sum.orders += row.orders;
                sum.revenue = sum.revenue.saturating_add(row.revenue);
            })
            .or_insert(row);
    }
    sums.into_iter().map(|((day, _), row)| (day, row)).collect()
}

/// The first and the last of days that follow one another.
fn runs(days: &[Day]) -> Vec<(Day, Day)> {
    let follow = |one: &Day, other: &Day| one.end_ms() == other.start_ms();
    days.chunk_by(follow)
        .map(|run| (run[0], run[run.len() - 1]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn day(n: i64) -> Day {
        Day::of(n * DAY_MS)
    }

    #[test]
    fn days_that_follow_one_another_are_counted_together() {
        assert_eq!(runs(&[]), []);
        assert_eq!(
            runs(&[day(1), day(2), day(3), day(5), day(7), day(8)]),
            [(day(1), day(3)), (day(5), day(5)), (day(7), day(8))]
        );
    }

    #[test]
    fn sums_of_one_day_and_currency_are_one_and_end_where_numbers_do() {
        let row = |currency: &str, orders, revenue| Row {
            currency: currency.to_owned(),
            orders,
            revenue,
        };
        let rows = vec![
            (day(2), row("TRY", 1, i64::MAX)),
            (day(1), row("TRY", 2, 5)),
            (day(2), row("EUR", 1, 3)),
            (day(2), row("TRY", 3, 1)),
        ];
        let sums = [
            (day(1), row("TRY", 2, 5)),
            (day(2), row("EUR", 1, 3)),
            (day(2), row("TRY", 4, i64::MAX)),
        ];
        assert_eq!(added_up(rows), sums);
    }
}
