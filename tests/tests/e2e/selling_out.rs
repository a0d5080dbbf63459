//! More buyers than goods.

use futures::future::{join, join_all};
use orderflow_proto::{
    catalog::v1::{
        AdjustStockRequest, DeleteProductRequest, GetProductRequest, Product, UpdateProductRequest,
    },
    order::v1::Order,
};
use orderflow_testkit::{Person, Refusal, World, money};
use tonic::Code;

use crate::orders::{cancel, get, stock};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_goes_from_hand_to_hand() {
    const TURNS: usize = 12;
    let world = World::start().await;
    let seller = world.person("seller").await;
    let tea = seller.product().stock(1).create().await;
    let buyers = join_all(["ada", "bob", "eve"].map(|name| world.person(name))).await;

    // Each takes it as often as they can, and gives it back.
    let had = join_all(buyers.iter().map(|buyer| async {
        let mut had = 0;
        for _ in 0..TURNS {
            match buyer.order().line(&tea, 1).place().await {
                Ok(order) => {
                    cancel(buyer, &order).await.unwrap();
                    had += 1;
                }
                Err(refused) => assert_eq!(refused.code(), Code::FailedPrecondition),
            }
        }
        had
    }))
    .await;
    assert!(had.iter().sum::<usize>() > 0);
    assert_eq!(stock(&seller, &tea).await, 1);
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
}

/// Changes name and price of a product, again and again, restocks it, and withdraws it in the end.
async fn change(seller: &Person, mut tea: Product, times: i64) {
    for n in 1..=times {
        tea.name = format!("Tea glass {n}");
        tea.price = Some(money(1_000 + n));
        let update = UpdateProductRequest {
            product: Some(tea),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["name".to_owned(), "price".to_owned()],
            }),
        };
        let updated = seller.catalog().update_product(update).await.unwrap();
        tea = updated.into_inner().product.unwrap();
        let restock = AdjustStockRequest {
            product_id: tea.id.clone(),
            delta: 3,
            reason: "delivery".to_owned(),
            request_id: n.to_string(),
        };
        seller.catalog().adjust_stock(restock).await.unwrap();
    }
    let delete = DeleteProductRequest {
        id: tea.id,
        etag: String::new(),
    };
    seller.catalog().delete_product(delete).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_changes_while_it_is_bought_is_bought_as_it_was() {
    const BUYERS: usize = 8;
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let tea = seller.product().price(1_000).stock(20).create().await;

    let buying = async || {
        let mut orders: Vec<Order> = Vec::new();
        loop {
            match buyer.order().line(&tea, 1).place().await {
                Ok(order) => orders.push(order),
                Err(refused) => {
                    let refusal = Refusal::from(&refused);
                    assert_eq!(refusal.code, Code::FailedPrecondition, "{refusal:?}");
                    if refusal.reason == "PRODUCT_NOT_FOUND" {
                        return orders;
                    }
                }
            }
        }
    };
    let (orders, ()) = join(
        join_all((0..BUYERS).map(|_| buying())),
        change(&seller, tea.clone(), 10),
    )
    .await;
    let orders: Vec<_> = orders.into_iter().flatten().collect();
    assert!(orders.len() >= 20, "{}", orders.len());
    for order in &orders {
        let line = &order.lines[0];
        let price = line.unit_price.as_ref().unwrap().minor_units;
        // The name and the price of one moment.
        match price {
            1_000 => assert_eq!(line.product_name, "Tea glass"),
            price => assert_eq!(line.product_name, format!("Tea glass {}", price - 1_000)),
        }
        assert_eq!(get(&buyer, order).await.unwrap().lines, order.lines);
    }
    let report = world.audit().await;
    assert!(report.is_clean(), "{report}");
}
