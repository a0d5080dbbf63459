//! Bad input: the right code, every wrong field named, and nothing changed.

use orderflow_proto::{
    catalog::v1::{
        AdjustStockRequest, BatchGetProductsRequest, CreateProductRequest, DeleteProductRequest,
        GetProductRequest, ListProductsRequest, PriceRange, Product, UpdateProductRequest,
    },
    money::v1::Money,
    order::v1::{
        CancelOrderRequest, GetOrderRequest, GetOrderStatsRequest, ListOrdersRequest,
        UpdateOrderStatusRequest,
    },
};
use orderflow_testkit::{Refusal, World, money};
use tonic::Code;

#[track_caller]
fn invalid<T: std::fmt::Debug>(result: Result<T, tonic::Status>, fields: &[&str]) {
    let refusal = Refusal::of(result);
    assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
    assert_eq!(refusal.fields, fields);
}

#[tokio::test]
async fn orders() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let product = ada.product().stock(1_000_000).create().await;

    for quantity in [0, -1, 10_001, i32::MAX, i32::MIN] {
        let order = ada.order().line(&product, 1).line(&product, quantity);
        invalid(order.place().await, &["lines[1].quantity"]);
    }
    ada.order().line(&product, 10_000).place().await.unwrap();
    invalid(
        ada.order()
            .line(&product, 10_000)
            .line(&product, 1)
            .place()
            .await,
        &["lines[1].quantity"],
    );

    invalid(ada.order().place().await, &["lines"]);
    let lines = |n| (0..n).fold(ada.order(), |order, _| order.line(&product, 1));
    lines(100).place().await.unwrap();
    invalid(lines(101).place().await, &["lines"]);
    invalid(lines(10_000).place().await, &["lines"]);

    let request_id = |length: usize| {
        ada.order()
            .line(&product, 1)
            .request_id(&"k".repeat(length))
    };
    request_id(128).place().await.unwrap();
    invalid(request_id(129).place().await, &["request_id"]);
    invalid(
        ada.order()
            .raw_line("{\"$gt\": \"\"}", 0)
            .request_id("a b")
            .place()
            .await,
        &["lines[0].product_id", "lines[0].quantity", "request_id"],
    );
    let expected = Money {
        currency_code: "$gt".to_owned(),
        minor_units: -1,
    };
    invalid(
        ada.order().line(&product, 1).at(expected).place().await,
        &[
            "lines[0].expected_unit_price.currency_code",
            "lines[0].expected_unit_price.minor_units",
        ],
    );

    for id in [
        "",
        "$gt",
        "0123",
        &"A".repeat(32),
        "../../etc/passwd",
        "a\0b",
    ] {
        let id = || id.to_owned();
        invalid(
            ada.orders().get_order(GetOrderRequest { id: id() }).await,
            &["id"],
        );
        invalid(
            ada.orders()
                .cancel_order(CancelOrderRequest { id: id() })
                .await,
            &["id"],
        );
        let update = UpdateOrderStatusRequest {
            id: id(),
            status: 77,
        };
        invalid(
            ada.orders().update_order_status(update).await,
            &["id", "status"],
        );
    }
    let list = ListOrdersRequest {
        page_size: -1,
        page_token: "$gt".to_owned(),
        status: 99,
        user_id: "$gt".to_owned(),
        currency_code: "$gt".to_owned(),
        order_by: "$where".to_owned(),
        ..Default::default()
    };
    invalid(
        ada.orders().list_orders(list).await,
        &[
            "currency_code",
            "order_by",
            "page_size",
            "page_token",
            "status",
            "user_id",
        ],
    );
    let stats = GetOrderStatsRequest {
        start_day: "$gt".to_owned(),
        end_day: "1.1.".to_owned(),
    };
    invalid(
        ada.orders().get_order_stats(stats).await,
        &["end_day", "start_day"],
    );
}

#[tokio::test]
async fn products() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let create = async |change: &dyn Fn(&mut CreateProductRequest)| {
        let mut draft = ada.product();
        change(&mut draft.request);
        draft.try_create().await
    };
    const MAX: i64 = 1_000_000_000_000;
    // At each limit, and past it.
    create(&|r| r.name = "n".repeat(200)).await.unwrap();
    create(&|r| r.description = "d".repeat(5_000))
        .await
        .unwrap();
    create(&|r| r.price = Some(money(MAX))).await.unwrap();
    create(&|r| r.price = Some(money(0))).await.unwrap();
    create(&|r| r.stock = MAX).await.unwrap();
    create(&|r| r.stock = 0).await.unwrap();
    create(&|r| r.request_id = "r".repeat(128)).await.unwrap();
    invalid(create(&|r| r.name = "n".repeat(201)).await, &["name"]);
    invalid(
        create(&|r| r.name = "two\nlines".to_owned()).await,
        &["name"],
    );
    invalid(
        create(&|r| r.description = "d".repeat(5_001)).await,
        &["description"],
    );
    invalid(
        create(&|r| r.description = "a\0b".to_owned()).await,
        &["description"],
    );
    invalid(
        create(&|r| r.price = Some(money(MAX + 1))).await,
        &["price.minor_units"],
    );
    invalid(create(&|r| r.price = None).await, &["price"]);
    invalid(create(&|r| r.stock = MAX + 1).await, &["stock"]);
    invalid(create(&|r| r.stock = -1).await, &["stock"]);
    invalid(
        create(&|r| r.request_id = "r".repeat(129)).await,
        &["request_id"],
    );
    invalid(
        create(&|r| {
            *r = CreateProductRequest {
                price: Some(Money {
                    currency_code: "$gt".to_owned(),
                    minor_units: -1,
                }),
                stock: -1,
                ..Default::default()
            };
        })
        .await,
        &["name", "price.currency_code", "price.minor_units", "stock"],
    );

    // Operators are text like any other.
    let odd = create(&|r| {
        r.name = "$where".to_owned();
        r.description = "{\"$gt\": \"\"} a.b".to_owned();
    })
    .await
    .unwrap();
    assert_eq!(
        (odd.name.as_str(), odd.description.as_str()),
        ("$where", "{\"$gt\": \"\"} a.b")
    );

    let mut catalog = ada.catalog();
    let id = || "$gt".to_owned();
    invalid(
        catalog.get_product(GetProductRequest { id: id() }).await,
        &["id"],
    );
    let delete = DeleteProductRequest {
        id: id(),
        etag: String::new(),
    };
    invalid(catalog.delete_product(delete).await, &["id"]);
    invalid(
        catalog
            .batch_get_products(BatchGetProductsRequest { ids: vec![] })
            .await,
        &["ids"],
    );
    let ids = vec![odd.id.clone(); 101];
    invalid(
        catalog
            .batch_get_products(BatchGetProductsRequest { ids })
            .await,
        &["ids"],
    );
    let ids = vec![odd.id.clone(), id(), String::new()];
    invalid(
        catalog
            .batch_get_products(BatchGetProductsRequest { ids })
            .await,
        &["ids[1]", "ids[2]"],
    );
    let list = ListProductsRequest {
        page_size: -1,
        page_token: "$".to_owned(),
        query: "q".repeat(201),
        owner_id: id(),
        price_range: Some(PriceRange {
            currency_code: id(),
            ..Default::default()
        }),
        in_stock: None,
        order_by: "$natural".to_owned(),
    };
    invalid(
        catalog.list_products(list).await,
        &[
            "order_by",
            "owner_id",
            "page_size",
            "page_token",
            "price_range.currency_code",
            "query",
        ],
    );
    let update = UpdateProductRequest {
        product: Some(Product {
            id: id(),
            ..Default::default()
        }),
        update_mask: None,
    };
    invalid(
        catalog.update_product(update).await,
        &["product.id", "update_mask"],
    );
    let adjust = AdjustStockRequest {
        product_id: id(),
        ..Default::default()
    };
    invalid(
        catalog.adjust_stock(adjust).await,
        &["delta", "product_id", "reason"],
    );
}
