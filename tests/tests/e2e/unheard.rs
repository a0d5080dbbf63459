//! What became of an order when nobody was told.

use std::{collections::HashMap, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use http_body_util::StreamBody;
use mongodb::{Client, Database, bson::doc};
use orderflow_cli::audit::{Audit, Databases, Report};
use orderflow_faults::{Fault, Point};
use orderflow_identity::Claims;
use orderflow_proto::{
    catalog::v1::Product,
    order::v1::{CreateOrderRequest, Order, OrderStatus},
};
use orderflow_testkit::{Person, eventually};
use prost::Message;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tonic::{Code, transport::Endpoint};
use tower::{Service, ServiceExt};

use crate::{
    dead_transactions::{admin, world_of_its_own},
    failing::Failing,
    forger::Forger,
    orders::{get, stock},
    programs::{Program, free_address, is_ready, settings, start},
    two_replicas::until_known,
};

/// The four programs, and somebody who sells tea and buys it.
struct Town {
    settings: HashMap<String, String>,
    programs: HashMap<&'static str, Program>,
    /// At the order service itself.
    ada: Person,
    tea: Product,
}

impl Town {
    async fn new(settings: HashMap<String, String>) -> Self {
        let programs: HashMap<_, _> = ["user", "catalog", "order", "gateway"]
            .map(|program| (program, start(program, &settings)))
            .into();
        for program in programs.values() {
            eventually("a program", async || is_ready(program).await).await;
        }
        let user = Endpoint::from_shared(settings["USER_URL"].clone()).unwrap();
        let ada = Person::register(user.connect().await.unwrap(), "ada").await;
        let seller = ada.by_way_of(programs["catalog"].address).await;
        Self {
            tea: seller.product().stock(10).create().await,
            ada: ada.by_way_of(programs["order"].address).await,
            settings,
            programs,
        }
    }

    async fn kill(&mut self, program: &str) {
        let program = self.programs.get_mut(program).unwrap();
        program.child.kill().await.unwrap();
    }

    async fn restart(&mut self, name: &'static str) {
        let program = start(name, &self.settings);
        eventually("it again", async || is_ready(&program).await).await;
        self.programs.insert(name, program);
    }

    async fn database(&self, setting: &str) -> Database {
        let client = Client::with_uri_str(&self.settings["MONGO_URL"]).await;
        client.unwrap().database(&self.settings[setting])
    }

    /// The only order, once it is there; nobody asks for it again.
    async fn order(&self) -> Order {
        let buyer_and_key = [self.ada.id.as_bytes(), b"tea"];
        let order = Order {
            id: orderflow_contract::Id::derived(&buyer_and_key).to_string(),
            ..Order::default()
        };
        eventually("the order", async || get(&self.ada, &order).await.ok()).await
    }

    /// What there is, once it is whole.
    async fn audit(&self) -> Report {
        let (catalog, order) = (
            self.database("CATALOG_DATABASE").await,
            self.database("ORDER_DATABASE").await,
        );
        let databases = Databases {
            catalog: catalog.name().to_owned(),
            order: order.name().to_owned(),
        };
        let report = Audit::new(catalog.client(), &databases)
            .run()
            .await
            .unwrap();
        assert!(report.is_clean(), "{report}");
        report
    }

    /// Sees that there is one order, for whoever asks again, too.
    async fn has_one(&self, order: &Order) {
        assert_eq!(order.status(), OrderStatus::Pending);
        let place = async || {
            let again = self.ada.order().line(&self.tea, 1).request_id("tea");
            again.place().await
        };
        assert_eq!(until_known(place).await, *order);
        let report = self.audit().await;
        assert_eq!((report.orders, report.reservations), (1, 1));
    }
}

/// So long that whoever is to be killed meanwhile is.
fn held_up() -> mongodb::bson::Document {
    doc! { "blockConnection": true, "blockTimeMS": 1_500 }
}

/// Sends the first half of a call, and keeps the other one.
async fn send_half(town: &Town) -> tokio::task::JoinHandle<()> {
    let order = town.ada.order().line(&town.tea, 1).request_id("tea");
    let message = CreateOrderRequest::encode_to_vec(&order.request);
    let mut half = BytesMut::new();
    half.put_u8(0);
    half.put_u32(u32::try_from(message.len()).unwrap());
    half.put_slice(&message[..message.len() / 2]);
    let half = Ok::<_, tonic::Status>(http_body::Frame::data(Bytes::from(half)));
    let (asked, is_asked) = oneshot::channel();
    let rest = stream::once(async {
        // The first half is on its way.
        asked.send(()).unwrap();
        std::future::pending().await
    });
    let body = StreamBody::new(stream::iter([half]).chain(rest));
    let request = http::Request::post("/orderflow.order.v1.OrderService/CreateOrder")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", town.ada.token))
        .body(tonic::body::Body::new(body))
        .unwrap();
    let gateway = Endpoint::from_shared(town.settings["GATEWAY_URL"].clone()).unwrap();
    let mut gateway = gateway.connect().await.unwrap();
    let sent = tokio::spawn(async move {
        let answer = gateway.ready().await.unwrap().call(request).await;
        assert!(answer.is_err(), "{answer:?}");
    });
    is_asked.await.unwrap();
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_gateway_that_dies_nothing_comes_or_the_order_completes() {
    let mut town = Town::new(settings().await).await;
    let sent = send_half(&town).await;
    town.kill("gateway").await;
    sent.await.unwrap();
    let report = town.audit().await;
    assert_eq!((report.orders, report.reservations), (0, 0));

    // The other time the order service is at it.
    town.restart("gateway").await;
    let database = town.database("ORDER_DATABASE").await;
    let failing = Failing::on(
        &database,
        "orders",
        &["insert"],
        doc! { "times": 1 },
        held_up(),
    )
    .await;
    let person = town.ada.by_way_of(town.programs["gateway"].address).await;
    let tea = town.tea.clone();
    let placing = tokio::spawn(async move {
        let order = person.order().line(&tea, 1).request_id("tea");
        order.place().await
    });
    failing.is_met(1).await;
    town.kill("gateway").await;
    let _ = placing.await.unwrap();
    assert_eq!(failing.end().await, 1);
    let order = town.order().await;
    town.has_one(&order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_service_that_dies_before_the_catalog_answers_leaves_the_order_to_the_follower() {
    let mut town = Town::new(settings().await).await;
    let database = town.database("CATALOG_DATABASE").await;
    let times = doc! { "times": 1 };
    let failing = Failing::on(&database, "reservations", &["insert"], times, held_up()).await;
    let person = town.ada.by_way_of(town.programs["order"].address).await;
    let tea = town.tea.clone();
    let placing = tokio::spawn(async move {
        let order = person.order().line(&tea, 1).request_id("tea");
        order.place().await
    });
    failing.is_met(1).await;
    town.kill("order").await;
    placing.await.unwrap().unwrap_err();
    assert_eq!(failing.end().await, 1);
    town.restart("order").await;
    let order = town.order().await;
    town.has_one(&order).await;
}

/// A token of hers that has expired.
fn expired(town: &Town) -> String {
    let user = orderflow_identity::User {
        id: town.ada.id.parse().unwrap(),
        roles: Vec::new(),
        session_id: orderflow_contract::Id::random(),
    };
    let mut claims = serde_json::to_value(Claims::user(&user, Duration::from_secs(900))).unwrap();
    for claim in ["iat", "nbf", "exp"] {
        let seconds = claims[claim].as_u64().unwrap();
        claims[claim] = json!(seconds - 1_200);
    }
    let forger = Forger::new(&town.settings["SECRET_KEY"], "user");
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": forger.kid});
    forger.sign(&header.to_string(), &claims.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_retry_is_about_the_retry_alone() {
    let faults = TempDir::new().unwrap();
    let mut settings = settings().await;
    let directory = faults.path().to_str().unwrap();
    settings.insert("FAULTS".to_owned(), directory.to_owned());
    settings.insert("RATE_PER_USER".to_owned(), "1/m".to_owned());
    let town = Town::new(settings).await;
    let place = async |person: &Person| {
        let order = person.order().line(&town.tea, 1).request_id("tea");
        order.place().await
    };
    let mut ada = town.ada.by_way_of(town.programs["gateway"].address).await;
    // The catalog has answered, and nobody has heard it.
    let lost = Point::of(orderflow_order::Step::PlaceReserve, Fault::FailAfter);
    lost.arm(faults.path()).unwrap();
    assert_eq!(place(&ada).await.unwrap_err().code(), Code::Unavailable);
    assert!(!lost.is_armed(faults.path()));

    let shed = place(&ada).await.unwrap_err();
    assert_eq!(shed.code(), Code::ResourceExhausted, "{shed:?}");
    let token = std::mem::replace(&mut ada.token, expired(&town));
    let expired = place(&ada).await.unwrap_err();
    assert_eq!(expired.code(), Code::Unauthenticated, "{expired:?}");

    // Elsewhere, where she has not been before.
    let mut settings = town.settings.clone();
    settings.insert("GATEWAY_LISTEN".to_owned(), free_address().to_string());
    let elsewhere = start("gateway", &settings);
    eventually("another gateway", async || is_ready(&elsewhere).await).await;
    ada.token = token;
    let order = place(&ada.by_way_of(elsewhere.address).await)
        .await
        .unwrap();
    town.has_one(&order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_answered_is_asked_about_until_it_is() {
    let (_mongo, world) = world_of_its_own(&[]).await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let transient = doc! { "errorCode": 251, "errorLabels": ["TransientTransactionError"] };
    let unacknowledged = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let failures = [
        // The driver asks once more by itself.
        (2, doc! { "closeConnection": true }),
        (1, doc! { "writeConcernError": unacknowledged }),
        (1, transient),
    ];
    for (n, (times, how)) in (1..).zip(failures) {
        let mut data =
            doc! { "failCommands": ["commitTransaction"], "appName": "orderflow-catalog" };
        data.extend(how.clone());
        let mode = doc! { "times": times };
        let fail = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        let before = admin(&world, fail).await.get_i32("count").unwrap();
        let order = ada.order().line(&tea, 1).request_id(&n.to_string());
        order.place().await.unwrap();
        let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        let met = admin(&world, off).await.get_i32("count").unwrap() - before;
        assert_eq!(met, times, "{how}");
        assert_eq!(stock(&ada, &tea).await, 10 - n, "{how}");
    }
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.orders, report.reservations), (3, 3));
}
