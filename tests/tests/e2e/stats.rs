//! Orders and revenue by day.

use futures::TryStreamExt;
use mongodb::bson::{DateTime, Document, doc};
use orderflow_proto::{
    money::v1::Money,
    order::v1::{CancelOrderRequest, DayStats, GetOrderStatsRequest},
};
use orderflow_testkit::{Person, World, money};

pub(crate) async fn stats(person: &Person, start_day: &str, end_day: &str) -> Vec<DayStats> {
    let request = GetOrderStatsRequest {
        start_day: start_day.to_owned(),
        end_day: end_day.to_owned(),
    };
    person
        .orders()
        .get_order_stats(request)
        .await
        .unwrap()
        .into_inner()
        .days
}

#[tokio::test]
async fn sellers_see_their_own_lines_and_admins_everything() {
    let world = World::start().await;
    let (one, other) = (world.person("one").await, world.person("other").await);
    let (buyer, admin) = (world.person("buyer").await, world.admin().await);
    let tea = one.product().price(5).create().await;
    let cup = other.product().price(7).create().await;
    let euro = Money {
        currency_code: "EUR".to_owned(),
        minor_units: 3,
    };
    let pot = one.product().money(euro).create().await;

    buyer
        .order()
        .line(&tea, 1)
        .line(&cup, 2)
        .place()
        .await
        .unwrap();
    buyer.order().line(&tea, 2).place().await.unwrap();
    buyer.order().line(&pot, 1).place().await.unwrap();
    let cancelled = buyer.order().line(&tea, 3).place().await.unwrap();
    let cancel = CancelOrderRequest { id: cancelled.id };
    buyer.orders().cancel_order(cancel).await.unwrap();

    let rows = async |person: &Person| -> Vec<(i64, Money)> {
        let rows = stats(person, "", "").await;
        rows.into_iter()
            .map(|row| (row.orders, row.revenue.unwrap()))
            .collect()
    };
    let euro = |minor_units| Money {
        currency_code: "EUR".to_owned(),
        minor_units,
    };
    assert_eq!(rows(&one).await, [(1, euro(3)), (2, money(15))]);
    assert_eq!(rows(&other).await, [(1, money(14))]);
    assert_eq!(rows(&admin).await, [(1, euro(3)), (2, money(29))]);
    assert_eq!(rows(&buyer).await, []);
}

#[tokio::test]
async fn days_are_those_of_utc() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let product = ada.product().price(5).create().await;
    let orders = world
        .database("order")
        .await
        .collection::<Document>("orders");
    // Placed at the edges of a day.
    for time in [
        "2026-03-01T00:00:00Z",
        "2026-03-01T23:59:59.999Z",
        "2026-03-02T00:00:00Z",
    ] {
        let order = ada.order().line(&product, 1).place().await.unwrap();
        let time = DateTime::parse_rfc3339_str(time).unwrap();
        let set = doc! { "$set": { "create_time": time } };
        orders
            .update_one(doc! { "_id": order.id }, set)
            .await
            .unwrap();
    }
    let days = async |start, end| -> Vec<(String, i64)> {
        stats(&ada, start, end)
            .await
            .into_iter()
            .map(|row| (row.day, row.orders))
            .collect()
    };
    let (first, second) = (("2026-03-01".to_owned(), 2), ("2026-03-02".to_owned(), 1));
    assert_eq!(days("2026-03-01", "2026-03-01").await, [first.clone()]);
    assert_eq!(days("2026-02-27", "2026-03-02").await, [first, second]);
    assert_eq!(days("2026-02-27", "2026-02-28").await, []);
}

#[tokio::test]
async fn they_are_counted_from_the_index_alone() {
    let world = World::start().await;
    let (seller, admin) = (world.person("seller").await, world.admin().await);
    let product = seller.product().stock(100).create().await;
    for _ in 0..10 {
        seller.order().line(&product, 1).place().await.unwrap();
    }
    let database = world.database("order").await;
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    stats(&admin, "", "").await;
    stats(&seller, "", "").await;
    database.run_command(doc! { "profile": 0 }).await.unwrap();

    let counts = doc! { "command.aggregate": "orders" };
    let profile = database.collection::<Document>("system.profile");
    let counts: Vec<_> = profile
        .find(counts)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    // Everybody's, the seller's own, and those shared with others, of which there are none.
    assert_eq!(counts.len(), 3);
    for count in counts {
        assert_eq!(count.get_i32("docsExamined").unwrap(), 0, "{count}");
        assert!(
            count.get_str("planSummary").unwrap().starts_with("IXSCAN"),
            "{count}"
        );
    }
}

#[tokio::test]
async fn a_sum_that_cannot_be_counted_is_as_much_as_can() {
    let world = World::start().await;
    let (seller, admin) = (world.person("seller").await, world.admin().await);
    let product = seller
        .product()
        .price(1_000_000_000_000)
        .stock(1_000_000)
        .create()
        .await;
    for _ in 0..3 {
        seller.order().line(&product, 10_000).place().await.unwrap();
    }
    let orders = world
        .database("order")
        .await
        .collection::<Document>("orders");
    let much = doc! { "$set": { "total": i64::MAX / 2 } };
    orders.update_many(doc! {}, much).await.unwrap();
    assert_eq!(
        stats(&admin, "", "").await[0].revenue,
        Some(money(i64::MAX))
    );
}
