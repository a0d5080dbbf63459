//! What was begun is finished, by whoever is there.

use mongodb::{
    Collection,
    bson::{Document, doc},
};
use orderflow_contract::Id;
use orderflow_proto::{
    catalog::v1::{GetProductRequest, ListUnsettledRequest},
    order::v1::{GetOrderRequest, Order, OrderStatus},
};
use orderflow_testkit::{Person, World, eventually};

use crate::inventory::{entries, inventory, item, reserve};

#[tokio::test]
async fn a_reservation_becomes_an_order_though_nobody_asks_again() {
    let world = World::start().await;
    let (ada, admin) = (world.person("ada").await, world.admin().await);
    let tea = ada.product().stock(10).create().await;
    let inventory = inventory(&world).await;
    // As an order service does that dies before it has written its orders; one of the batch was refused.
    let [one, other, refused] = std::array::from_fn(|_| Id::random());
    let batch = [(one, 2), (other, 3), (refused, 50)];
    reserve(
        &inventory,
        batch.map(|(id, n)| item(id, &[(&tea, n)])).to_vec(),
    )
    .await;

    for (id, quantity) in [(one, 2), (other, 3)] {
        let order = appears(&admin, id).await;
        assert_eq!(order.status(), OrderStatus::Pending);
        assert_eq!(order.lines[0].quantity, quantity);
        assert_eq!(order.lines[0].product_name, tea.name);
    }
    eventually("a settled journal", async || {
        let page = inventory
            .clone()
            .list_unsettled(ListUnsettledRequest::default())
            .await;
        page.unwrap().into_inner().entries.is_empty().then_some(())
    })
    .await;
    let get = GetOrderRequest {
        id: refused.to_string(),
    };
    assert!(admin.orders().get_order(get).await.is_err());
}

#[tokio::test]
async fn a_cancellation_left_half_way_is_finished() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(10).create().await;
    let order = ada.order().line(&tea, 4).place().await.unwrap();
    // As an order service leaves it that dies after the first step.
    let orders = world
        .database("order")
        .await
        .collection::<Document>("orders");
    let cancelling = doc! { "$set": { "status": "CANCELLING" } };
    orders
        .update_one(doc! { "_id": &order.id }, cancelling)
        .await
        .unwrap();

    eventually("the end of it", async || {
        let get = GetOrderRequest {
            id: order.id.clone(),
        };
        let now = ada
            .orders()
            .get_order(get)
            .await
            .unwrap()
            .into_inner()
            .order
            .unwrap();
        (now.status() == OrderStatus::Cancelled).then_some(())
    })
    .await;
    let get = GetProductRequest { id: tea.id };
    let tea = ada
        .catalog()
        .get_product(get)
        .await
        .unwrap()
        .into_inner()
        .product
        .unwrap();
    assert_eq!(tea.stock, 10);
}

/// The journal stands here.
async fn reservations(world: &World) -> Collection<Document> {
    world.database("catalog").await.collection("reservations")
}

async fn unsettled(reservations: &Collection<Document>) -> u64 {
    reservations.count_documents(entries()).await.unwrap()
}

/// An order that nobody asks for but us.
async fn appears(admin: &Person, id: Id) -> Order {
    eventually("the order", async || {
        let get = GetOrderRequest { id: id.to_string() };
        admin.orders().get_order(get).await.ok()?.into_inner().order
    })
    .await
}

#[tokio::test]
async fn a_bad_entry_of_the_journal_holds_up_no_other() {
    let world = World::start().await;
    let (ada, admin) = (world.person("ada").await, world.admin().await);
    let tea = ada.product().stock(10).create().await;
    let journal = reservations(&world).await;
    journal
        .insert_one(doc! { "orders": ["not an id"] })
        .await
        .unwrap();
    journal.insert_one(doc! { "orders": 7 }).await.unwrap();
    let order = Id::random();
    reserve(&inventory(&world).await, vec![item(order, &[(&tea, 1)])]).await;

    appears(&admin, order).await;
    // Settled are those that were understood.
    eventually("the bad ones alone", async || {
        (unsettled(&journal).await == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pages_of_bad_and_fat_entries_hide_none_behind_them() {
    let world = World::start().await;
    let (ada, admin) = (world.person("ada").await, world.admin().await);
    let tea = ada.product().stock(10).create().await;
    let journal = reservations(&world).await;
    // More than a page of those that cannot be read, and one that is more than a page by itself, which cannot be settled either, for
    // the sake of one order that nobody knows: to ask about many would take a busy machine half a minute.
    let bad = (0..60).map(|_| doc! { "orders": 7 });
    journal.insert_many(bad).await.unwrap();
    let known = ada.order().line(&tea, 1).place().await.unwrap();
    let mut fat = vec![known.id; 60_000];
    fat.push(Id::random().to_string());
    journal.insert_one(doc! { "orders": fat }).await.unwrap();
    let order = Id::random();
    reserve(&inventory(&world).await, vec![item(order, &[(&tea, 1)])]).await;

    appears(&admin, order).await;
    eventually("those that can be settled are", async || {
        (unsettled(&journal).await == 61).then_some(())
    })
    .await;
}
