//! Many orders that move at once.

use futures::{
    future::{join_all, try_join_all},
    stream::{self, StreamExt, TryStreamExt},
};
use mongodb::{
    Collection, Database,
    bson::{Bson, DateTime, Document, doc},
};
use orderflow_contract::Id;
use orderflow_proto::{catalog::v1::Product, order::v1::Order, order::v1::OrderStatus};
use orderflow_testkit::{Person, World, eventually};

use crate::{
    failing::Failing,
    orders::{cancel, get, stock, update},
};

/// `n` orders of one piece each, by the seller themselves.
async fn place(ada: &Person, product: &Product, n: usize) -> Vec<Order> {
    stream::iter(0..n)
        .map(|n| {
            let order = ada.order().line(product, 1);
            order.request_id(&n.to_string()).place()
        })
        .buffered(32)
        .try_collect()
        .await
        .unwrap()
}

fn orders_of(database: &Database) -> Collection<Document> {
    database.collection("orders")
}

/// Each move of an order that MongoDB knows.
async fn moves(orders: &Collection<Document>, id: &str) -> Vec<String> {
    let order = orders.find_one(doc! { "_id": id }).await.unwrap().unwrap();
    let moves = order.get_array("moves").unwrap().iter();
    moves
        .map(|made| {
            let made = made.as_document().unwrap();
            made.get_str("to").unwrap().to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_cancelling_and_shipping_one_wins_for_each_order() {
    const N: usize = 60;
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(100).create().await;
    let orders = place(&ada, &tea, N).await;

    let cancelled = join_all(orders.iter().map(|order| cancel(&ada, order)));
    let ship = |order| update(&ada, order, OrderStatus::Shipped);
    let shipped = join_all(orders.iter().map(ship));
    let (cancelled, shipped) = futures::join!(cancelled, shipped);
    let mut gone = 0;
    for (order, (cancelled, shipped)) in orders.iter().zip(cancelled.iter().zip(&shipped)) {
        let end = get(&ada, order).await.unwrap().status();
        match (cancelled, shipped) {
            (Ok(_), Err(_)) => assert_eq!(end, OrderStatus::Cancelled),
            (Err(_), Ok(_)) => assert_eq!(end, OrderStatus::Shipped),
            both => panic!("{both:?}"),
        }
        gone += i64::from(shipped.is_ok());
    }
    assert_eq!(stock(&ada, &tea).await, 100 - gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_cancelled_once_whoever_asks_and_whoever_places_it_again() {
    const N: usize = 40;
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(100).create().await;
    let orders = place(&ada, &tea, N).await;

    let twice = orders.iter().chain(&orders);
    let cancelled = join_all(twice.map(|order| cancel(&ada, order)));
    let (cancelled, again) = futures::join!(cancelled, place(&ada, &tea, N));
    for cancelled in cancelled {
        assert_eq!(cancelled.unwrap(), OrderStatus::Cancelled);
    }
    let database = world.database("order").await;
    for (order, again) in orders.iter().zip(again) {
        assert_eq!(again.id, order.id);
        assert_eq!(
            get(&ada, order).await.unwrap().status(),
            OrderStatus::Cancelled
        );
        assert_eq!(
            moves(&orders_of(&database), &order.id).await,
            ["CANCELLING", "CANCELLED"]
        );
    }
    assert_eq!(stock(&ada, &tea).await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_at_once_goes_in_few_commands() {
    const N: i32 = 100;
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(1_000).create().await;
    let (order, catalog) = (
        world.database("order").await,
        world.database("catalog").await,
    );
    // While one command takes its time, what comes gathers.
    let slowly = async |database, collection, command| {
        let how = doc! { "blockConnection": true, "blockTimeMS": 300 };
        Failing::on(database, collection, &[command], "alwaysOn", how).await
    };
    let orders = place(&ada, &tea, usize::try_from(N).unwrap()).await;
    let slow = slowly(&order, "orders", "update").await;
    let ship = |order| update(&ada, order, OrderStatus::Shipped);
    try_join_all(orders.iter().map(ship)).await.unwrap();
    let commands = slow.end().await;
    assert!((1..=N / 5).contains(&commands), "{commands} of {N}");

    let cup = ada.product().stock(1_000).create().await;
    let draft = || ada.order().line(&cup, 1).place();
    let orders = try_join_all((0..N).map(|_| draft())).await.unwrap();
    let slow = slowly(&catalog, "reservations", "find").await;
    let cancel = |order| cancel(&ada, order);
    try_join_all(orders.iter().map(cancel)).await.unwrap();
    // Beside them the follower asks for the journal now and then, which stands there too.
    let releases = slow.end().await;
    assert!((1..=N / 5).contains(&releases), "{releases} of {N}");
    assert_eq!(stock(&ada, &cup).await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_neither_moves_an_order_twice_nor_fails_it() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(100).create().await;
    let database = world.database("order").await;
    let orders = place(&ada, &tea, 40).await;
    let unacknowledged = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    // Not done and not answered; done and not acknowledged, which a look-up may find, so that nothing is sent again; refused by one
    // who is primary no longer.
    let failures = [
        (2, doc! { "closeConnection": true }),
        (1, doc! { "writeConcernError": unacknowledged }),
        (2, doc! { "errorCode": 10107 }),
    ];
    let profile = database.collection::<Document>("system.profile");
    for (orders, (times, how)) in orders.chunks(10).zip(failures) {
        profile.drop().await.unwrap();
        database.run_command(doc! { "profile": 2 }).await.unwrap();
        let mode = doc! { "times": times };
        let failing = Failing::on(&database, "orders", &["update"], mode, how).await;
        let ship = |order| update(&ada, order, OrderStatus::Shipped);
        let shipped = try_join_all(orders.iter().map(ship)).await.unwrap();
        assert_eq!(failing.end().await, times);
        assert_eq!(shipped, [OrderStatus::Shipped; 10]);
        database.run_command(doc! { "profile": 0 }).await.unwrap();
        // Whatever is looked up is what a majority knows.
        let look_up =
            doc! { "command.find": "orders", "command.filter._id.$in": { "$exists": true } };
        assert!(profile.count_documents(look_up).await.unwrap() >= 2);
        let otherwise = doc! {
            "command.find": "orders",
            "command.readConcern.level": { "$ne": "majority" },
        };
        assert_eq!(profile.count_documents(otherwise).await.unwrap(), 0);
        for order in orders {
            assert_eq!(moves(&orders_of(&database), &order.id).await, ["SHIPPED"]);
        }
    }
    // Where no answer ever comes, it is not said that nothing was done.
    let how = doc! { "closeConnection": true };
    let failing = Failing::on(&database, "orders", &["update"], "alwaysOn", how).await;
    let unknown = update(&ada, &orders[39], OrderStatus::Shipped).await;
    assert_eq!(unknown.unwrap_err().code(), tonic::Code::Unavailable);
    failing.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellations_that_cannot_be_finished_hide_no_others() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let order = ada.order().line(&tea, 4).place().await.unwrap();
    let orders = orders_of(&world.database("order").await);
    let filter = doc! { "_id": &order.id };
    let cancelling = doc! { "$set": { "status": "CANCELLING" } };
    // More than are taken up at once, older than it, and without a reservation that could be given back.
    let mut stuck = orders.find_one(filter.clone()).await.unwrap().unwrap();
    stuck.insert("status", "CANCELLING");
    stuck.insert("create_time", DateTime::from_millis(0));
    let stuck = (0..600).map(|_| {
        let mut order = stuck.clone();
        order.insert("_id", Bson::String(Id::random().to_string()));
        order
    });
    orders.insert_many(stuck).await.unwrap();
    orders.update_one(filter, cancelling).await.unwrap();

    eventually("the end of it", async || {
        let now = get(&ada, &order).await.unwrap();
        (now.status() == OrderStatus::Cancelled).then_some(())
    })
    .await;
    assert_eq!(stock(&ada, &tea).await, 10);
}
