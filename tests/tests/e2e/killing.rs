//! Programs that are killed under load: what was begun is finished, once.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use futures::future::{join, join_all};
use mongodb::Client;
use orderflow_cli::{
    System,
    audit::{Audit, Databases, History},
};
use orderflow_proto::catalog::v1::Product;
use orderflow_testkit::{Person, World, eventually};
use tokio::time::{Instant, sleep};
use tonic::{Code, transport::Endpoint};

use crate::programs::{Program, is_ready, settings, start};

const CLIENTS: usize = 16;
const ORDERS_EACH: usize = 20;
/// How many orders are acknowledged before the first program is killed.
const BEFORE: usize = 60;

/// Places an order, and again for as long as its outcome is unknown, which is not for ever.
async fn until_acknowledged(buyer: &Person, product: &Product, request_id: &str) -> String {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let order = buyer.order().line(product, 1).request_id(request_id);
        match order.place().await {
            Ok(order) => return order.id,
            Err(status) => {
                let unknown = [
                    Code::Unavailable,
                    Code::DeadlineExceeded,
                    // Two more that a client itself says of a connection that broke.
                    Code::Cancelled,
                    Code::Unknown,
                ];
                assert!(unknown.contains(&status.code()), "{status:?}");
                assert!(Instant::now() < until, "{status:?}");
                // As a client waits that does not want to make things worse.
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn connected(program: &Program, person: &Person) -> Person {
    let channel = Endpoint::from_shared(format!("http://{}", program.address)).unwrap();
    Person {
        id: person.id.clone(),
        email: person.email.clone(),
        token: person.token.clone(),
        channel: channel.connect_lazy(),
    }
}

pub(crate) async fn is_clean(settings: &HashMap<String, String>, history: History) {
    let client = Client::with_uri_str(&settings["MONGO_URL"]).await.unwrap();
    let databases = Databases {
        catalog: settings["CATALOG_DATABASE"].clone(),
        order: settings["ORDER_DATABASE"].clone(),
    };
    let audit = Audit::new(&client, &databases).expecting(history);
    let report = audit.run().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Kills these programs, twice, while orders are placed.
async fn survives_the_loss_of(victims: &[&str]) {
    let settings = settings().await;
    let mut programs: HashMap<_, _> = ["user", "catalog", "order", "gateway"]
        .map(|program| (program, start(program, &settings)))
        .into();
    let gateway = &programs["gateway"];
    eventually("ready", async || is_ready(gateway).await).await;
    let channel = Endpoint::from_shared(format!("http://{}", gateway.address)).unwrap();
    let ada = Person::register(channel.connect().await.unwrap(), "ada").await;
    let product = ada.product().stock(10_000).create().await;
    let buyer = connected(gateway, &ada).await;

    let acknowledged = AtomicUsize::new(0);
    let client = async |client: usize| {
        let mut ids = Vec::new();
        for n in 0..ORDERS_EACH {
            let request_id = format!("{client}-{n}");
            ids.push(until_acknowledged(&buyer, &product, &request_id).await);
            acknowledged.fetch_add(1, SeqCst);
        }
        ids
    };
    let killer = async {
        for time in 1..=2 {
            eventually("some orders", async || {
                (acknowledged.load(SeqCst) >= time * BEFORE).then_some(())
            })
            .await;
            for victim in victims {
                programs
                    .get_mut(victim)
                    .unwrap()
                    .child
                    .kill()
                    .await
                    .unwrap();
            }
            for victim in victims {
                programs.insert(victim, start(victim, &settings));
            }
        }
    };
    let (orders, ()) = join(join_all((0..CLIENTS).map(client)), killer).await;

    // A retry gives the same order, whatever happened to the first attempt.
    for (client, ids) in orders.iter().enumerate() {
        for n in [0, ORDERS_EACH / 2, ORDERS_EACH - 1] {
            let again = until_acknowledged(&buyer, &product, &format!("{client}-{n}")).await;
            assert_eq!(again, ids[n]);
        }
    }
    let ids = orders.iter().flatten().map(|id| id.parse().unwrap());
    let history = History {
        acknowledged: ids.collect(),
        refused: Vec::new(),
    };
    assert_eq!(history.acknowledged.len(), CLIENTS * ORDERS_EACH);
    is_clean(&settings, history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_service_killed_under_load_loses_nothing() {
    survives_the_loss_of(&["order"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_killed_under_load_loses_nothing() {
    survives_the_loss_of(&["catalog"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_under_load_loses_nothing() {
    survives_the_loss_of(&["gateway"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_killed_under_load_lose_nothing() {
    survives_the_loss_of(&["order", "catalog"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_is_one_order_over_two_of_every_program() {
    let world = World::start().await;
    let mut second = System::start(world.settings.clone(), |_| {}).await.unwrap();
    second.ready(Duration::from_secs(30)).await.unwrap();
    let ada = world.person("ada").await;
    let product = ada.product().stock(100).create().await;
    let elsewhere = Endpoint::from_shared(format!("http://{}", second.gateway)).unwrap();
    let buyers =
        [world.gateway().await, elsewhere.connect().await.unwrap()].map(|channel| Person {
            id: ada.id.clone(),
            email: ada.email.clone(),
            token: ada.token.clone(),
            channel,
        });
    let attempts = (0..50).map(|n| until_acknowledged(&buyers[n % 2], &product, "once"));
    let mut ids = join_all(attempts).await;
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.orders, report.reservations), (1, 1));
}
