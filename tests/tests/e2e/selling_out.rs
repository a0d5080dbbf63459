//! More buyers than goods.

use futures::future::join_all;
use orderflow_proto::catalog::v1::GetProductRequest;
use orderflow_testkit::{Refusal, World};
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_buyers_for_a_hundred_items() {
    let world = World::start().await;
    let seller = world.person("seller").await;
    let product = seller.product().stock(100).create().await;
    let buyers = join_all((0..50).map(|n| {
        let world = &world;
        async move { world.person(&format!("buyer{n}")).await }
    }))
    .await;

    let orders = (0..200).map(|n| buyers[n % 50].order().line(&product, 1).place());
    let results = join_all(orders).await;

    let (placed, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(placed.len(), 100);
    for refused in refused {
        let refusal = Refusal::of(refused);
        assert_eq!(refusal.code, Code::FailedPrecondition);
        assert_eq!(refusal.reason, "INSUFFICIENT_STOCK");
        let left = (format!("products/{}", product.id), "0 left".to_owned());
        assert_eq!(
            refusal.violations,
            [("INSUFFICIENT_STOCK".to_owned(), left.0, left.1)]
        );
    }
    let get = GetProductRequest { id: product.id };
    let product = seller
        .catalog()
        .get_product(get)
        .await
        .unwrap()
        .into_inner()
        .product
        .unwrap();
    assert_eq!(product.stock, 0);
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_is_one_order_however_often_it_is_sent() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let product = seller.product().stock(100).create().await;

    let attempts = (0..50).map(|_| buyer.order().line(&product, 1).request_id("once").place());
    let results = join_all(attempts).await;

    let mut ids: Vec<_> = results.into_iter().map(|order| order.unwrap().id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let get = GetProductRequest { id: product.id };
    let product = seller
        .catalog()
        .get_product(get)
        .await
        .unwrap()
        .into_inner()
        .product
        .unwrap();
    assert_eq!(product.stock, 99);
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_take_products_in_opposite_sequence_get_along() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let tea = seller.product().stock(1_000).create().await;
    let cup = seller.product().stock(1_000).create().await;

    let orders = (0..60).map(|n| {
        let (first, second) = if n % 2 == 0 {
            (&tea, &cup)
        } else {
            (&cup, &tea)
        };
        buyer.order().line(first, 1).line(second, 2).place()
    });
    for order in join_all(orders).await {
        order.unwrap();
    }
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
}
