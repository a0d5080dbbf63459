//! Statistics of days that are over: counted once, and again only when something changes.

use std::{collections::BTreeMap, sync::LazyLock};

use futures::{
    TryStreamExt,
    future::{join_all, try_join_all},
};
use mongodb::{
    Collection, Database,
    bson::{DateTime, Document, doc},
};
use orderflow_contract::{Id, time::now_ms};
use orderflow_proto::order::v1::{DayStats, GetOrderRequest, Order, OrderStatus};
use orderflow_testkit::{Person, World, eventually};
use tonic::Code;

use crate::{
    failing::Failing,
    inventory::{inventory, item, reserve, world_that_settles_nothing},
    orders::{cancel, get, stock, update},
    replica::Replica,
    stats::stats,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Noon, some days ago. Always from the same day, though midnight may pass.
fn days_ago(days: i64) -> DateTime {
    static TODAY: LazyLock<i64> = LazyLock::new(|| now_ms().div_euclid(DAY_MS));
    DateTime::from_millis((*TODAY - days) * DAY_MS + DAY_MS / 2)
}

/// As in `2026-11-22`.
fn name(time: DateTime) -> String {
    time.try_to_rfc3339_string().unwrap()[..10].to_owned()
}

fn orders_of(database: &Database) -> Collection<Document> {
    database.collection("orders")
}

/// What is kept of all months.
async fn kept(database: &Database) -> Vec<Document> {
    let months = database.collection("order_stats");
    let months = months.find(doc! {}).await.unwrap();
    months.try_collect().await.unwrap()
}

/// As if the orders had been placed then.
async fn move_back(database: &Database, orders: &[&Order], to: DateTime) {
    let ids: Vec<_> = orders.iter().map(|order| order.id.as_str()).collect();
    let set = doc! { "$set": { "create_time": to } };
    orders_of(database)
        .update_many(doc! { "_id": { "$in": ids } }, set)
        .await
        .unwrap();
}

/// How many orders somebody sees on a day.
async fn count(person: &Person, day: DateTime) -> i64 {
    let rows = stats(person, &name(day), &name(day)).await;
    rows.iter().map(|row| row.orders).sum()
}

/// What MongoDB looks at while `work` is done: how many index keys and documents of `orders`, of what is kept, and how many of
/// that it writes.
async fn examined(database: &Database, work: impl AsyncFnOnce()) -> [i64; 3] {
    let profile = database.collection::<Document>("system.profile");
    profile.drop().await.unwrap();
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    work().await;
    database.run_command(doc! { "profile": 0 }).await.unwrap();
    let mut sums = [0; 3];
    let mut done = profile.find(doc! {}).await.unwrap();
    while let Some(done) = done.try_next().await.unwrap() {
        let number = |field| done.get_i32(field).map_or(0, i64::from);
        let command = done.get_document("command").unwrap();
        let is_of = |name, collection| command.get_str(name).ok() == Some(collection);
        let looked_at = number("keysExamined") + number("docsExamined");
        if is_of("aggregate", "orders") {
            sums[0] += looked_at;
        } else if is_of("find", "order_stats") {
            sums[1] += looked_at;
        } else if done.get_str("ns").unwrap().ends_with(".order_stats") {
            sums[2] += 1;
        }
    }
    sums
}

/// The first day of a history, so many days ago.
const EARLIEST: i64 = 29;

/// Inserts as many copies of an order as are wanted, over closed days. The earliest is one of them on whatever day this runs: of a
/// month without any sale nothing is kept, so that it would be counted time and again.
async fn history(database: &Database, order: &Order, n: i64) {
    let orders = orders_of(database);
    let of_it = doc! { "_id": &order.id };
    let order = orders.find_one(of_it).await.unwrap().unwrap();
    let copy = |n: i64| {
        let mut order = order.clone();
        order.insert("_id", Id::random().to_string());
        order.insert("create_time", days_ago(3 + n % (EARLIEST - 2)));
        order.insert(
            "status",
            ["PENDING", "SHIPPED", "DELIVERED"][n as usize % 3],
        );
        order
    };
    orders.insert_many((0..n).map(copy)).await.unwrap();
}

/// What somebody sees of all its days and of today, also where midnight has passed by now.
async fn whole_history(person: &Person) -> Vec<DayStats> {
    stats(person, &name(days_ago(EARLIEST)), &name(days_ago(-1))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_they_cost_does_not_grow_with_history() {
    let world = World::start().await;
    let (seller, admin) = (world.person("seller").await, world.admin().await);
    let product = seller.product().create().await;
    let order = seller.order().line(&product, 1).place().await.unwrap();
    let database = world.database("order").await;

    let mut costs = Vec::new();
    let mut orders = 0;
    for more in [1_000, 19_000] {
        history(&database, &order, more).await;
        orders += more;
        // History that came from nowhere, as it does here, is history of which nothing was kept.
        let months = database.collection::<Document>("order_stats");
        months.delete_many(doc! {}).await.unwrap();
        let ask = async || {
            for person in [&admin, &seller] {
                let rows = whole_history(person).await;
                let counted: i64 = rows.iter().map(|row| row.orders).sum();
                assert_eq!(counted, orders + 1);
            }
        };
        let first = examined(&database, ask).await;
        assert!(first[0] > 2 * orders, "{first:?}");
        assert!((2..=4).contains(&first[2]), "{first:?}");
        costs.push(examined(&database, ask).await);
    }
    assert_eq!(costs[0], costs[1]);
    // Of orders, those of today and yesterday; two months are kept at the most, and nothing more.
    let [of_orders, of_months, written] = costs[0];
    assert!(of_orders <= 12, "{of_orders}");
    assert!((2..=8).contains(&of_months), "{of_months}");
    assert_eq!(written, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_are_days_counted_again_on_which_nothing_was_sold() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let product = seller.product().create().await;
    let order = seller.order().line(&product, 1).place().await.unwrap();
    let database = world.database("order").await;
    let long_ago = DateTime::parse_rfc3339_str("2024-02-10T12:00:00Z").unwrap();
    move_back(&database, &[&order], long_ago).await;
    let of_month = async |person: &Person| stats(person, "2024-02-01", "2024-02-29").await;
    let ask = async || assert_eq!(of_month(&seller).await.len(), 1);
    ask().await;
    assert_eq!(examined(&database, ask).await[0], 0);
    // Who never sold anything leaves nothing behind.
    assert_eq!(kept(&database).await.len(), 1);
    assert_eq!(of_month(&buyer).await, []);
    assert_eq!(kept(&database).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_cancel_counts_at_every_replica_and_for_every_seller() {
    let world = World::start().await;
    let (one, other) = (world.person("one").await, world.person("other").await);
    let (buyer, admin) = (world.person("buyer").await, world.admin().await);
    let tea = one.product().stock(10).create().await;
    let cup = other.product().stock(10).create().await;
    let both = || buyer.order().line(&tea, 1).line(&cup, 2).place();
    let (stays, goes) = (both().await.unwrap(), both().await.unwrap());
    let database = world.database("order").await;
    move_back(&database, &[&stays, &goes], days_ago(10)).await;
    let replica = Replica::start(&world).await;
    let askers = [&admin, &one, &other].map(|person| replica.reached_by(person));
    let askers: Vec<_> = [&admin, &one, &other].into_iter().chain(&askers).collect();

    for n in [2, 2] {
        for asker in &askers {
            assert_eq!(count(asker, days_ago(10)).await, n);
        }
    }
    cancel(&replica.reached_by(&buyer), &goes).await.unwrap();
    for asker in &askers {
        assert_eq!(count(asker, days_ago(10)).await, 1);
    }
    // By then it is kept again.
    let ask = async || {
        for asker in &askers {
            assert_eq!(count(asker, days_ago(10)).await, 1);
        }
    };
    assert_eq!(examined(&database, ask).await[0], 0);
    cancel(&buyer, &stays).await.unwrap();
    for asker in &askers {
        assert_eq!(count(asker, days_ago(10)).await, 0);
    }
    assert_eq!(
        examined(&database, async || _ = count(&admin, days_ago(10)).await).await[0],
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_insert_counts_at_every_replica() {
    let world = world_that_settles_nothing().await;
    let (ada, admin) = (world.person("ada").await, world.admin().await);
    let tea = ada.product().stock(10).create().await;
    let ids: [Id; 3] = std::array::from_fn(|_| Id::random());
    let items = ids.map(|id| item(id, &[(&tea, 1)]));
    let inventory = inventory(&world).await;
    reserve(&inventory, items.to_vec()).await;
    // Reserved ten days ago, two of them; and counted by now.
    let reservations = world.database("catalog").await;
    let reservations = reservations.collection::<Document>("reservations");
    for id in &ids[..2] {
        let set = doc! { "$set": { "create_time": days_ago(10) } };
        let of_it = doc! { "_id": id.to_string() };
        reservations.update_one(of_it, set).await.unwrap();
    }
    // Another order of that day, so that something is kept of it.
    let database = world.database("order").await;
    let seller_id = ada.id.as_str();
    let order = doc! {
        "_id": Id::random().to_string(), "user_id": seller_id, "status": "PENDING", "currency": "TRY", "total": 5_i64,
        "create_time": days_ago(10), "update_time": days_ago(10), "seller_ids": [seller_id], "is_shared": false,
        "lines": [], "moves": [],
    };
    orders_of(&database).insert_one(order).await.unwrap();
    for asker in [&ada, &admin] {
        assert_eq!(count(asker, days_ago(10)).await, 1);
    }
    assert_eq!(kept(&database).await.len(), 2);

    let replicas = [Replica::start(&world).await, Replica::start(&world).await];
    for id in ids {
        eventually("the order", async || {
            let get = GetOrderRequest { id: id.to_string() };
            admin.orders().get_order(get).await.ok()
        })
        .await;
    }
    for asker in [&ada, &admin] {
        for asker in [
            asker,
            &replicas[0].reached_by(asker),
            &replicas[1].reached_by(asker),
        ] {
            assert_eq!(count(asker, days_ago(10)).await, 3);
            let rows = stats(asker, "", "").await;
            assert_eq!(rows.iter().map(|row| row.orders).sum::<i64>(), 4);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_count_at_the_same_time_agree() {
    let world = World::start().await;
    let (seller, admin) = (world.person("seller").await, world.admin().await);
    let product = seller.product().create().await;
    let order = seller.order().line(&product, 1).place().await.unwrap();
    let database = world.database("order").await;
    history(&database, &order, 500).await;
    let replica = Replica::start(&world).await;
    for person in [&admin, &seller] {
        let there = replica.reached_by(person);
        let both = [person, &there].into_iter().cycle().take(10);
        let mut answers = join_all(both.map(whole_history)).await;
        answers.push(whole_history(person).await);
        answers.dedup();
        assert_eq!(answers.len(), 1);
        let orders: i64 = answers[0].iter().map(|row| row.orders).sum();
        assert_eq!(orders, 501);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_before_a_late_cancel_and_kept_after_it_is_not_believed() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let order = ada.order().line(&tea, 1).place().await.unwrap();
    let database = world.database("order").await;
    move_back(&database, &[&order], days_ago(10)).await;
    let replica = Replica::start(&world).await;
    let there = replica.reached_by(&ada);

    // One replica has counted, and what it keeps is long on its way, when the other one cancels.
    let slowly = doc! { "blockConnection": true, "blockTimeMS": 1_500 };
    let once = doc! { "times": 1 };
    let failing = Failing::on(&database, "order_stats", &["update"], once, slowly).await;
    let late = async {
        failing.is_met(1).await;
        cancel(&there, &order).await.unwrap();
    };
    let (counted, ()) = futures::join!(count(&ada, days_ago(10)), late);
    assert_eq!(counted, 1);
    assert_eq!(failing.end().await, 1);
    for asker in [&ada, &there] {
        assert_eq!(count(asker, days_ago(10)).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_at_another_version_is_not_believed() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let order = ada.order().line(&tea, 1).place().await.unwrap();
    let database = world.database("order").await;
    move_back(&database, &[&order], days_ago(10)).await;
    assert_eq!(count(&ada, days_ago(10)).await, 1);
    let months = database.collection::<Document>("order_stats");
    let rows = format!("days.{}.counted", name(days_ago(10)));
    let wrong = |version: i64| {
        let rows_of_it = doc! { "currency": "TRY", "orders": 7_i64, "revenue": 7_i64 };
        doc! { "$set": { &rows: { "version": version, "rows": [rows_of_it] } } }
    };
    for (version, believed) in [(0, true), (-1, false), (1, false)] {
        let wrong = months.update_many(doc! {}, wrong(version)).await.unwrap();
        assert_eq!(wrong.matched_count, 1);
        let expected = if believed { 7 } else { 1 };
        assert_eq!(count(&ada, days_ago(10)).await, expected, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_moves_at_several_replicas_are_made_once_each() {
    const N: usize = 40;
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(100).create().await;
    let place = (0..N).map(|_| ada.order().line(&tea, 1).place());
    let orders = try_join_all(place).await.unwrap();
    let database = world.database("order").await;
    // Nothing was counted, so that both replicas are the first to write something of that month.
    move_back(&database, &orders.iter().collect::<Vec<_>>(), days_ago(10)).await;
    let replica = Replica::start(&world).await;
    let there = replica.reached_by(&ada);

    let cancelled = orders.iter().enumerate().map(|(n, order)| {
        let by = if n % 2 == 0 { &ada } else { &there };
        cancel(by, order)
    });
    let again = orders[..10].iter().map(|order| cancel(&there, order));
    let ship = |order| update(&ada, order, OrderStatus::Shipped);
    let shipped = orders[20..].iter().map(ship);
    let (cancelled, again, shipped) =
        futures::join!(join_all(cancelled), join_all(again), join_all(shipped));
    for order in cancelled[..20].iter().chain(&again) {
        assert_eq!(*order.as_ref().unwrap(), OrderStatus::Cancelled);
    }
    let mut live = 0;
    for (order, (cancelled, shipped)) in orders[20..]
        .iter()
        .zip(cancelled[20..].iter().zip(&shipped))
    {
        assert!(
            cancelled.is_ok() != shipped.is_ok(),
            "{cancelled:?} {shipped:?}"
        );
        let end = get(&ada, order).await.unwrap().status();
        assert_eq!(end == OrderStatus::Shipped, shipped.is_ok());
        live += i64::from(shipped.is_ok());
    }
    assert_eq!(stock(&ada, &tea).await, 100 - live);
    for asker in [&ada, &there] {
        assert_eq!(count(asker, days_ago(10)).await, live);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_cancel_whose_answer_got_lost_is_made_once() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let order = ada.order().line(&tea, 1).place().await.unwrap();
    let database = world.database("order").await;
    move_back(&database, &[&order], days_ago(10)).await;
    let how = doc! { "closeConnection": true };
    let twice = doc! { "times": 2 };
    let failing = Failing::on(&database, "order_stats", &["update"], twice, how).await;
    assert_eq!(cancel(&ada, &order).await.unwrap(), OrderStatus::Cancelled);
    assert_eq!(failing.end().await, 2);
    let version = format!("days.{}.version", name(days_ago(10)));
    let months = database.collection::<Document>("order_stats");
    // Of all, and of the seller's.
    let once = months.count_documents(doc! { version: 1 }).await.unwrap();
    assert_eq!(once, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_on_the_day_itself_leaves_no_trace() {
    let world = World::start().await;
    let (ada, admin) = (world.person("ada").await, world.admin().await);
    let tea = ada.product().create().await;
    let (stays, goes) = (
        ada.order().line(&tea, 1).place().await.unwrap(),
        ada.order().line(&tea, 1).place().await.unwrap(),
    );
    cancel(&ada, &goes).await.unwrap();
    update(&ada, &stays, OrderStatus::Shipped).await.unwrap();
    assert_eq!(stats(&admin, "", "").await[0].orders, 1);
    assert_eq!(kept(&world.database("order").await).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_month_spoils_no_other() {
    let world = World::start().await;
    let (one, other) = (world.person("one").await, world.person("other").await);
    let buyer = world.person("buyer").await;
    let database = world.database("order").await;
    let mut orders = BTreeMap::new();
    for seller in [&one, &other] {
        let product = seller.product().stock(100).create().await;
        let place = (0..5).map(|_| buyer.order().line(&product, 1).place());
        orders.insert(seller.id.clone(), try_join_all(place).await.unwrap());
    }
    let all: Vec<_> = orders.values().flatten().collect();
    move_back(&database, &all, days_ago(10)).await;
    let day = name(days_ago(10));
    let month = doc! { "_id": format!("{}/{}", one.id, &day[..7]) };
    let broken = doc! { "days": { &day: { "version": "of another kind" } } };
    database
        .collection("order_stats")
        .replace_one(month, broken)
        .upsert(true)
        .await
        .unwrap();
    // It is counted, though nothing can be kept.
    assert_eq!(count(&one, days_ago(10)).await, 5);

    let cancelled = join_all(all.iter().map(|order| cancel(&buyer, order))).await;
    for (order, cancelled) in all.iter().zip(cancelled) {
        match cancelled {
            Ok(_) => assert!(orders[&other.id].contains(order)),
            Err(status) => {
                assert_eq!(status.code(), Code::Internal);
                assert!(orders[&one.id].contains(order));
            }
        }
    }
    assert_eq!(count(&one, days_ago(10)).await, 5);
    assert_eq!(count(&other, days_ago(10)).await, 0);
}
