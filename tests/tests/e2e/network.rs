//! Networks that lose answers, take their time, or forget connections.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use mongodb::bson::{Document, doc};
use orderflow_contract::Id;
use orderflow_proto::{
    catalog::v1::{AdjustStockRequest, Product},
    order::v1::Order,
};
use orderflow_testkit::{Condition, Link, Person, Refusal, World, eventually};
use tonic::{Code, Status};

use crate::{
    inventory::stock,
    programs::{free_address, is_ready, settings, start},
    two_replicas::until_known,
    untimed::{Untimed, within},
};

/// A world in which others come to the catalog by ways of their own: the order service by the first, the gateway by the second.
async fn world_with_ways_to_the_catalog() -> (World, Link, Link) {
    let address = free_address();
    let (from_order, from_gateway) = (Link::to(address).await, Link::to(address).await);
    let url = |link: &Link| format!("http://{}", link.address());
    let world = World::builder()
        .setting("CATALOG_LISTEN", &address.to_string())
        .setting("ORDER_CATALOG_URL", &url(&from_order))
        .setting("GATEWAY_CATALOG_URL", &url(&from_gateway))
        .start()
        .await;
    (world, from_order, from_gateway)
}

/// Places an order of one piece, for so long.
async fn place(
    ada: &Person,
    product: &Product,
    request_id: &str,
    patience: Duration,
) -> Result<Order, Status> {
    let order = ada.order().line(product, 1).request_id(request_id);
    let request = within(patience, order.request);
    let placed = ada.orders().create_order(request).await?;
    Ok(placed.into_inner().order.unwrap())
}

/// Loses what is on its way.
async fn lose(link: &Link) {
    link.becomes(Condition::Cut);
    // Nobody gets through: so the connections that there were have met it.
    eventually("a lost connection", async || {
        let health = orderflow_chassis::health::ask(link.address());
        health.await.is_err().then_some(())
    })
    .await;
    link.becomes(Condition::Whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_catalog_that_is_lost_is_found_by_asking_again() {
    let (world, from_order, from_gateway) = world_with_ways_to_the_catalog().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let catalog = world.database("catalog").await;
    let reservations = catalog.collection::<Document>("reservations");

    from_order.becomes(Condition::Mute);
    let lost = async { Refusal::of(place(&ada, &tea, "lost", Duration::from_secs(20)).await) };
    let reserved = eventually("a reservation", async || {
        reservations
            .find_one(doc! { "state": "HELD" })
            .await
            .unwrap()
    });
    let (refusal, _) = tokio::join!(lost, reserved);
    assert_eq!(refusal.code, Code::Unavailable);
    lose(&from_order).await;
    let order =
        until_known(async || place(&ada, &tea, "lost", Duration::from_secs(20)).await).await;
    assert_eq!(stock(&ada, &tea).await, 9);

    // An adjustment, too.
    let delivery = || AdjustStockRequest {
        product_id: tea.id.clone(),
        delta: 5,
        reason: "delivery".to_owned(),
        request_id: "lost".to_owned(),
    };
    let ledger = catalog.collection::<Document>("ledger");
    from_gateway.becomes(Condition::Mute);
    let mut person = ada.catalog();
    let lost = person.adjust_stock(delivery());
    let adjusted = eventually("a row", async || {
        ledger.find_one(doc! { "delta": 5 }).await.unwrap()
    });
    let cut = async {
        adjusted.await;
        lose(&from_gateway).await;
    };
    let (refusal, ()) = tokio::join!(async { Refusal::of(lost.await) }, cut);
    assert_eq!(refusal.code, Code::Unavailable);
    until_known(async || ada.catalog().adjust_stock(delivery()).await).await;
    assert_eq!(stock(&ada, &tea).await, 14);

    let again = place(&ada, &tea, "lost", Duration::from_secs(20)).await;
    assert_eq!(again.unwrap().id, order.id);
    assert!(world.audit().await.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_slow_keeps_nobody_longer_than_they_wait() {
    const SECOND: Duration = Duration::from_secs(1);
    let (world, from_order, _from_gateway) = world_with_ways_to_the_catalog().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;

    from_order.becomes(Condition::Slow(5 * SECOND));
    let mut untimed = Untimed::new(world.system.gateway, &ada).orders();
    let order = ada.order().line(&tea, 1).request_id("slow").request;
    let began = Instant::now();
    let refusal = Refusal::of(untimed.create_order(within(SECOND, order)).await);
    let taken = began.elapsed();
    assert_eq!(refusal.code, Code::DeadlineExceeded, "{refusal:?}");
    assert!(taken < 2 * SECOND, "{taken:?}");

    from_order.becomes(Condition::Whole);
    until_known(async || place(&ada, &tea, "slow", Duration::from_secs(20)).await).await;
    assert_eq!(stock(&ada, &tea).await, 9);
    assert!(world.audit().await.is_clean());
}

/// A way to MongoDB, and the URL that leads there.
async fn way_to_mongodb(url: &str) -> (Link, String) {
    let addresses = url.strip_prefix("mongodb://").unwrap();
    let first = addresses.split(['/', ',']).next().unwrap();
    let target: SocketAddr = first.parse().unwrap();
    let link = Link::to(target).await;
    // Else the driver would go where the replica set says that it is.
    let url = format!("mongodb://{}/?directConnection=true", link.address());
    (link, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_service_that_wakes_up_does_nothing_twice() {
    let mut settings = settings().await;
    let _user = start("user", &settings);
    let _catalog = start("catalog", &settings);
    let _other = start("order", &settings);
    let (way, url) = way_to_mongodb(&settings["MONGO_URL"]).await;
    settings.insert("ORDER_MONGO_URL".to_owned(), url);
    settings.insert("ORDER_LISTEN".to_owned(), free_address().to_string());
    let sleepy = start("order", &settings);
    settings.insert("ORDER_URL".to_owned(), format!("http://{}", sleepy.address));
    let gateway = start("gateway", &settings);
    eventually("ready", async || is_ready(&gateway).await).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", gateway.address));
    let ada = Person::register(channel.unwrap().connect().await.unwrap(), "ada").await;
    let tea = ada.product().stock(10).create().await;

    // It reserves, and what it writes does not arrive.
    way.becomes(Condition::Silent);
    let placing = place(&ada, &tea, "asleep", Duration::from_secs(60));
    let client = mongodb::Client::with_uri_str(&settings["MONGO_URL"])
        .await
        .unwrap();
    let orders = client
        .database(&settings["ORDER_DATABASE"])
        .collection::<Document>("orders");
    let awake = async {
        // By the follower of the other one.
        let written = eventually("the order", async || {
            orders.find_one(doc! {}).await.unwrap()
        });
        written.await;
        let shipped = doc! { "$set": { "status": "SHIPPED" } };
        orders.update_one(doc! {}, shipped).await.unwrap();
        way.becomes(Condition::Whole);
    };
    let (placed, ()) = tokio::join!(placing, awake);
    let placed = match placed {
        Ok(order) => order,
        // It may have lost patience while it slept.
        Err(_) => {
            until_known(async || place(&ada, &tea, "asleep", Duration::from_secs(20)).await).await
        }
    };
    // As the others have left it.
    assert_eq!(
        placed.status,
        orderflow_proto::order::v1::OrderStatus::Shipped as i32
    );
    assert_eq!(orders.count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(stock(&ada, &tea).await, 9);
    let acknowledged: Vec<Id> = vec![placed.id.parse().unwrap()];
    let history = orderflow_cli::audit::History {
        acknowledged,
        refused: Vec::new(),
    };
    crate::killing::is_clean(&settings, history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_mongodb_lives_and_is_ready_as_soon_as_it_comes() {
    let mut settings = settings().await;
    let (way, url) = way_to_mongodb(&settings["MONGO_URL"]).await;
    way.becomes(Condition::Cut);
    settings.insert("ORDER_MONGO_URL".to_owned(), url);
    let _user = start("user", &settings);
    let _catalog = start("catalog", &settings);
    let mut order = start("order", &settings);
    // Alive, and not ready.
    eventually("listening", async || {
        let problem = orderflow_chassis::health::ask(order.address)
            .await
            .unwrap_err();
        problem.contains("NOT_SERVING").then_some(())
    })
    .await;
    assert!(order.child.try_wait().unwrap().is_none(), "it has ended");

    way.becomes(Condition::Whole);
    eventually("ready", async || is_ready(&order).await).await;
}
