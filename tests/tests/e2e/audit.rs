//! Whoever damages the records, behind the services' back, is found out; whoever uses them is not.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use futures::future::{join, join_all};
use indicatif::ProgressBar;
use mongodb::{
    Collection, Database,
    bson::{DateTime, Document, doc, oid::ObjectId},
};
use orderflow_cli::audit::{Audit, Error, History, State, Status, Violation};
use orderflow_contract::Id;
use orderflow_proto::{
    catalog::v1::{AdjustStockRequest, Product},
    order::v1::{CancelOrderRequest, Order, OrderStatus, UpdateOrderStatusRequest},
};
use orderflow_testkit::{Person, World, eventually};

use crate::{failing::Failing, inventory::entries};

/// The records of a system that has stopped, so that nobody mends them.
struct Records {
    auditor: Audit,
    catalog: Database,
    order: Database,
    /// 100 of each; 97 and 98 are left.
    tea: Id,
    cup: Id,
    /// A tea and a cup.
    pending: Id,
    /// A tea and a cup.
    shipped: Id,
    /// A tea.
    delivered: Id,
    /// A tea and a cup.
    cancelled: Id,
    refused: Id,
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

async fn cancel(person: &Person, order: &Order) {
    let id = order.id.clone();
    person
        .orders()
        .cancel_order(CancelOrderRequest { id })
        .await
        .unwrap();
}

async fn ship(person: &Person, order: &Order, statuses: &[OrderStatus]) {
    for status in statuses {
        let request = UpdateOrderStatusRequest {
            id: order.id.clone(),
            status: (*status).into(),
        };
        person.orders().update_order_status(request).await.unwrap();
    }
}

/// Orders that stand everywhere they can.
async fn some_orders(world: &World) -> (Vec<Product>, Vec<Order>, Id) {
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let (tea, cup) = (
        seller.product().stock(100).create().await,
        seller.product().stock(100).create().await,
    );
    let both = |key: &str| {
        buyer
            .order()
            .line(&tea, 1)
            .line(&cup, 1)
            .request_id(key)
            .place()
    };
    let orders = vec![
        both("pending").await.unwrap(),
        both("shipped").await.unwrap(),
        // Without a request id.
        buyer.order().line(&tea, 1).place().await.unwrap(),
        both("cancelled").await.unwrap(),
    ];
    ship(&seller, &orders[1], &[OrderStatus::Shipped]).await;
    ship(
        &seller,
        &orders[2],
        &[OrderStatus::Shipped, OrderStatus::Delivered],
    )
    .await;
    cancel(&buyer, &orders[3]).await;
    let refused = buyer.order().line(&tea, 1_000).request_id("refused");
    refused.place().await.unwrap_err();
    let refused = Id::derived(&[buyer.id.as_bytes(), b"refused"]);
    (vec![tea, cup], orders, refused)
}

impl Records {
    async fn new() -> Self {
        let world = World::start().await;
        let (products, orders, refused) = some_orders(&world).await;
        let (products, orders) = (
            products
                .iter()
                .map(|product| id(&product.id))
                .collect::<Vec<_>>(),
            orders.iter().map(|order| id(&order.id)).collect::<Vec<_>>(),
        );
        let records = Self {
            auditor: world.auditor().await.patience(Duration::ZERO),
            catalog: world.database("catalog").await,
            order: world.database("order").await,
            tea: products[0],
            cup: products[1],
            pending: orders[0],
            shipped: orders[1],
            delivered: orders[2],
            cancelled: orders[3],
            refused,
        };
        world.system.stop(Duration::from_secs(30)).await;
        // All orders are written.
        records.settle().await;
        records.expect(&[]).await;
        records
    }

    fn products(&self) -> Collection<Document> {
        self.catalog.collection("products")
    }

    fn ledger(&self) -> Collection<Document> {
        self.catalog.collection("ledger")
    }

    fn reservations(&self) -> Collection<Document> {
        self.catalog.collection("reservations")
    }

    /// As the follower does, strikes all entries out of the journal, which stands among the reservations.
    async fn settle(&self) {
        self.reservations().delete_many(entries()).await.unwrap();
    }

    fn orders(&self) -> Collection<Document> {
        self.order.collection("orders")
    }

    /// Exactly these violations, in any order.
    #[track_caller]
    fn expect(&self, expected: &[Violation]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let lines = |violations: &[Violation]| {
            let mut lines: Vec<_> = violations.iter().map(Violation::to_string).collect();
            lines.sort();
            lines
        };
        let expected = lines(expected);
        async move {
            let report = self.auditor.run().await.unwrap();
            assert_eq!(lines(&report.violations), expected, "{caller}: {report}");
            assert_eq!(report.is_clean(), expected.is_empty());
        }
    }
}

async fn set(collection: &Collection<Document>, id: Id, fields: Document) {
    change(collection, id, doc! { "$set": fields }).await;
}

async fn change(collection: &Collection<Document>, id: Id, update: Document) {
    let filter = doc! { "_id": id.to_string() };
    let changed = collection.update_one(filter, update).await.unwrap();
    assert_eq!(changed.modified_count, 1);
}

async fn remove(collection: &Collection<Document>, id: Id) -> Document {
    let filter = doc! { "_id": id.to_string() };
    collection
        .find_one_and_delete(filter)
        .await
        .unwrap()
        .unwrap()
}

/// Inserts what is there under one id under another one as well.
async fn copy(collection: &Collection<Document>, from: Id, to: Id, with: Document) {
    let filter = doc! { "_id": from.to_string() };
    let mut document = collection.find_one(filter).await.unwrap().unwrap();
    document.insert("_id", to.to_string());
    document.extend(with);
    collection.insert_one(document).await.unwrap();
}

#[tokio::test]
async fn a_sound_system_is_found_to_be_sound() {
    let world = World::start().await;
    let (_, orders, refused) = some_orders(&world).await;
    let history = History {
        acknowledged: orders.iter().map(|order| id(&order.id)).collect(),
        refused: vec![refused, Id::random()],
    };
    let auditor = world.auditor().await.expecting(history);
    // Also where each snapshot shows a single order.
    for auditor in [auditor.clone().at_once(1), auditor] {
        let report = auditor.run().await.unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(
            (report.orders, report.reservations, report.products),
            (4, 5, 2)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_system_gives_no_false_alarm() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let (tea, cup) = (
        seller.product().stock(1_000_000).create().await,
        seller.product().stock(1_000_000).create().await,
    );
    let is_over = AtomicBool::new(false);
    let busy = join_all((0..8).map(async |n| {
        for i in 0.. {
            if is_over.load(Relaxed) {
                break;
            }
            let order = buyer.order().line(&tea, 1).line(&cup, 2);
            let order = order.request_id(&format!("{n}-{i}")).place().await.unwrap();
            match i % 3 {
                0 => cancel(&buyer, &order).await,
                1 => ship(&seller, &order, &[OrderStatus::Shipped]).await,
                _ => {
                    let adjust = AdjustStockRequest {
                        product_id: cup.id.clone(),
                        delta: 1,
                        reason: "delivery".to_owned(),
                        request_id: String::new(),
                    };
                    _ = seller.catalog().adjust_stock(adjust).await.unwrap();
                }
            }
        }
    }));
    let audits = async {
        let auditor = world.auditor().await.at_once(20);
        let database = world.database("order").await;
        let placed = database.collection::<Document>("orders");
        eventually("some orders", async || {
            (placed.count_documents(doc! {}).await.unwrap() > 50).then_some(())
        })
        .await;
        let mut orders = 0;
        for _ in 0..3 {
            let report = auditor.run().await.unwrap();
            assert!(report.is_clean(), "{report}");
            assert!(report.orders > orders, "nothing moved: {report}");
            orders = report.orders;
        }
        is_over.store(true, Relaxed);
    };
    join(busy, audits).await;
}

#[tokio::test]
async fn i1_less_than_nothing() {
    let records = Records::new().await;
    change(
        &records.products(),
        records.tea,
        doc! { "$inc": { "stock": -100_i64 } },
    )
    .await;
    let row = doc! { "_id": Id::random().to_string(), "product_id": records.tea.to_string(), "delta": -100_i64 };
    records.ledger().insert_one(row).await.unwrap();
    let product = records.tea;
    records
        .expect(&[Violation::NegativeStock { product, stock: -3 }])
        .await;
}

#[tokio::test]
async fn i2_stock_without_a_reason() {
    let records = Records::new().await;
    // One that is offered, and one that is not.
    change(
        &records.products(),
        records.tea,
        doc! { "$inc": { "stock": 1_i64 } },
    )
    .await;
    set(
        &records.products(),
        records.cup,
        doc! { "withdrawn": true, "stock": 90_i64 },
    )
    .await;
    let unbalanced = |product, stock, held| Violation::Unbalanced {
        product,
        ledger: 100,
        stock,
        held,
    };
    let (tea, cup) = (
        unbalanced(records.tea, 98, 3),
        unbalanced(records.cup, 90, 2),
    );
    records.expect(&[tea.clone(), cup]).await;

    remove(&records.products(), records.cup).await;
    let cup = Violation::NoProduct {
        product: records.cup.to_string(),
        ledger: 100,
        held: 2,
    };
    records.expect(&[tea, cup]).await;
}

#[tokio::test]
async fn i3_orders_that_are_gone() {
    let records = Records::new().await;
    remove(&records.orders(), records.cancelled).await;
    let order = records.cancelled;
    let gone = Violation::ReleasedWithoutOrder { order };
    records.expect(&[gone.clone()]).await;

    let order = Id::random();
    let history = History {
        acknowledged: vec![records.pending, order, records.delivered],
        refused: vec![],
    };
    let auditor = records.auditor.clone().expecting(history);
    let records = Records { auditor, ..records };
    records.expect(&[gone, Violation::Lost { order }]).await;
}

#[tokio::test]
async fn i4_a_second_order_for_one_request_id() {
    let records = Records::new().await;
    let order = Id::random();
    copy(&records.reservations(), records.pending, order, doc! {}).await;
    copy(&records.orders(), records.pending, order, doc! {}).await;
    for product in [records.tea, records.cup] {
        change(
            &records.products(),
            product,
            doc! { "$inc": { "stock": -1_i64 } },
        )
        .await;
    }
    let expected = records.pending;
    records
        .expect(&[Violation::MisnamedOrder { order, expected }])
        .await;
}

#[tokio::test]
async fn i5_what_stays_half_way() {
    let records = Records::new().await;
    let cancelling = doc! { "status": "CANCELLING", "update_time": DateTime::from_millis(7) };
    set(&records.orders(), records.shipped, cancelling).await;
    let shipped = Violation::StuckInCancelling {
        order: records.shipped,
    };
    records.expect(&[shipped.clone()]).await;
    let report = records.auditor.run().await.unwrap();
    assert!(
        report
            .to_string()
            .contains("1, the oldest since 1970-01-01T00:00:00.007Z"),
        "{report}"
    );

    remove(&records.orders(), records.pending).await;
    let order = records.pending;
    records
        .expect(&[shipped.clone(), Violation::Forgotten { order }])
        .await;

    let entry = ObjectId::new();
    let owed = doc! { "_id": entry, "orders": [order.to_string(), records.delivered.to_string()] };
    records.reservations().insert_one(owed).await.unwrap();
    let unwritten = Violation::Unwritten { order };
    records
        .expect(&[shipped, unwritten, Violation::Unsettled { entry }])
        .await;
}

#[tokio::test]
async fn i5_what_is_finished_in_time() {
    let records = Records::new().await;
    set(
        &records.orders(),
        records.delivered,
        doc! { "status": "CANCELLING" },
    )
    .await;
    let written = remove(&records.orders(), records.pending).await;
    let owed = doc! { "orders": [records.pending.to_string()] };
    records.reservations().insert_one(owed).await.unwrap();

    let progress = ProgressBar::hidden();
    let patient = records.auditor.clone().patience(Duration::from_secs(600));
    let auditor = patient.showing(progress.clone());
    let finish = async {
        eventually("the audit to wait", async || {
            (progress.message() == "waiting for 3 unfinished things").then_some(())
        })
        .await;
        records.orders().insert_one(written).await.unwrap();
        records.settle().await;
        // In the sequence of a cancellation, but not in one transaction: the stock comes back beforehand.
        change(
            &records.products(),
            records.tea,
            doc! { "$inc": { "stock": 1_i64 } },
        )
        .await;
        set(
            &records.reservations(),
            records.delivered,
            doc! { "state": "RELEASED" },
        )
        .await;
        set(
            &records.orders(),
            records.delivered,
            doc! { "status": "CANCELLED" },
        )
        .await;
    };
    let (report, ()) = join(auditor.run(), finish).await;
    let report = report.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.unsettled.count, report.cancelling.count), (1, 1));
    records.expect(&[]).await;
}

#[tokio::test]
async fn i6_orders_unlike_their_reservations() {
    let records = Records::new().await;
    let order = records.pending;
    set(
        &records.orders(),
        order,
        doc! { "lines.0.product_name": "Gold", "currency": "EUR" },
    )
    .await;
    let fields = vec!["lines", "currency"];
    let unlike = Violation::Unlike { order, fields };
    // Alive, though its stock was given back; cancelled, though its stock is held.
    set(
        &records.orders(),
        records.cancelled,
        doc! { "status": "PENDING" },
    )
    .await;
    set(
        &records.orders(),
        records.shipped,
        doc! { "status": "CANCELLED" },
    )
    .await;
    let at_odds = |order, status, state| Violation::AtOdds {
        order,
        status,
        state,
    };
    let alive = at_odds(records.cancelled, Status::Pending, State::Released);
    let cancelled = at_odds(records.shipped, Status::Cancelled, State::Held);
    let order = records.delivered;
    set(&records.orders(), order, doc! { "total": 1_i64 }).await;
    set(
        &records.reservations(),
        order,
        doc! { "total.minor_units": 1_i64 },
    )
    .await;
    let (lines, total) = (1_999, 1);
    let wrong_total = Violation::WrongTotal {
        order,
        lines,
        total,
    };
    let found = [unlike, alive, cancelled, wrong_total];
    records.expect(&found).await;

    remove(&records.reservations(), records.cancelled).await;
    let order = records.cancelled;
    let [unlike, _, cancelled, wrong_total] = found;
    let without = Violation::WithoutReservation { order };
    records
        .expect(&[unlike, without, cancelled, wrong_total])
        .await;
}

#[tokio::test]
async fn i7_orders_that_were_refused() {
    let records = Records::new().await;
    let order = records.refused;
    copy(
        &records.orders(),
        records.pending,
        order,
        doc! { "request_id": "refused" },
    )
    .await;
    let refused = Violation::RefusedAndMade { order };
    records.expect(&[refused.clone()]).await;

    // What clients were told is known, too.
    remove(&records.orders(), records.shipped).await;
    let history = History {
        acknowledged: vec![],
        refused: vec![records.pending, records.shipped, Id::random()],
    };
    let auditor = records.auditor.clone().expecting(history);
    let made = |order, made| Violation::MadeDespiteError { order, made };
    let found = [
        refused,
        made(records.pending, "it exists"),
        made(records.shipped, "its stock was reserved"),
        Violation::Forgotten {
            order: records.shipped,
        },
    ];
    let records = Records { auditor, ..records };
    records.expect(&found).await;
}

#[tokio::test]
async fn what_to_do_when_mongodb_has_forgotten_a_snapshot_is_said() {
    let records = Records::new().await;
    // SnapshotTooOld, as after five minutes.
    let how = doc! { "errorCode": 239 };
    let once = doc! { "times": 1 };
    let _failing = Failing::on(&records.catalog, "reservations", &["aggregate"], once, how).await;
    let error = records.auditor.run().await.unwrap_err();
    assert!(matches!(error, Error::TooSlow), "{error}");
    let said = error.to_string();
    assert!(said.contains("minSnapshotHistoryWindowInSeconds"), "{said}");
}

#[tokio::test]
async fn documents_that_cannot_be_read_are_named() {
    let records = Records::new().await;
    set(
        &records.orders(),
        records.pending,
        doc! { "status": "OF_A_NEWER_VERSION" },
    )
    .await;
    set(
        &records.reservations(),
        records.shipped,
        doc! { "state": 7 },
    )
    .await;
    set(&records.products(), records.tea, doc! { "stock": "ten" }).await;
    // A reservation behind all orders, and none of them unreadable.
    let last = id(&"f".repeat(32));
    copy(&records.reservations(), records.refused, last, doc! {}).await;
    let [low, high] = [7.into(), ObjectId::new().into()] as [mongodb::bson::Bson; 2];
    // Ids that sort before and behind all others.
    for id in [&low, &high] {
        records
            .orders()
            .insert_one(doc! { "_id": id })
            .await
            .unwrap();
    }
    records
        .reservations()
        .insert_one(doc! { "_id": &low })
        .await
        .unwrap();
    let row = doc! { "_id": "row", "product_id": records.cup.to_string(), "delta": "ten" };
    records.ledger().insert_one(row).await.unwrap();
    let entry = ObjectId::new();
    records
        .reservations()
        .insert_one(doc! { "_id": entry, "orders": 7 })
        .await
        .unwrap();

    let mut expected = [
        ("orders", records.pending.to_string()),
        ("reservations", records.shipped.to_string()),
        ("products", records.tea.to_string()),
        ("orders", low.to_string()),
        ("orders", high.to_string()),
        ("reservations", low.to_string()),
        ("ledger", "row".to_owned()),
        ("reservations", mongodb::bson::Bson::from(entry).to_string()),
    ];
    expected.sort();
    // One at a time, so that ids of all kinds begin a snapshot.
    for auditor in [records.auditor.clone(), records.auditor.clone().at_once(1)] {
        let report = auditor.run().await.unwrap();
        let unreadable = |violation: &Violation| match violation {
            Violation::Unreadable { collection, id, .. } => (*collection, id.clone()),
            other => panic!("{other}"),
        };
        let mut found: Vec<_> = report.violations.iter().map(unreadable).collect();
        found.sort();
        assert_eq!(found, expected, "{report}");
    }
}
