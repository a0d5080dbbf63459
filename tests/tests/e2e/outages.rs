//! A MongoDB that fails at single commands.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use orderflow_proto::order::v1::{GetOrderRequest, OrderStatus};
use orderflow_testkit::{Refusal, World};
use tonic::Code;

use crate::{
    failing::Failing,
    inventory::stock,
    orders::update,
    two_replicas::until_known,
    untimed::{Untimed, within},
};

/// Where it fails, at which command, and how: so many times, and then no more.
struct Fault {
    name: &'static str,
    database: &'static str,
    collection: &'static str,
    command: &'static str,
    times: i32,
    how: Document,
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_fail_some_times_lose_nothing_and_double_nothing() {
    let unacknowledged =
        doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } };
    let closed = doc! { "closeConnection": true };
    let conflict = doc! { "errorCode": 112, "errorLabels": ["TransientTransactionError"] };
    let deposed = doc! { "errorCode": 10107, "errorLabels": ["RetryableWriteError"] };
    let fault = |name, database, collection, command, times, how: &Document| Fault {
        name,
        database,
        collection,
        command,
        times,
        how: how.clone(),
    };
    let faults = [
        fault("conflicts", "catalog", "products", "update", 5, &conflict),
        fault(
            "also-of-one",
            "catalog",
            "products",
            "findAndModify",
            1,
            &conflict,
        ),
        fault(
            "one-is-lost",
            "catalog",
            "products",
            "findAndModify",
            1,
            &closed,
        ),
        fault("a-find-is-lost", "catalog", "products", "find", 1, &closed),
        fault("an-insert-is-lost", "order", "orders", "insert", 3, &closed),
        fault(
            "not-acknowledged",
            "order",
            "orders",
            "insert",
            2,
            &unacknowledged,
        ),
        fault("a-new-primary", "order", "orders", "insert", 2, &deposed),
    ];
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(100).create().await;
    let cup = ada.product().stock(100).create().await;
    let mut ids = Vec::new();
    for fault in &faults {
        let database = world.database(fault.database).await;
        let Fault {
            collection,
            command,
            ..
        } = fault;
        let times = doc! { "times": fault.times };
        let failing =
            Failing::on(&database, collection, &[command], times, fault.how.clone()).await;
        let place = async || {
            let order = ada.order().line(&tea, 1).request_id(fault.name);
            // The stock of one product is taken in another way than that of several.
            let order = match *command {
                "findAndModify" => order,
                _ => order.line(&cup, 1),
            };
            order.place().await
        };
        let order = place()
            .await
            .unwrap_or_else(|status| panic!("{}: {status:?}", fault.name));
        assert_eq!(failing.end().await, fault.times, "{}", fault.name);
        assert_eq!(place().await.unwrap().id, order.id);
        ids.push(order.id);
    }
    assert_eq!(stock(&ada, &tea).await, 100 - ids.len() as i64);

    // A read that loses its connection is made again.
    let database = world.database("order").await;
    let times = doc! { "times": 1 };
    let failing = Failing::on(&database, "orders", &["find"], times, closed).await;
    let get = GetOrderRequest { id: ids[0].clone() };
    ada.orders().get_order(get).await.unwrap();
    assert_eq!(failing.end().await, 1);
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_takes_too_long_is_waited_for_as_long_as_the_caller_says() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let database = world.database("order").await;
    let slow = doc! { "blockConnection": true, "blockTimeMS": 1_500 };
    let times = doc! { "times": 1 };
    let failing = Failing::on(&database, "orders", &["insert"], times, slow).await;
    let order = ada.order().line(&tea, 1).request_id("slow").request;
    let request = within(Duration::from_millis(500), order);
    let mut untimed = Untimed::new(world.system.gateway, &ada).orders();
    let refusal = Refusal::of(untimed.create_order(request).await);
    assert_eq!(refusal.code, Code::DeadlineExceeded);
    let place = async || ada.order().line(&tea, 1).request_id("slow").place().await;
    let order = until_known(place).await;
    assert_eq!(failing.end().await, 1);
    assert_eq!(until_known(place).await.id, order.id);
    assert_eq!(stock(&ada, &tea).await, 9);
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_space_on_the_disk_the_outcome_is_unknown_until_there_is_some() {
    const OUT_OF_DISK_SPACE: i32 = 14031;
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let cup = ada.product().create().await;
    let first = ada.order().line(&tea, 1).place().await.unwrap();
    let order = async || ada.order().line(&tea, 1).request_id("full").place().await;
    let several = async || {
        let order = ada.order().line(&tea, 1).line(&cup, 1);
        order.request_id("several").place().await
    };
    let ship = async || update(&ada, &first, OrderStatus::Shipped).await;
    for (database, collection, command) in [
        ("catalog", "products", "findAndModify"),
        ("catalog", "products", "update"),
        ("order", "orders", "insert"),
        ("order", "orders", "update"),
    ] {
        let database = world.database(database).await;
        let full = doc! { "errorCode": OUT_OF_DISK_SPACE };
        let failing = Failing::on(&database, collection, &[command], "alwaysOn", full).await;
        let failed = match (collection, command) {
            ("orders", "update") => ship().await.unwrap_err(),
            ("products", "update") => several().await.unwrap_err(),
            _ => order().await.unwrap_err(),
        };
        assert!(failing.end().await > 0);
        assert_eq!(
            failed.code(),
            Code::Unavailable,
            "{collection} {command}: {failed:?}"
        );
    }
    until_known(order).await;
    until_known(several).await;
    until_known(ship).await;
    assert_eq!(stock(&ada, &tea).await, 7);
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
}
