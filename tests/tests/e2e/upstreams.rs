//! Replicas that die and services that do not answer.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use futures::future::join_all;
use mongodb::bson::{Document, doc};
use orderflow_cli::audit::History;
use orderflow_proto::catalog::v1::{GetProductRequest, ListProductsRequest, Product};
use orderflow_testkit::{Person, Refusal, World, eventually};
use tokio::time::Instant;
use tonic::{Code, transport::Endpoint};

use crate::{
    failing::Failing,
    killing::is_clean,
    programs::{Program, free_address, is_ready, settings, signal, start},
    untimed::{Untimed, within},
};

async fn person(gateway: &Program) -> Person {
    eventually("ready", async || is_ready(gateway).await).await;
    let channel = Endpoint::from_shared(format!("http://{}", gateway.address)).unwrap();
    Person::register(channel.connect().await.unwrap(), "ada").await
}

fn of(product: &Product) -> GetProductRequest {
    GetProductRequest {
        id: product.id.clone(),
    }
}

/// The call ends with DEADLINE_EXCEEDED, and not after twice the time.
async fn is_exceeded<T: std::fmt::Debug>(
    what: &str,
    timeout: Duration,
    call: impl Future<Output = Result<T, tonic::Status>>,
) {
    let began = Instant::now();
    let refusal = Refusal::of(call.await);
    let taken = began.elapsed();
    assert_eq!(refusal.code, Code::DeadlineExceeded, "{what}: {refusal:?}");
    assert!(taken < 2 * timeout, "{what}: {taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_catalog_of_two_killed_under_load_is_hardly_noticed() {
    const CLIENTS: usize = 16;
    let settings = settings().await;
    let mut others = settings.clone();
    others.insert("CATALOG_LISTEN".to_owned(), free_address().to_string());
    let both = [&settings, &others].map(|s| format!("http://{}", s["CATALOG_LISTEN"]));
    let mut callers = settings.clone();
    callers.insert("CATALOG_URL".to_owned(), both.join(","));
    let _user = start("user", &settings);
    let mut catalogs = [start("catalog", &settings), start("catalog", &others)];
    for catalog in &catalogs {
        eventually("a catalog", async || is_ready(catalog).await).await;
    }
    let _order = start("order", &callers);
    let gateway = start("gateway", &callers);
    let ada = person(&gateway).await;
    let product = ada.product().stock(100_000).create().await;

    let acknowledged = AtomicUsize::new(0);
    let killed = std::sync::OnceLock::<Instant>::new();
    let is_late = || {
        killed
            .get()
            .is_some_and(|at| at.elapsed() > Duration::from_secs(5))
    };
    let is_over = || {
        killed
            .get()
            .is_some_and(|at| at.elapsed() > Duration::from_secs(8))
    };
    // What became of calls after 5 s, and the orders that there are.
    let client = async |client: usize| {
        let (mut late, mut orders) = (HashMap::<Code, usize>::new(), Vec::new());
        let mut n = 0;
        while !is_over() {
            n += 1;
            let counts = is_late();
            let request_id = format!("{client}-{n}");
            let order = ada.order().line(&product, 1).request_id(&request_id);
            let placed = order.place().await;
            let read = ada.catalog().get_product(of(&product)).await;
            let codes = [
                placed
                    .as_ref()
                    .map_or_else(|status| status.code(), |_| Code::Ok),
                read.map_or_else(|status| status.code(), |_| Code::Ok),
            ];
            if let Ok(order) = placed {
                orders.push(order.id.parse().unwrap());
                acknowledged.fetch_add(1, SeqCst);
            }
            for code in codes {
                // While one takes over from the other, outcomes may be unknown, and no more than that.
                let unknown = [Code::Unavailable, Code::DeadlineExceeded];
                assert!(code == Code::Ok || unknown.contains(&code), "{code:?}");
                *late.entry(code).or_default() += usize::from(counts);
            }
        }
        (late, orders)
    };
    let killer = async {
        eventually("some orders", async || {
            (acknowledged.load(SeqCst) >= 100).then_some(())
        })
        .await;
        // The one that the order service prefers.
        catalogs.sort_by_key(|catalog| catalog.address);
        catalogs[0].child.kill().await.unwrap();
        killed.set(Instant::now()).unwrap();
    };
    let (outcomes, ()) = tokio::join!(join_all((0..CLIENTS).map(client)), killer);

    let count = |wanted: fn(&Code) -> bool| -> usize {
        let all = outcomes.iter().flat_map(|(late, _)| late);
        all.filter(|(code, _)| wanted(code)).map(|(_, n)| n).sum()
    };
    let (all, successes) = (count(|_| true), count(|code| *code == Code::Ok));
    assert!(all > 100, "{all}");
    assert!(successes * 100 >= all * 99, "{successes} of {all}");
    let acknowledged = outcomes.into_iter().flat_map(|(_, orders)| orders);
    let history = History {
        acknowledged: acknowledged.collect(),
        refused: Vec::new(),
    };
    is_clean(&settings, history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_stopped_takes_no_more_than_the_callers_time() {
    const SECOND: Duration = Duration::from_secs(1);
    let settings = settings().await;
    let _user = start("user", &settings);
    let catalog = start("catalog", &settings);
    let _order = start("order", &settings);
    let gateway = start("gateway", &settings);
    let ada = person(&gateway).await;
    let product = ada.product().create().await;
    let order = |request_id: &str| {
        let order = ada.order().line(&product, 1);
        order.request_id(request_id).request
    };
    let untimed = Untimed::new(gateway.address, &ada);

    signal(&catalog, "-STOP").await;
    // The first while nobody knows, the last when everybody does.
    for n in 0..4 {
        let (mut reader, mut buyer) = (untimed.catalog(), untimed.orders());
        let placed = order(&format!("stopped-{n}"));
        tokio::join!(
            is_exceeded(
                "read",
                SECOND,
                reader.get_product(within(SECOND, of(&product)))
            ),
            is_exceeded("order", SECOND, buyer.create_order(within(SECOND, placed))),
        );
    }

    signal(&catalog, "-CONT").await;
    eventually("ready again", async || is_ready(&gateway).await).await;
    let placed = ada.orders().create_order(order("stopped-0")).await.unwrap();
    let again = ada.orders().create_order(order("stopped-0")).await.unwrap();
    let id = |placed: tonic::Response<orderflow_proto::order::v1::CreateOrderResponse>| {
        placed.into_inner().order.unwrap().id
    };
    let id = id(placed);
    assert_eq!(again.into_inner().order.unwrap().id, id);
    let history = History {
        acknowledged: [id.parse().unwrap()].into(),
        refused: Vec::new(),
    };
    is_clean(&settings, history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_read_ends_with_its_call_and_mongodb_knows_when() {
    const SECOND: Duration = Duration::from_secs(1);
    let world = World::start().await;
    let ada = world.person("ada").await;
    let product = ada.product().create().await;
    let catalog = world.database("catalog").await;
    let list = || within(SECOND, ListProductsRequest::default());

    catalog.run_command(doc! { "profile": 2 }).await.unwrap();
    ada.catalog().list_products(list()).await.unwrap();
    catalog.run_command(doc! { "profile": 0 }).await.unwrap();
    let profile = catalog.collection::<Document>("system.profile");
    let of_list = doc! { "command.find": "products", "command.limit": { "$gt": 1 } };
    let asked = profile.find_one(of_list).await.unwrap().unwrap();
    let max_time = asked
        .get_document("command")
        .unwrap()
        .get("maxTimeMS")
        .unwrap()
        .clone();
    let max_time_ms = max_time
        .as_i64()
        .or(max_time.as_i32().map(Into::into))
        .unwrap();
    assert!((1..1_000).contains(&max_time_ms), "{max_time_ms}");

    let slow = doc! { "blockConnection": true, "blockTimeMS": 5_000 };
    let failing = Failing::on(&catalog, "products", &["find"], "alwaysOn", slow).await;
    let untimed = Untimed::new(world.system.gateway, &ada);
    let (mut one, mut other) = (untimed.catalog(), untimed.catalog());
    tokio::join!(
        is_exceeded("list", SECOND, one.list_products(list())),
        // Looked up together with others, which may wait for longer.
        is_exceeded(
            "get",
            SECOND,
            other.get_product(within(SECOND, of(&product)))
        ),
    );
    failing.end().await;
    let patient = within(Duration::from_secs(20), of(&product));
    ada.catalog().get_product(patient).await.unwrap();
}
