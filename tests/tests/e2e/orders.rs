//! What becomes of orders, and who sees and changes them.

use futures::future::{join, join_all};
use mongodb::bson::{Document, doc};
use orderflow_proto::{
    catalog::v1::{GetProductRequest, Product, UpdateProductRequest},
    money::v1::Money,
    order::v1::{
        CancelOrderRequest, GetOrderRequest, ListOrdersRequest, Order, OrderSide, OrderStatus,
        UpdateOrderStatusRequest,
    },
};
use orderflow_testkit::{Person, Refusal, World, money};
use prost_types::FieldMask;
use tonic::{Code, Status};

pub(crate) async fn get(person: &Person, order: &Order) -> Result<Order, Status> {
    let request = GetOrderRequest {
        id: order.id.clone(),
    };
    Ok(person
        .orders()
        .get_order(request)
        .await?
        .into_inner()
        .order
        .unwrap())
}

pub(crate) async fn update(
    person: &Person,
    order: &Order,
    to: OrderStatus,
) -> Result<OrderStatus, Status> {
    let request = UpdateOrderStatusRequest {
        id: order.id.clone(),
        status: to.into(),
    };
    let updated = person.orders().update_order_status(request).await?;
    Ok(updated.into_inner().order.unwrap().status())
}

pub(crate) async fn cancel(person: &Person, order: &Order) -> Result<OrderStatus, Status> {
    let request = CancelOrderRequest {
        id: order.id.clone(),
    };
    let cancelled = person.orders().cancel_order(request).await?;
    Ok(cancelled.into_inner().order.unwrap().status())
}

pub(crate) async fn stock(person: &Person, product: &Product) -> i64 {
    let request = GetProductRequest {
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
async fn someone_elses_order_does_not_exist() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let stranger = world.person("stranger").await;
    let product = seller.product().create().await;
    let order = buyer.order().line(&product, 1).place().await.unwrap();

    let absent = Order {
        id: "0".repeat(32),
        ..order.clone()
    };
    let of_another = get(&stranger, &order).await.unwrap_err();
    let of_none = get(&stranger, &absent).await.unwrap_err();
    assert_eq!(of_another.code(), Code::NotFound);
    assert_eq!(of_another.message(), of_none.message());
    assert_eq!(of_another.details(), of_none.details());
    assert_eq!(
        cancel(&stranger, &order).await.unwrap_err().code(),
        Code::NotFound
    );

    assert_eq!(get(&world.admin().await, &order).await.unwrap(), order);
}

#[tokio::test]
async fn the_status_moves_on_step_by_step_by_its_seller() {
    use OrderStatus::{Cancelled, Delivered, Pending, Shipped};
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let stranger = world.person("stranger").await;
    let product = seller.product().create().await;
    let order = buyer.order().line(&product, 1).place().await.unwrap();

    let refusal = Refusal::of(update(&seller, &order, Delivered).await);
    assert_eq!(refusal.code, Code::FailedPrecondition);
    assert_eq!(refusal.reason, "NO_SUCH_TRANSITION");
    assert_eq!(refusal.violations[0].2, "PENDING");
    assert_eq!(
        Refusal::of(update(&stranger, &order, Delivered).await).code,
        Code::NotFound
    );
    assert_eq!(
        Refusal::of(update(&buyer, &order, Shipped).await).code,
        Code::PermissionDenied
    );
    for no_step in [Pending, Cancelled, OrderStatus::Unspecified] {
        let refusal = Refusal::of(update(&seller, &order, no_step).await);
        assert_eq!(
            (refusal.code, refusal.fields),
            (Code::InvalidArgument, vec!["status".into()])
        );
    }
    assert_eq!(
        get(&buyer, &order).await.unwrap(),
        order,
        "nothing has changed"
    );

    assert_eq!(update(&seller, &order, Shipped).await.unwrap(), Shipped);
    // Sent again, as after a lost answer.
    assert_eq!(update(&seller, &order, Shipped).await.unwrap(), Shipped);
    assert_eq!(
        Refusal::of(cancel(&buyer, &order).await).code,
        Code::FailedPrecondition
    );
    assert_eq!(
        update(&world.admin().await, &order, Delivered)
            .await
            .unwrap(),
        Delivered
    );
    assert_eq!(
        Refusal::of(update(&seller, &order, Shipped).await).code,
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn cancelling_gives_the_stock_back_once() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let product = seller.product().stock(10).create().await;
    let order = buyer
        .order()
        .line(&product, 3)
        .request_id("c")
        .place()
        .await
        .unwrap();
    assert_eq!(stock(&buyer, &product).await, 7);

    for _ in 0..2 {
        assert_eq!(
            cancel(&buyer, &order).await.unwrap(),
            OrderStatus::Cancelled
        );
        assert_eq!(stock(&buyer, &product).await, 10);
    }
    // The placement, repeated, finds its order as it is now and does not bring it back to life.
    let again = buyer
        .order()
        .line(&product, 3)
        .request_id("c")
        .place()
        .await
        .unwrap();
    assert_eq!(
        (again.id, again.status),
        (order.id, OrderStatus::Cancelled.into())
    );
    assert_eq!(stock(&buyer, &product).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_against_ship_and_cancel_against_cancel_leave_one_end() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let product = seller.product().stock(100).create().await;
    for _ in 0..10 {
        let order = buyer.order().line(&product, 1).place().await.unwrap();
        let before = stock(&buyer, &product).await;
        let (cancelled, shipped) = join(
            cancel(&buyer, &order),
            update(&seller, &order, OrderStatus::Shipped),
        )
        .await;
        assert!(
            cancelled.is_ok() != shipped.is_ok(),
            "{cancelled:?} and {shipped:?}"
        );
        let after = before + i64::from(cancelled.is_ok());
        assert_eq!(stock(&buyer, &product).await, after);

        let order = buyer.order().line(&product, 1).place().await.unwrap();
        let before = stock(&buyer, &product).await;
        let (one, other) = join(cancel(&buyer, &order), cancel(&seller, &order)).await;
        assert_eq!(
            (one.unwrap(), other.unwrap()),
            (OrderStatus::Cancelled, OrderStatus::Cancelled)
        );
        assert_eq!(stock(&buyer, &product).await, before + 1);
    }
}

#[tokio::test]
async fn each_seller_sees_their_own_lines() {
    let world = World::start().await;
    let (one, other) = (world.person("one").await, world.person("other").await);
    let buyer = world.person("buyer").await;
    let (tea, cup) = (
        one.product().price(5).create().await,
        other.product().price(7).create().await,
    );
    let order = buyer
        .order()
        .line(&tea, 1)
        .line(&cup, 2)
        .request_id("r")
        .place()
        .await
        .unwrap();
    assert_eq!(
        (order.lines.len(), order.total_price.clone()),
        (2, Some(money(19)))
    );

    for (seller, product, total) in [(&one, &tea, 5), (&other, &cup, 14)] {
        let seen = get(seller, &order).await.unwrap();
        assert_eq!(seen.lines.len(), 1);
        assert_eq!(seen.lines[0].product_id, product.id);
        assert_eq!(seen.total_price, Some(money(total)));
        assert_eq!(seen.request_id, "");
        let list = ListOrdersRequest {
            side: OrderSide::Seller.into(),
            ..Default::default()
        };
        let listed = seller
            .orders()
            .list_orders(list)
            .await
            .unwrap()
            .into_inner()
            .orders;
        assert_eq!(listed, [seen]);

        // It is not theirs alone to change.
        let refusal = Refusal::of(update(seller, &order, OrderStatus::Shipped).await);
        assert_eq!(refusal.code, Code::PermissionDenied);
        assert_eq!(
            Refusal::of(cancel(seller, &order).await).code,
            Code::PermissionDenied
        );
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_named_line_by_line() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let tea = seller.product().stock(3).create().await;
    let euro = Money {
        currency_code: "EUR".to_owned(),
        minor_units: 500,
    };
    let cup = seller.product().money(euro).create().await;
    let absent = "0".repeat(32);

    let order = buyer.order().line(&tea, 4).raw_line(&absent, 1);
    let refusal = Refusal::of(order.request_id("no").place().await);
    assert_eq!(refusal.code, Code::FailedPrecondition);
    let mut kinds: Vec<_> = refusal
        .violations
        .iter()
        .map(|v| (v.0.as_str(), v.1.clone()))
        .collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            ("INSUFFICIENT_STOCK", format!("products/{}", tea.id)),
            ("PRODUCT_NOT_FOUND", format!("products/{absent}")),
        ]
    );
    // Refused for good: also after a restock, this request id makes no order. A new one does.
    let adjust = orderflow_proto::catalog::v1::AdjustStockRequest {
        product_id: tea.id.clone(),
        delta: 100,
        reason: "delivery".to_owned(),
        request_id: String::new(),
    };
    seller.catalog().adjust_stock(adjust).await.unwrap();
    let order = || buyer.order().line(&tea, 4).raw_line(&absent, 1);
    let again = Refusal::of(order().request_id("no").place().await);
    assert_eq!(again, refusal);

    let refusal = Refusal::of(buyer.order().line(&tea, 1).line(&cup, 1).place().await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "CURRENCY_MISMATCH")
    );

    // The price moves while the buyer looks at it.
    let update = UpdateProductRequest {
        product: Some(Product {
            id: tea.id.clone(),
            price: Some(money(2_500)),
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["price".to_owned()],
        }),
    };
    seller.catalog().update_product(update).await.unwrap();
    let refusal = Refusal::of(buyer.order().line(&tea, 1).at(money(1_999)).place().await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "PRICE_CHANGED")
    );
    assert!(refusal.violations[0].2.contains("2500 TRY"), "{refusal:?}");
    let order = buyer
        .order()
        .line(&tea, 1)
        .at(money(2_500))
        .place()
        .await
        .unwrap();
    assert_eq!(order.total_price, Some(money(2_500)));
}

#[tokio::test]
async fn a_request_id_stands_for_one_order_of_one_buyer() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let product = seller.product().stock(10).create().await;
    let first = buyer
        .order()
        .line(&product, 1)
        .request_id("k")
        .place()
        .await
        .unwrap();

    // Two lines of one product are one line of both, so this is another order under the same id.
    let other = buyer
        .order()
        .line(&product, 1)
        .line(&product, 1)
        .request_id("k");
    let refusal = Refusal::of(other.place().await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::AlreadyExists, "REQUEST_ID_REUSED")
    );
    // Another buyer's is another order.
    let elsewhere = seller
        .order()
        .line(&product, 1)
        .request_id("k")
        .place()
        .await
        .unwrap();
    assert_ne!(elsewhere.id, first.id);
    // After a mistake in the body the same id may be used for what was meant.
    let wrong = buyer.order().line(&product, 0).request_id("m");
    assert_eq!(Refusal::of(wrong.place().await).code, Code::InvalidArgument);
    buyer
        .order()
        .line(&product, 1)
        .request_id("m")
        .place()
        .await
        .unwrap();
}

#[tokio::test]
async fn an_order_that_cannot_be_read_spoils_no_other() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let product = seller.product().stock(100).create().await;
    let place = |key: &str| buyer.order().line(&product, 1).request_id(key).place();
    let broken = place("broken").await.unwrap();
    let orders = world
        .database("order")
        .await
        .collection::<Document>("orders");
    let newer = doc! { "$set": { "status": "OF_A_NEWER_VERSION" } };
    orders
        .update_one(doc! { "_id": &broken.id }, newer)
        .await
        .unwrap();

    let keys: Vec<_> = (0..20)
        .map(|n| {
            if n % 5 == 0 {
                "broken".into()
            } else {
                n.to_string()
            }
        })
        .collect();
    let placed = join_all(keys.iter().map(|key| place(key))).await;
    for (key, placed) in keys.iter().zip(placed) {
        let code = placed.map_or_else(|status| status.code(), |_| Code::Ok);
        let expected = if key == "broken" {
            Code::Unavailable
        } else {
            Code::Ok
        };
        assert_eq!(code, expected, "{key}");
    }
}
