//! Orders as they change.

use std::time::Duration;

use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use mongodb::bson::{Document, doc};
use orderflow_contract::{Id, page};
use orderflow_proto::order::v1::{
    Order, OrderSide, OrderStatus, WatchOrdersRequest, WatchOrdersResponse,
    order_service_client::OrderServiceClient,
};
use orderflow_testkit::{Bearer, Person, Refusal, World, eventually};
use serde_json::Value;
use tokio::time::timeout;
use tonic::{
    Code, Status, Streaming, service::interceptor::InterceptedService, transport::Endpoint,
};

use crate::{
    eight_steps::web,
    failing::Failing,
    inventory::{inventory, item, reserve},
    json::http,
    orders::{cancel, update},
    replica::Replica,
};
use OrderStatus::{Cancelled, Cancelling, Delivered, Pending, Shipped};

/// How long a change, or an end, may take. Far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody's watch, and where they would go on.
struct Watching {
    stream: Streaming<WatchOrdersResponse>,
    resume_token: String,
}

fn buying() -> WatchOrdersRequest {
    WatchOrdersRequest::default()
}

fn selling() -> WatchOrdersRequest {
    WatchOrdersRequest {
        side: OrderSide::Seller.into(),
        ..buying()
    }
}

impl Watching {
    /// Asks, and waits until the watch stands.
    async fn start(person: &Person, request: WatchOrdersRequest) -> Result<Self, Status> {
        let stream = person.orders().watch_orders(request).await?.into_inner();
        Self::of(stream).await
    }

    async fn of(stream: Streaming<WatchOrdersResponse>) -> Result<Self, Status> {
        let mut watching = Self {
            stream,
            resume_token: String::new(),
        };
        assert_eq!(watching.response().await?.order, None);
        Ok(watching)
    }

    async fn response(&mut self) -> Result<WatchOrdersResponse, Status> {
        let response = self.stream.message().await?;
        let response = response.expect("it ends with a status");
        assert_ne!(response.resume_token, "");
        response.resume_token.clone_into(&mut self.resume_token);
        Ok(response)
    }

    /// The next change.
    async fn order(&mut self) -> Result<Order, Status> {
        let next = async {
            loop {
                if let Some(order) = self.response().await?.order {
                    return Ok(order);
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a change in time")
    }

    /// These changes come next, and no others between them.
    async fn sees(&mut self, expected: &[(&Order, OrderStatus)]) {
        for (order, status) in expected {
            let seen = self.order().await.unwrap();
            assert_eq!((&seen.id, seen.status()), (&order.id, *status));
        }
    }

    /// The status in which it ends.
    async fn end(mut self) -> Refusal {
        let end = async {
            loop {
                if let Err(status) = self.response().await {
                    return Refusal::from(&status);
                }
            }
        };
        timeout(PATIENCE, end).await.expect("an end in time")
    }

    /// Breaks off and goes on from there.
    async fn resume(self, person: &Person, request: WatchOrdersRequest) -> Result<Self, Status> {
        let resume_token = self.resume_token;
        drop(self.stream);
        let request = WatchOrdersRequest {
            resume_token,
            ..request
        };
        Self::start(person, request).await
    }
}

#[tokio::test]
async fn each_sees_their_part_of_each_change_in_turn_over_grpc_and_grpc_web() {
    let world = World::start().await;
    let [buyer, one, other, stranger] = ["buyer", "one", "other", "stranger"];
    let buyer = world.person(buyer).await;
    let (one, other) = (world.person(one).await, world.person(other).await);
    let (stranger, admin) = (world.person(stranger).await, world.admin().await);
    let (tea, cup) = (one.product().create().await, other.product().create().await);

    let by_web = |request| {
        let (origin, transport) = web(&world);
        let authorized = InterceptedService::new(transport, Bearer::new(&buyer.token));
        let mut client = OrderServiceClient::with_origin(authorized, origin);
        async move {
            let stream = client.watch_orders(request).await.unwrap().into_inner();
            Watching::of(stream).await.unwrap()
        }
    };
    let start = async |person, request| Watching::start(person, request).await.unwrap();
    let mut bought = start(&buyer, buying()).await;
    let mut bought_by_web = by_web(buying()).await;
    let mut sold = start(&one, selling()).await;
    let mut everybodys = start(&admin, buying()).await;
    let mut not_sold = start(&buyer, selling()).await;
    let mut nothing = start(&stranger, buying()).await;

    let own = buyer.order().line(&tea, 1).place().await.unwrap();
    update(&one, &own, Shipped).await.unwrap();
    update(&one, &own, Delivered).await.unwrap();
    let shared = buyer.order().line(&tea, 1).line(&cup, 2).place();
    let shared = shared.await.unwrap();
    cancel(&buyer, &shared).await.unwrap();
    let of_stranger = stranger.order().line(&cup, 1).place().await.unwrap();
    let by_buyer = buyer.product().create().await;
    let last = stranger.order().line(&by_buyer, 1).place().await.unwrap();

    let of_own = [(&own, Pending), (&own, Shipped), (&own, Delivered)];
    let of_shared = [
        (&shared, Pending),
        (&shared, Cancelling),
        (&shared, Cancelled),
    ];
    bought_by_web.sees(&of_own).await;
    bought_by_web.sees(&of_shared).await;
    assert_eq!(bought.order().await.unwrap(), own);
    bought.sees(&of_own[1..]).await;
    assert_eq!(bought.order().await.unwrap(), shared);
    bought.sees(&of_shared[1..]).await;

    sold.sees(&of_own).await;
    let part = sold.order().await.unwrap();
    let mut lines = shared.lines.iter();
    let line = lines.find(|line| line.seller_id == one.id).unwrap();
    assert_eq!(part.lines, [line.clone()]);
    assert_eq!(part.total_price, line.line_total);

    everybodys.sees(&of_own).await;
    everybodys.sees(&of_shared).await;
    assert_eq!(everybodys.order().await.unwrap(), of_stranger);
    // Had anything of others' been told, it would have come before these.
    assert_eq!(nothing.order().await.unwrap(), of_stranger);
    assert_eq!(nothing.order().await.unwrap(), last);
    not_sold.sees(&[(&last, Pending)]).await;
}

#[tokio::test]
async fn over_json_each_change_is_a_line_and_so_is_the_end() {
    let builder = World::builder().setting("ACCESS_TOKEN_TTL", "8s");
    let world = builder.start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let ada = ada.sign_in_again().await;
    let watch = async |query: &str| {
        let url = format!("http://{}/v1/orders:watch{query}", world.system.gateway);
        let request = http::Request::get(url)
            .header("authorization", format!("Bearer {}", ada.token))
            .body(Full::default());
        http().request(request.unwrap()).await.unwrap()
    };
    let response = watch("?side=ORDER_SIDE_SELLER").await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let mut body = response.into_body();
    let mut line = async || {
        let frame = timeout(PATIENCE, body.frame()).await.unwrap();
        let line = frame.unwrap().unwrap().into_data().unwrap();
        serde_json::from_slice::<Value>(&line).unwrap()
    };
    let first = line().await;
    assert_eq!(first["order"], Value::Null);
    assert_ne!(first["resumeToken"], "");
    let order = ada.order().line(&tea, 1).place().await.unwrap();
    let change = line().await;
    assert_eq!(change["order"]["id"], order.id.as_str());
    assert_eq!(change["order"]["status"], "ORDER_STATUS_PENDING");
    let end = line().await;
    assert_eq!(end["error"]["code"], Code::Unauthenticated as i32);
    assert_eq!(end["error"]["details"][0]["reason"], "TOKEN_EXPIRED");

    let refused = watch("?side=ORDER_SIDE_SELLER&resumeToken=x").await;
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn who_comes_back_is_told_what_they_missed_and_no_more() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    // While somebody else goes on watching here, what has changed lately is at hand.
    let _other = Watching::start(&ada, selling()).await.unwrap();
    let mut watching = Watching::start(&ada, buying()).await.unwrap();
    let place = async || ada.order().line(&tea, 1).place().await.unwrap();
    let first = place().await;
    watching.sees(&[(&first, Pending)]).await;
    let left_at = watching.resume_token.clone();

    update(&ada, &first, Shipped).await.unwrap();
    update(&ada, &first, Delivered).await.unwrap();
    let second = place().await;
    let missed = [(&first, Shipped), (&first, Delivered), (&second, Pending)];
    let mut watching = watching.resume(&ada, buying()).await.unwrap();
    watching.sees(&missed).await;

    // At a replica where nobody has watched yet, of which the change itself knows nothing either.
    let replica = Replica::start(&world).await;
    let by_replica = replica.reached_by(&ada);
    watching.resume_token = left_at;
    let mut watching = watching.resume(&by_replica, buying()).await.unwrap();
    watching.sees(&missed).await;
    cancel(&ada, &second).await.unwrap();
    watching
        .sees(&[(&second, Cancelling), (&second, Cancelled)])
        .await;
    // From the last change on, and from one that was not: there is nothing to tell but what comes.
    for _ in 0..2 {
        watching = watching.resume(&by_replica, buying()).await.unwrap();
        let order = place().await;
        watching.sees(&[(&order, Pending)]).await;
        let fresh = Watching::start(&by_replica, buying()).await.unwrap();
        watching.resume_token = fresh.resume_token;
    }
    // And back, at a replica that has other changes at hand.
    let order = place().await;
    let mut watching = watching.resume(&ada, buying()).await.unwrap();
    watching.sees(&[(&order, Pending)]).await;
}

#[tokio::test]
async fn a_resume_token_is_its_users_and_its_watchs() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let watching = Watching::start(&ada, buying()).await.unwrap();
    let token = watching.resume_token;
    let resume = async |person: &Person, request: WatchOrdersRequest, resume_token: &str| {
        let resume_token = resume_token.to_owned();
        let request = WatchOrdersRequest {
            resume_token,
            ..request
        };
        Watching::start(person, request).await.map(drop)
    };
    let flipped = if token.starts_with('A') { "B" } else { "A" };
    let changed = format!("{flipped}{}", &token[1..]);
    let foreign = resume(&bob, buying(), &token).await;
    let of_another_watch = resume(&ada, selling(), &token).await;
    let tampered = resume(&ada, buying(), &changed).await;
    let nonsense = resume(&ada, buying(), "$gt").await;
    for wrong in [foreign, of_another_watch, tampered, nonsense] {
        let refusal = Refusal::of(wrong);
        assert_eq!(refusal.code, Code::InvalidArgument);
        assert_eq!(refusal.fields, ["resume_token"]);
    }
    let of_bob = WatchOrdersRequest {
        user_id: bob.id.clone(),
        ..buying()
    };
    let refusal = Refusal::of(resume(&ada, of_bob, "").await);
    assert_eq!(refusal.reason, "NOT_ADMIN");
    let wrong = WatchOrdersRequest {
        user_id: "$gt".to_owned(),
        side: 7,
        ..buying()
    };
    let refusal = Refusal::of(resume(&ada, wrong, "x").await);
    assert_eq!(refusal.fields, ["resume_token", "side", "user_id"]);

    // The checksum is no secret. Whoever makes a position up is told that there is none such.
    let watch = page::List::of(&[b"WatchOrders", ada.id.as_bytes(), b"", &0_i32.to_be_bytes()]);
    let too_long = "8".repeat(9_999);
    for position in [
        "",
        "00",
        "82",
        "82000000010000000100",
        "z",
        "0abc",
        &too_long,
    ] {
        let refusal = Refusal::of(resume(&ada, buying(), &watch.token(&position)).await);
        let expected = [Code::InvalidArgument, Code::OutOfRange];
        assert!(expected.contains(&refusal.code), "{position}: {refusal:?}");
    }
    assert_eq!(resume(&ada, buying(), &token).await.ok(), Some(()));
}

#[tokio::test]
async fn what_mongodb_has_forgotten_is_not_passed_over() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let token = Watching::start(&ada, buying()).await.unwrap().resume_token;
    let missed = ada.order().line(&tea, 1).place().await.unwrap();
    // At a replica where nobody has watched yet, that is not at hand.
    let replica = Replica::start(&world).await;
    let ada = replica.reached_by(&ada);
    let mut here = Watching::start(&ada, buying()).await.unwrap();
    let request = WatchOrdersRequest {
        resume_token: token,
        ..buying()
    };
    let forgotten = doc! { "errorCode": 286 };
    let database = world.database("order").await;
    let failing = Failing::on(&database, "orders", &["aggregate"], "alwaysOn", forgotten).await;
    let refusal = Refusal::of(Watching::start(&ada, request.clone()).await.map(drop));
    assert_eq!(refusal.code, Code::OutOfRange);
    assert_eq!(refusal.reason, "WATCH_HISTORY_LOST");
    failing.end().await;
    // Nobody else has noticed, and the token was not at fault.
    let mut back = Watching::start(&ada, request).await.unwrap();
    back.sees(&[(&missed, Pending)]).await;
    update(&ada, &missed, Shipped).await.unwrap();
    for watching in [&mut here, &mut back] {
        watching.sees(&[(&missed, Shipped)]).await;
    }
}

#[tokio::test]
async fn it_ends_when_the_token_does() {
    let builder = World::builder().setting("ACCESS_TOKEN_TTL", "8s");
    let world = builder.start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let ada = ada.sign_in_again().await;
    let mut watching = Watching::start(&ada, buying()).await.unwrap();
    let order = ada.order().line(&tea, 1).place().await.unwrap();
    watching.sees(&[(&order, Pending)]).await;
    let token = watching.resume_token.clone();
    let end = watching.end().await;
    assert_eq!(end.code, Code::Unauthenticated);
    assert_eq!(end.reason, "TOKEN_EXPIRED");

    let ada = ada.sign_in_again().await;
    update(&ada, &order, Shipped).await.unwrap();
    let request = WatchOrdersRequest {
        resume_token: token,
        ..buying()
    };
    let mut watching = Watching::start(&ada, request).await.unwrap();
    watching.sees(&[(&order, Shipped)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_cut_off_and_others_are_not() {
    const N: usize = 400;
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let order = ada.order().line(&tea, 1).place().await.unwrap();
    let mut reading = Watching::start(&ada, buying()).await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", world.system.gateway)).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).connect().await;
    let slow = Person {
        id: ada.id.clone(),
        email: ada.email.clone(),
        token: ada.token.clone(),
        channel: channel.unwrap(),
    };
    let mut slow = Watching::start(&slow, buying()).await.unwrap();

    // The largest orders that there are: more of them than are kept.
    let orders = world
        .database("order")
        .await
        .collection::<Document>("orders");
    let filter = doc! { "_id": &order.id };
    let mut large = orders.find_one(filter).await.unwrap().unwrap();
    let mut line = large.get_array("lines").unwrap()[0].clone();
    let product = line.as_document_mut().unwrap();
    product.insert("product_name", "x".repeat(200));
    large.insert("lines", vec![line; 100]);
    let large: Vec<_> = std::iter::repeat_with(|| {
        large.insert("_id", Id::random().to_string());
        large.clone()
    })
    .take(N)
    .collect();
    let ids = large.iter().map(|order| order.get_str("_id").unwrap());
    let mut ids = ids.peekable();
    for some in large.chunks(20) {
        orders.insert_many(some).await.unwrap();
        for order in some {
            let seen = reading.order().await.unwrap();
            assert_eq!(seen.id, order.get_str("_id").unwrap());
        }
    }

    // What it had been sent before comes first, in turn.
    let end = loop {
        match slow.order().await {
            Ok(order) => assert_eq!(Some(order.id.as_str()), ids.next()),
            Err(end) => break Refusal::from(&end),
        }
    };
    assert_eq!(end.code, Code::ResourceExhausted);
    assert_eq!(end.reason, "SLOW_READER");
    assert!(ids.peek().is_some());
    let mut slow = slow.resume(&ada, buying()).await.unwrap();
    for id in ids {
        assert_eq!(slow.order().await.unwrap().id, id);
    }
    update(&ada, &order, Shipped).await.unwrap();
    slow.sees(&[(&order, Shipped)]).await;
    reading.sees(&[(&order, Shipped)]).await;
}

#[tokio::test]
async fn an_order_that_the_follower_writes_is_told_too() {
    let world = World::start().await;
    let (ada, admin) = (world.person("ada").await, world.admin().await);
    let tea = ada.product().create().await;
    let mut watching = Watching::start(&admin, buying()).await.unwrap();
    let id = Id::random();
    reserve(&inventory(&world).await, vec![item(id, &[(&tea, 1)])]).await;
    assert_eq!(watching.order().await.unwrap().id, id.to_string());
}

#[tokio::test]
async fn a_replica_tells_what_another_does() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let replica = Replica::start(&world).await;
    let by_replica = replica.reached_by(&ada);
    let mut here = Watching::start(&ada, buying()).await.unwrap();
    let mut there = Watching::start(&by_replica, buying()).await.unwrap();
    let order = ada.order().line(&tea, 1).place().await.unwrap();
    update(&by_replica, &order, Shipped).await.unwrap();
    for watching in [&mut here, &mut there] {
        watching.sees(&[(&order, Pending), (&order, Shipped)]).await;
    }

    // A replica that stops says so, and the other goes on from there.
    drop(replica);
    let token = there.resume_token.clone();
    let end = there.end().await;
    assert_eq!(end.code, Code::Unavailable);
    assert_eq!(end.reason, "STOPPING");
    update(&ada, &order, Delivered).await.unwrap();
    let request = WatchOrdersRequest {
        resume_token: token,
        ..buying()
    };
    let mut there = Watching::start(&ada, request).await.unwrap();
    there.sees(&[(&order, Delivered)]).await;
    here.sees(&[(&order, Delivered)]).await;
}

#[tokio::test]
async fn a_stream_of_changes_that_fails_is_taken_up_again() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(100).create().await;
    let mut watching = Watching::start(&ada, buying()).await.unwrap();
    let database = world.database("order").await;
    let failures = [
        (vec!["getMore"], doc! { "errorCode": 10107 }),
        (vec!["getMore"], doc! { "closeConnection": true }),
        (vec!["getMore"], doc! { "errorCode": 8 }),
        (
            vec!["getMore", "aggregate"],
            doc! { "closeConnection": true },
        ),
    ];
    for (commands, how) in failures {
        let failing = Failing::on(&database, "orders", &commands, "alwaysOn", how).await;
        let orders = (0..3).map(|_| ada.order().line(&tea, 1).place());
        let orders = join_all(orders).await;
        failing.is_met(3).await;
        failing.end().await;
        let mut ids: Vec<_> = orders.into_iter().map(|order| order.unwrap().id).collect();
        let mut seen = Vec::new();
        for _ in &ids {
            seen.push(watching.order().await.unwrap().id);
        }
        ids.sort();
        seen.sort();
        assert_eq!(seen, ids);
    }
}

#[tokio::test]
async fn one_user_watches_so_often_and_no_more() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let all = join_all((0..17).map(|_| Watching::start(&ada, buying()))).await;
    let (mut open, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!(refused.len(), 1);
    let refusal = Refusal::from(refused[0].as_ref().err().unwrap());
    assert_eq!(refusal.code, Code::ResourceExhausted);
    assert_eq!(refusal.reason, "TOO_MANY_WATCHES");
    Watching::start(&bob, buying()).await.unwrap();
    open.pop();
    eventually("a place", async || {
        Watching::start(&ada, buying()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn who_hears_of_no_change_hears_of_that() {
    let builder = World::builder().setting("WATCH_HEARTBEAT", "1s");
    let world = builder.start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let mut watching = Watching::start(&ada, buying()).await.unwrap();
    let at_first = watching.resume_token.clone();
    assert_eq!(watching.response().await.unwrap().order, None);
    // MongoDB's own time goes on, and with it the place from which to go on.
    while watching.resume_token == at_first {
        assert_eq!(watching.response().await.unwrap().order, None);
    }
    let order = ada.order().line(&tea, 1).place().await.unwrap();
    watching.sees(&[(&order, Pending)]).await;
}
