//! The catalog's side of the order protocol, asked directly as the order service asks it.

use std::net::SocketAddr;

use futures::future::{join, join_all};
use mongodb::{
    ClientSession,
    bson::{Bson, Document, doc, oid::ObjectId},
};
use orderflow_contract::Id;
use orderflow_identity::service::ServiceIdentity;
use orderflow_proto::{
    catalog::v1::{
        GetReservationsRequest, ListUnsettledRequest, Product, ReleaseOutcome, ReleaseRequest,
        ReserveItem, ReserveLine, ReserveRequest, SettleRequest,
        inventory_service_client::InventoryServiceClient, reserve_outcome::Outcome,
    },
    money::v1::Money,
};
use orderflow_testkit::{Person, World, eventually};
use tonic::{
    Code,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::{
    dead_transactions::{LEFT_OPEN_FOR_60_S, transactions, world_of_its_own},
    failing::Failing,
};

pub(crate) type Inventory = InventoryServiceClient<InterceptedService<Channel, ServiceIdentity>>;

pub(crate) async fn inventory(world: &World) -> Inventory {
    inventory_at(world.system.catalog, world).await
}

/// Of a catalog that is another replica of this world's.
pub(crate) async fn inventory_at(address: SocketAddr, world: &World) -> Inventory {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let identity = ServiceIdentity::new("order", &world.settings["ORDER_SERVICE_KEY"]).unwrap();
    InventoryServiceClient::with_interceptor(channel, identity)
}

/// Whoever placed these orders.
pub(crate) fn buyer_id() -> Id {
    Id::derived(&[b"buyer"])
}

pub(crate) fn item(order_id: Id, lines: &[(&Product, i64)]) -> ReserveItem {
    let line = |(product, quantity): &(&Product, i64)| ReserveLine {
        product_id: product.id.clone(),
        quantity: *quantity,
        expected_unit_price: None,
    };
    ReserveItem {
        order_id: order_id.to_string(),
        user_id: buyer_id().to_string(),
        request_id: order_id.to_string(),
        lines: lines.iter().map(line).collect(),
    }
}

pub(crate) async fn reserve(inventory: &Inventory, items: Vec<ReserveItem>) -> Vec<Outcome> {
    let reply = inventory
        .clone()
        .reserve(ReserveRequest { items })
        .await
        .unwrap();
    reply
        .into_inner()
        .outcomes
        .into_iter()
        .map(|outcome| outcome.outcome.unwrap())
        .collect()
}

async fn release(inventory: &Inventory, order_ids: &[Id]) -> Vec<ReleaseOutcome> {
    let request = ReleaseRequest {
        order_ids: order_ids.iter().map(Id::to_string).collect(),
    };
    let reply = inventory.clone().release(request).await.unwrap();
    reply.into_inner().outcomes().collect()
}

/// A world whose order service hears of no reservation, so that nobody settles any.
pub(crate) async fn world_that_settles_nothing() -> World {
    let world = World::builder().setting("ORDER_CATALOG_URL", "http://127.0.0.1:1");
    world.start().await
}

/// Which documents among the reservations are entries of the journal.
pub(crate) fn entries() -> Document {
    doc! { "_id": { "$type": "objectId" } }
}

/// Makes a product's stock something else, behind the catalog's back.
pub(crate) async fn plant_stock(world: &World, product: &Product, stock: impl Into<Bson>) {
    let products = world
        .database("catalog")
        .await
        .collection::<Document>("products");
    let poison = doc! { "$set": { "stock": stock.into() } };
    products
        .update_one(doc! { "_id": &product.id }, poison)
        .await
        .unwrap();
}

/// HELD, REFUSED, LINES_DIFFER or UNDECIDED, for each.
pub(crate) fn kinds(outcomes: &[Outcome]) -> Vec<&'static str> {
    let kind = |outcome: &Outcome| match outcome {
        Outcome::Reserved(_) => "reserved",
        Outcome::Refused(_) => "refused",
        Outcome::LinesDiffer(_) => "lines differ",
        Outcome::Undecided(_) => "undecided",
    };
    outcomes.iter().map(kind).collect()
}

pub(crate) async fn stock(person: &Person, product: &Product) -> i64 {
    let request = orderflow_proto::catalog::v1::GetProductRequest {
        id: product.id.clone(),
    };
    person
        .catalog()
        .get_product(request)
        .await
        .unwrap()
        .into_inner()
        .product
        .unwrap()
        .stock
}

#[tokio::test]
async fn a_batch_is_decided_in_its_order_each_all_or_nothing() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let (tea, cup) = (
        ada.product().stock(3).create().await,
        ada.product().stock(1).create().await,
    );
    let inventory = inventory(&world).await;
    let [a, b, c, d] = std::array::from_fn(|_| Id::random());
    let batch = vec![
        item(a, &[(&tea, 2)]),
        item(b, &[(&tea, 1), (&cup, 2)]),
        item(c, &[(&tea, 1), (&cup, 1)]),
        item(d, &[(&tea, 1)]),
        // The same order twice in a batch is one; with other lines it is a mistake.
        item(a, &[(&tea, 2)]),
        item(a, &[(&tea, 1)]),
    ];
    let expected = [
        "reserved",
        "refused",
        "reserved",
        "refused",
        "reserved",
        "lines differ",
    ];
    assert_eq!(kinds(&reserve(&inventory, batch.clone()).await), expected);
    assert_eq!((stock(&ada, &tea).await, stock(&ada, &cup).await), (0, 0));

    // Sent again, also in part and after a restock, each gets the answer that was recorded.
    let restock = doc! { "$inc": { "stock": 100_i64 } };
    let products = world
        .database("catalog")
        .await
        .collection::<Document>("products");
    products.update_many(doc! {}, restock).await.unwrap();
    assert_eq!(kinds(&reserve(&inventory, batch.clone()).await), expected);
    let new = item(Id::random(), &[(&tea, 5)]);
    let mixed = vec![batch[1].clone(), new, batch[0].clone()];
    assert_eq!(
        kinds(&reserve(&inventory, mixed).await),
        ["refused", "reserved", "reserved"]
    );
    assert_eq!(stock(&ada, &tea).await, 95);
}

#[tokio::test]
async fn a_poisoned_item_spoils_no_other() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let (tea, broken) = (ada.product().create().await, ada.product().create().await);
    plant_stock(&world, &broken, "ten").await;

    let inventory = inventory(&world).await;
    let batch = vec![
        item(Id::random(), &[(&tea, 1)]),
        item(Id::random(), &[(&broken, 1)]),
        item(Id::random(), &[(&tea, 1)]),
    ];
    let outcomes = reserve(&inventory, batch).await;
    assert_eq!(kinds(&outcomes), ["reserved", "undecided", "reserved"]);
    assert_eq!(stock(&ada, &tea).await, 8);
}

#[tokio::test]
async fn stock_comes_back_once() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let inventory = inventory(&world).await;
    let [held, refused, unknown] = std::array::from_fn(|_| Id::random());
    reserve(
        &inventory,
        vec![item(held, &[(&tea, 4)]), item(refused, &[(&tea, 40)])],
    )
    .await;
    assert_eq!(stock(&ada, &tea).await, 6);

    for _ in 0..2 {
        use ReleaseOutcome::{NotFound, Released};
        let outcomes = release(&inventory, &[held, refused, unknown, held]).await;
        assert_eq!(outcomes, [Released, NotFound, NotFound, Released]);
        assert_eq!(stock(&ada, &tea).await, 10);
    }
    // A reservation that was given back still answers for its order.
    let again = reserve(&inventory, vec![item(held, &[(&tea, 4)])]).await;
    assert_eq!(kinds(&again), ["reserved"]);
    assert_eq!(stock(&ada, &tea).await, 10);
}

#[tokio::test]
async fn the_journal_names_what_is_not_settled() {
    let world = world_that_settles_nothing().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(100).create().await;
    let mut inventory = inventory(&world).await;
    let orders: [Id; 5] = std::array::from_fn(|_| Id::random());
    for pair in orders.chunks(2) {
        let items = pair.iter().map(|id| item(*id, &[(&tea, 1)])).collect();
        reserve(&inventory, items).await;
    }
    // A batch of refusals alone leaves nothing to settle.
    reserve(&inventory, vec![item(Id::random(), &[(&tea, 1_000)])]).await;

    let mut request = ListUnsettledRequest {
        page_size: 2,
        page_token: String::new(),
    };
    let first = inventory
        .list_unsettled(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.entries.len(), 2);
    request.page_token = first.next_page_token;
    let second = inventory
        .list_unsettled(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (second.entries.len(), second.next_page_token.as_str()),
        (1, "")
    );
    let entries = [first.entries, second.entries].concat();
    let named: Vec<_> = entries
        .iter()
        .flat_map(|entry| entry.order_ids.clone())
        .collect();
    assert_eq!(named, orders.map(|id| id.to_string()));

    let get = GetReservationsRequest { order_ids: named };
    let reply = inventory.get_reservations(get).await.unwrap().into_inner();
    assert_eq!(
        (reply.reservations.len(), reply.remaining_order_ids.len()),
        (5, 0)
    );

    for _ in 0..2 {
        let entry_ids = entries.iter().map(|entry| entry.id.clone()).collect();
        inventory.settle(SettleRequest { entry_ids }).await.unwrap();
        let rest = inventory
            .list_unsettled(ListUnsettledRequest::default())
            .await
            .unwrap();
        assert_eq!(rest.into_inner().entries, []);
    }
}

#[tokio::test]
async fn conflicts_are_replayed_until_they_are_over() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let (tea, cup) = (ada.product().create().await, ada.product().create().await);
    let inventory = inventory(&world).await;
    let database = world.database("catalog").await;
    let conflict = doc! { "errorCode": 112, "errorLabels": ["TransientTransactionError"] };
    // The stock of one product is taken in another way than that of several.
    let (one, several) = ([(&tea, 1)], [(&tea, 1), (&cup, 1)]);
    for (command, times, lines) in [("findAndModify", 1, &one[..]), ("update", 5, &several)] {
        let (mode, how) = (doc! { "times": times }, conflict.clone());
        let failing = Failing::on(&database, "products", &[command], mode, how).await;
        let outcomes = reserve(&inventory, vec![item(Id::random(), lines)]).await;
        assert_eq!(kinds(&outcomes), ["reserved"]);
        assert_eq!(failing.end().await, times);
    }
    assert_eq!(stock(&ada, &tea).await, 8);
}

#[tokio::test]
async fn a_refusal_takes_nothing_also_where_stock_is_taken_before_it_is_decided() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let inventory = inventory(&world).await;
    let mut dear = item(Id::random(), &[(&tea, 3)]);
    dear.lines[0].expected_unit_price = tea.price.clone().map(|price| Money {
        minor_units: price.minor_units + 1,
        ..price
    });
    let alone = reserve(&inventory, vec![dear.clone()]).await;
    assert_eq!(kinds(&alone), ["refused"]);
    assert_eq!(stock(&ada, &tea).await, 10);

    dear.order_id = Id::random().to_string();
    let batch = vec![item(Id::random(), &[(&tea, 2)]), dear];
    assert_eq!(
        kinds(&reserve(&inventory, batch).await),
        ["reserved", "refused"]
    );
    assert_eq!(stock(&ada, &tea).await, 8);

    // More than there is, and one that can be had all the same.
    let batch = [7, 9, 1].map(|quantity| item(Id::random(), &[(&tea, quantity)]));
    assert_eq!(
        kinds(&reserve(&inventory, batch.to_vec()).await),
        ["reserved", "refused", "reserved"]
    );
    assert_eq!(stock(&ada, &tea).await, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let inventory = inventory(&world).await;
    let products = world
        .database("catalog")
        .await
        .collection::<Document>("products");
    let nameless = doc! { "$set": { "name": 7 } };
    products
        .update_one(doc! { "_id": &tea.id }, nameless)
        .await
        .unwrap();
    let outcomes = reserve(&inventory, vec![item(Id::random(), &[(&tea, 1)])]).await;
    assert_eq!(kinds(&outcomes), ["undecided"]);
    let product = products.find_one(doc! { "_id": &tea.id }).await.unwrap();
    assert_eq!(product.unwrap().get_i64("stock").unwrap(), 10);
}

#[tokio::test]
async fn the_journal_is_found_where_it_stood_before() {
    let world = world_that_settles_nothing().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let order = Id::random();
    let mut inventory = inventory(&world).await;
    reserve(&inventory, vec![item(order, &[(&tea, 1)])]).await;
    let database = world.database("catalog").await;
    let reservations = database.collection::<Document>("reservations");
    let entry = reservations.find_one_and_delete(entries()).await.unwrap();
    let old = database.collection::<Document>("journal");
    let entry = entry.unwrap();
    old.insert_one(entry.clone()).await.unwrap();
    // Nobody can settle this one; it is in nobody's way.
    let bad = doc! { "_id": ObjectId::new(), "orders": 7 };
    old.insert_one(&bad).await.unwrap();

    let expected = [vec![order.to_string()], Vec::new()];
    for _ in 0..2 {
        let unsettled = inventory.list_unsettled(ListUnsettledRequest::default());
        let entries = unsettled.await.unwrap().into_inner().entries;
        let named = entries.into_iter().map(|entry| entry.order_ids);
        assert_eq!(named.collect::<Vec<_>>(), expected);
        assert_eq!(old.count_documents(doc! {}).await.unwrap(), 0);
        // As if another replica had died between copying it and deleting it.
        old.insert_one(entry.clone()).await.unwrap();
    }
    let bad = doc! { "_id": bad.get("_id") };
    assert_eq!(reservations.count_documents(bad).await.unwrap(), 1);
}

#[tokio::test]
async fn a_known_order_is_answered_whatever_became_of_its_product() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let inventory = inventory(&world).await;
    let order = Id::random();
    reserve(&inventory, vec![item(order, &[(&tea, 1)])]).await;
    for stock in [Bson::from("ten"), vec![10_i64].into()] {
        plant_stock(&world, &tea, stock).await;
        let again = vec![item(order, &[(&tea, 1)]), item(Id::random(), &[(&tea, 1)])];
        assert_eq!(
            kinds(&reserve(&inventory, again).await),
            ["reserved", "undecided"]
        );
    }
    let other = vec![item(order, &[(&tea, 2)])];
    assert_eq!(kinds(&reserve(&inventory, other).await), ["lines differ"]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_spoils_no_other() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let inventory = inventory(&world).await;
    let broken = Id::random();
    reserve(&inventory, vec![item(broken, &[(&tea, 1)])]).await;
    let reservations = world
        .database("catalog")
        .await
        .collection::<Document>("reservations");
    let newer = doc! { "$set": { "state": "OF_A_NEWER_VERSION" } };
    reservations
        .update_one(doc! { "_id": broken.to_string() }, newer)
        .await
        .unwrap();

    let batch = [Id::random(), broken, Id::random()].map(|id| item(id, &[(&tea, 1)]));
    let outcomes = reserve(&inventory, batch.to_vec()).await;
    assert_eq!(kinds(&outcomes), ["reserved", "undecided", "reserved"]);
    // Nor is anything said about it that is not known.
    let released = release(&inventory, &[broken]).await;
    assert_eq!(released, [ReleaseOutcome::Unspecified]);
}

#[tokio::test]
async fn a_malformed_item_spoils_no_other() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let inventory = inventory(&world).await;
    let good = || item(Id::random(), &[(&tea, 1)]);
    let twice = item(Id::random(), &[(&tea, 1), (&tea, 1)]);
    let mut nameless = good();
    nameless.order_id.clear();
    let outcomes = reserve(&inventory, vec![good(), twice, nameless, good()]).await;
    assert_eq!(
        kinds(&outcomes),
        ["reserved", "undecided", "undecided", "reserved"]
    );
    assert_eq!(stock(&ada, &tea).await, 8);
}

#[tokio::test]
async fn a_poisoned_release_spoils_no_other() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let (text, full) = (ada.product().create().await, ada.product().create().await);
    let inventory = inventory(&world).await;
    let orders: [Id; 6] = std::array::from_fn(|_| Id::random());
    let products = [&tea, &text, &tea, &tea, &full, &tea];
    let items = orders
        .iter()
        .zip(products)
        .map(|(id, p)| item(*id, &[(p, 1)]));
    reserve(&inventory, items.collect()).await;
    plant_stock(&world, &text, "ten").await;
    plant_stock(&world, &full, i64::MAX).await;

    use ReleaseOutcome::{Released, Unspecified};
    let expected = [
        Released,
        Unspecified,
        Released,
        Released,
        Unspecified,
        Released,
    ];
    for _ in 0..2 {
        eventually("all but two", async || {
            (release(&inventory, &orders).await == expected).then_some(())
        })
        .await;
        assert_eq!(stock(&ada, &tea).await, 10);
    }
    // Nothing was lost meanwhile.
    plant_stock(&world, &text, 3_i64).await;
    assert_eq!(release(&inventory, &orders[1..2]).await, [Released]);
    assert_eq!(stock(&ada, &text).await, 4);
}

/// Somebody whose session the catalog does not know of has written to the product, and does not end.
async fn block(world: &World, product: &Product) -> ClientSession {
    let products = world
        .database("catalog")
        .await
        .collection::<Document>("products");
    let mut stranger = products.client().start_session().await.unwrap();
    stranger.start_transaction().await.unwrap();
    let touch = doc! { "$set": { "touched": true } };
    let touched = products.update_one(doc! { "_id": &product.id }, touch);
    touched.session(&mut stranger).await.unwrap();
    stranger
}

#[tokio::test]
async fn a_blocked_product_spoils_no_other() {
    let (_mongo, world) = world_of_its_own(&[LEFT_OPEN_FOR_60_S]).await;
    let ada = world.person("ada").await;
    let (tea, cup) = (ada.product().create().await, ada.product().create().await);
    let inventory = inventory(&world).await;
    let known = vec![item(Id::random(), &[(&tea, 1)])];
    reserve(&inventory, known.clone()).await;
    let mut stranger = block(&world, &tea).await;
    // What is on record is told whatever is in the way.
    assert_eq!(
        kinds(&reserve(&inventory, known.clone()).await),
        ["reserved"]
    );
    let beside = [known, vec![item(Id::random(), &[(&tea, 1)])]].concat();
    eventually("the known one beside the blocked one", async || {
        let outcomes = reserve(&inventory, beside.clone()).await;
        (kinds(&outcomes) == ["reserved", "undecided"]).then_some(())
    })
    .await;

    let orders: [Id; 4] = std::array::from_fn(|_| Id::random());
    let of = |product| orders.map(|id| item(id, &[(product, 1)])).to_vec();
    let mut batch = of(&cup);
    batch[2] = of(&tea)[2].clone();
    let expected = ["reserved", "reserved", "undecided", "reserved"];
    eventually("all but one", async || {
        let outcomes = reserve(&inventory, batch.clone()).await;
        (kinds(&outcomes) == expected).then_some(())
    })
    .await;
    stranger.abort_transaction().await.unwrap();
    assert_eq!(kinds(&reserve(&inventory, batch).await), ["reserved"; 4]);
    assert_eq!(kinds(&reserve(&inventory, beside).await), ["reserved"; 2]);
    assert_eq!((stock(&ada, &tea).await, stock(&ada, &cup).await), (7, 7));
}

/// Their batch is blocked as a whole, and so is the one that stands ready behind it.
#[tokio::test]
async fn a_blocked_product_spoils_no_order_of_another_however_many_wait() {
    const N: usize = 50;
    let (_mongo, world) = world_of_its_own(&[LEFT_OPEN_FOR_60_S]).await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(1_000).create().await;
    let cup = ada.product().stock(1_000).create().await;
    let given_up = async || transactions(&world, "totalAborted").await;
    let mut stranger = block(&world, &tea).await;
    let before = given_up().await;

    // On a slow machine some may not be in time, and ask again: together with the blocked one, as before.
    let all_but_one = async |group: &str| {
        eventually("all but one", async || {
            let place = async |n: usize| {
                let is_blocked = n == N / 2;
                let product = if is_blocked { &tea } else { &cup };
                let request_id = format!("{group}-{n}");
                let order = ada.order().line(product, 1).request_id(&request_id);
                let placed = order.place().await;
                match &placed {
                    Ok(_) => assert!(!is_blocked),
                    Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
                }
                is_blocked || placed.is_ok()
            };
            let placed = join_all((0..N).map(place)).await;
            placed.into_iter().all(|placed| placed).then_some(())
        })
        .await;
    };
    let first = all_but_one("first");
    let others = async {
        let in_the_way = async || (given_up().await > before).then_some(());
        eventually("the first to be blocked", in_the_way).await;
        all_but_one("others").await;
    };
    join(first, others).await;
    stranger.abort_transaction().await.unwrap();
    assert_eq!(stock(&ada, &cup).await, 1_000 - 2 * (N as i64 - 1));
}
