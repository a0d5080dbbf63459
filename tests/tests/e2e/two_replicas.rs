//! Two of each service, over the same databases.

use std::time::Duration;

use futures::future::join_all;
use mongodb::bson::{Document, doc};
use orderflow_cli::System;
use orderflow_proto::catalog::v1::AdjustStockRequest;
use orderflow_testkit::{Person, World, eventually};
use tonic::{Code, Status};

/// Sends it again for as long as its outcome is unknown.
pub(crate) async fn until_known<T>(call: impl AsyncFn() -> Result<T, Status>) -> T {
    eventually("an outcome", async || {
        call()
            .await
            .inspect_err(|status| assert_eq!(status.code(), Code::Unavailable, "{status:?}"))
            .ok()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_hot_product_both_get_on_and_the_books_balance() {
    const EACH: usize = 60;
    let world = World::start().await;
    let mut second = System::start(world.settings.clone(), |_| {}).await.unwrap();
    second.ready(Duration::from_secs(30)).await.unwrap();
    let ada = world.person("ada").await;
    let product = ada.product().stock(10_000).create().await;
    let people = [
        ada.by_way_of(world.system.gateway).await,
        ada.by_way_of(second.gateway).await,
    ];

    // Orders, some of them cancelled, some sent by both ways; deliveries by both ways.
    let ordering = (0..2 * EACH).map(|n| {
        let (person, product) = (&people[n % 2], &product);
        async move {
            let key = format!("order-{}", n - n % 10 / 8);
            let place = async || {
                person
                    .order()
                    .line(product, 2)
                    .request_id(&key)
                    .place()
                    .await
            };
            let order = until_known(place).await;
            if n % 3 == 0 {
                let cancel = || orderflow_proto::order::v1::CancelOrderRequest {
                    id: order.id.clone(),
                };
                until_known(async || person.orders().cancel_order(cancel()).await).await;
            }
            order.id
        }
    });
    let delivering = (0..2 * EACH).map(|n| {
        let request = AdjustStockRequest {
            product_id: product.id.clone(),
            delta: 5,
            reason: "delivery".to_owned(),
            request_id: format!("delivery-{}", n / 2),
        };
        let person = &people[n % 2];
        async move {
            until_known(async || person.catalog().adjust_stock(request.clone()).await).await;
        }
    });
    let creating = (0..2 * EACH).map(|n| {
        let person = &people[n % 2];
        async move {
            let create = async || {
                let mut draft = person.product();
                draft.request.request_id = format!("product-{}", n / 2);
                draft.try_create().await
            };
            until_known(create).await
        }
    });
    let all = (join_all(ordering), join_all(delivering), join_all(creating));
    let (orders, _, created) = tokio::join!(all.0, all.1, all.2);

    let report = world.audit().await;
    assert!(report.is_clean(), "{report:?}");
    let mut orders: Vec<_> = orders;
    orders.sort();
    orders.dedup();
    // Two of ten share a key.
    assert_eq!(orders.len(), 2 * EACH / 10 * 9);
    assert!(created.chunks(2).all(|pair| pair[0].id == pair[1].id));
    let ledger = world
        .database("catalog")
        .await
        .collection::<Document>("ledger");
    let rows = ledger
        .count_documents(doc! { "product_id": &product.id })
        .await;
    assert_eq!(rows.unwrap(), 1 + EACH as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_outlives_a_restart_of_everything() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().create().await;
    let place = async |person: &Person| {
        let order = person.order().line(&tea, 1).request_id("once");
        order.place().await
    };
    let first = place(&ada).await.unwrap();
    let settings = world.settings.clone();
    world.system.stop(Duration::from_secs(30)).await;

    let mut system = System::start(settings, |_| {}).await.unwrap();
    system.ready(Duration::from_secs(30)).await.unwrap();
    let ada = ada.by_way_of(system.gateway).await;
    assert_eq!(place(&ada).await.unwrap(), first);
}
