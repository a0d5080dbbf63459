//! Lists, page by page, and how MongoDB answers them.

use futures::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{DateTime, Document, doc};
use orderflow_contract::{Id, page};
use orderflow_proto::{
    catalog::v1::{ListProductsRequest, PriceRange},
    money::v1::Money,
    order::v1::{
        CancelOrderRequest, ListOrdersRequest, Order, OrderSide, OrderStatus,
        UpdateOrderStatusRequest,
    },
};
use orderflow_testkit::{Person, Refusal, World};
use prost::Message;
use tonic::Code;

/// All pages of a list.
async fn orders(person: &Person, request: &ListOrdersRequest) -> Vec<Order> {
    let mut request = request.clone();
    let mut found = Vec::new();
    loop {
        let page = person
            .orders()
            .list_orders(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(page.orders.len() <= usize::try_from(request.page_size).unwrap());
        found.extend(page.orders);
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

fn total(order: &Order) -> (String, i64) {
    let total = order.total_price.clone().unwrap();
    (total.currency_code, total.minor_units)
}

fn time(order: &Order) -> (i64, i32) {
    let time = order.create_time.unwrap();
    (time.seconds, time.nanos)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_and_sort_of_orders_page_by_page() {
    let world = World::start().await;
    let (seller, buyer) = (world.person("seller").await, world.person("buyer").await);
    let admin = world.admin().await;
    let tea = seller.product().price(100).stock(1_000).create().await;
    let euro = Money {
        currency_code: "EUR".to_owned(),
        minor_units: 70,
    };
    let pot = seller.product().money(euro).stock(1_000).create().await;

    // Totals with ties, two currencies, every status.
    let mut placed: Vec<Order> = stream::iter(0..30)
        .map(|n| {
            let product = if n % 5 == 0 { &pot } else { &tea };
            buyer.order().line(product, 1 + n % 3).place()
        })
        .buffered(8)
        .try_collect()
        .await
        .unwrap();
    for (n, order) in placed.iter_mut().enumerate() {
        let id = order.id.clone();
        match n % 3 {
            1 => {
                let ship = UpdateOrderStatusRequest {
                    id,
                    status: OrderStatus::Shipped.into(),
                };
                let shipped = seller.orders().update_order_status(ship).await.unwrap();
                *order = shipped.into_inner().order.unwrap();
            }
            2 => {
                let cancelled = buyer.orders().cancel_order(CancelOrderRequest { id }).await;
                *order = cancelled.unwrap().into_inner().order.unwrap();
            }
            _ => {}
        }
    }
    let ids = |orders: &[Order]| {
        orders
            .iter()
            .map(|order| order.id.clone())
            .collect::<Vec<_>>()
    };

    let sides = [
        (&buyer, OrderSide::Unspecified),
        (&seller, OrderSide::Seller),
        (&admin, OrderSide::Unspecified),
    ];
    for (person, side) in sides {
        for order_by in ["", "create_time", "total_price", "total_price desc"] {
            for status in [
                OrderStatus::Unspecified,
                OrderStatus::Shipped,
                OrderStatus::Cancelled,
            ] {
                let mut expected: Vec<_> = placed
                    .iter()
                    .filter(|o| status == OrderStatus::Unspecified || o.status() == status)
                    .cloned()
                    .collect();
                match order_by {
                    "" => expected.sort_by_key(|o| std::cmp::Reverse((time(o), o.id.clone()))),
                    "create_time" => expected.sort_by_key(|o| (time(o), o.id.clone())),
                    "total_price" => expected.sort_by_key(|o| (total(o), o.id.clone())),
                    _ => expected.sort_by_key(|o| std::cmp::Reverse((total(o), o.id.clone()))),
                }
                let request = ListOrdersRequest {
                    page_size: 7,
                    status: status.into(),
                    side: side.into(),
                    order_by: order_by.to_owned(),
                    ..Default::default()
                };
                let found = orders(person, &request).await;
                assert_eq!(
                    ids(&found),
                    ids(&expected),
                    "{order_by:?} {status:?} {side:?}"
                );
            }
        }
    }

    // One currency; from one moment to before another.
    let in_euro = ListOrdersRequest {
        page_size: 3,
        currency_code: "EUR".to_owned(),
        order_by: "total_price".to_owned(),
        ..Default::default()
    };
    assert_eq!(orders(&buyer, &in_euro).await.len(), 6);
    let mut by_time = placed.clone();
    by_time.sort_by_key(|o| (time(o), o.id.clone()));
    let (start, end) = (by_time[5].create_time, by_time[20].create_time);
    for order_by in ["create_time", "create_time desc", "total_price"] {
        let request = ListOrdersRequest {
            page_size: 4,
            start_time: start,
            end_time: end,
            order_by: order_by.to_owned(),
            ..Default::default()
        };
        let mut found = ids(&orders(&buyer, &request).await);
        let within = |o: &&Order| {
            let of = |time: Option<prost_types::Timestamp>| time.map(|t| (t.seconds, t.nanos));
            of(o.create_time) >= of(start) && of(o.create_time) < of(end)
        };
        let mut expected: Vec<_> = placed.iter().filter(within).map(|o| o.id.clone()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{order_by}");
    }

    // Somebody else's orders are an admin's business.
    let of_buyer = ListOrdersRequest {
        user_id: buyer.id.clone(),
        page_size: 50,
        ..Default::default()
    };
    assert_eq!(orders(&admin, &of_buyer).await.len(), 30);
    let refusal = Refusal::of(seller.orders().list_orders(of_buyer).await);
    assert_eq!(refusal.code, Code::PermissionDenied);
    assert_eq!(
        orders(
            &seller,
            &ListOrdersRequest {
                page_size: 5,
                ..Default::default()
            }
        )
        .await,
        []
    );
}

#[tokio::test]
async fn a_page_token_is_good_for_its_own_list_only() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let product = ada.product().create().await;
    for _ in 0..3 {
        ada.order().line(&product, 1).place().await.unwrap();
    }
    let request = ListOrdersRequest {
        page_size: 1,
        ..Default::default()
    };
    let first = ada
        .orders()
        .list_orders(request.clone())
        .await
        .unwrap()
        .into_inner();
    let (token, last) = (first.next_page_token, first.orders[0].id.clone());
    let with = |change: &dyn Fn(&mut ListOrdersRequest)| {
        let mut request = ListOrdersRequest {
            page_token: token.clone(),
            ..request.clone()
        };
        change(&mut request);
        request
    };
    // The size may change from page to page, and is capped.
    let rest = ada
        .orders()
        .list_orders(with(&|r| r.page_size = i32::MAX))
        .await
        .unwrap();
    assert_eq!(rest.into_inner().orders.len(), 2);

    let mut flipped = token.clone().into_bytes();
    flipped[3] ^= 1;
    let flipped = String::from_utf8(flipped).unwrap();
    let wrong = [
        (&bob, with(&|_| {})),
        (&ada, with(&|r| r.order_by = "total_price".to_owned())),
        (&ada, with(&|r| r.set_status(OrderStatus::Pending))),
        (&ada, with(&|r| r.page_token = flipped.clone())),
    ];
    for (person, request) in wrong {
        let refusal = Refusal::of(person.orders().list_orders(request).await);
        assert_eq!(refusal.code, Code::InvalidArgument);
        assert_eq!(refusal.fields, ["page_token"]);
    }
    // Nor is the place of somebody else's order: made by somebody who knows how tokens are made, it says as little as one of an
    // order that does not exist.
    let other = bob
        .order()
        .line(&product, 1)
        .place()
        .await
        .unwrap()
        .id
        .parse::<Id>()
        .unwrap();
    let rest = ListOrdersRequest::default().encode_to_vec();
    let list = page::List::of(&[b"ListOrders", ada.id.as_bytes(), &rest]);
    let mut answers = Vec::new();
    for forged in [other, Id::random()] {
        let page_token = list.token(&forged);
        let request = ListOrdersRequest {
            page_token,
            ..Default::default()
        };
        answers.push(Refusal::of(ada.orders().list_orders(request).await));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].fields, ["page_token"]);
    let own = list.token(&last.parse::<Id>().unwrap());
    let request = ListOrdersRequest {
        page_token: own,
        ..Default::default()
    };
    ada.orders().list_orders(request).await.unwrap();

    let products = ListProductsRequest {
        page_token: token,
        ..Default::default()
    };
    let refusal = Refusal::of(ada.catalog().list_products(products).await);
    assert_eq!(
        (refusal.code, refusal.fields),
        (Code::InvalidArgument, vec!["page_token".into()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_scans_a_collection_or_sorts_in_memory() {
    let world = World::start().await;
    let (ada, admin) = (world.person("ada").await, world.admin().await);
    let product = ada.product().price(100).stock(10_000).create().await;
    stream::iter(0..120)
        .map(|n| ada.order().line(&product, 1 + n % 3).place())
        .buffer_unordered(16)
        .try_for_each(async |_| Ok(()))
        .await
        .unwrap();
    // And a history behind them, as long as one page after another would never get through it.
    let history = world
        .database("order")
        .await
        .collection::<Document>("orders");
    let order = history.find_one(doc! {}).await.unwrap().unwrap();
    let copy = |n: i64| {
        let mut order = order.clone();
        let time = order
            .get_datetime("create_time")
            .unwrap()
            .timestamp_millis();
        order.insert("_id", Id::random().to_string());
        order.insert("create_time", DateTime::from_millis(time - n * 60_000));
        order.insert("total", 100 * (n % 50));
        order.insert(
            "status",
            ["PENDING", "SHIPPED", "DELIVERED", "CANCELLED"][n as usize % 4],
        );
        order
    };
    history.insert_many((1..20_000).map(copy)).await.unwrap();
    for n in 0..60 {
        ada.product()
            .name(&format!("product {n}"))
            .price(n * 10)
            .create()
            .await;
    }

    let (orders, catalog) = (
        world.database("order").await,
        world.database("catalog").await,
    );
    for database in [&orders, &catalog] {
        database.run_command(doc! { "profile": 2 }).await.unwrap();
    }
    for (person, side) in [(&ada, 0), (&ada, OrderSide::Seller.into()), (&admin, 0)] {
        for order_by in [
            "create_time",
            "create_time desc",
            "total_price",
            "total_price desc",
        ] {
            for status in [
                OrderStatus::Unspecified,
                OrderStatus::Pending,
                OrderStatus::Shipped,
            ] {
                let mut request = ListOrdersRequest {
                    page_size: 10,
                    side,
                    order_by: order_by.to_owned(),
                    status: status.into(),
                    ..Default::default()
                };
                // The first page and one behind a position.
                let page = person.orders().list_orders(request.clone()).await.unwrap();
                request.page_token = page.into_inner().next_page_token;
                person.orders().list_orders(request).await.unwrap();
            }
        }
    }
    for owner_id in ["", &ada.id] {
        for order_by in ["create_time", "create_time desc", "price", "price desc"] {
            let range = PriceRange {
                currency_code: "TRY".to_owned(),
                min_minor_units: Some(50),
                max_minor_units: None,
            };
            let mut request = ListProductsRequest {
                page_size: 10,
                owner_id: owner_id.to_owned(),
                order_by: order_by.to_owned(),
                price_range: order_by.starts_with("price").then_some(range),
                ..Default::default()
            };
            let page = ada.catalog().list_products(request.clone()).await.unwrap();
            request.page_token = page.into_inner().next_page_token;
            assert_ne!(request.page_token, "");
            ada.catalog().list_products(request).await.unwrap();
        }
    }

    for (database, collection, expected) in [(&orders, "orders", 72), (&catalog, "products", 16)] {
        database.run_command(doc! { "profile": 0 }).await.unwrap();
        let finds = doc! {
            "op": "query",
            "command.find": collection,
            "command.sort": { "$exists": true },
        };
        let profile = database.collection::<Document>("system.profile");
        let finds: Vec<_> = profile
            .find(finds)
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        assert!(
            finds.len() >= expected,
            "{collection}: {} of {expected}",
            finds.len()
        );
        for find in finds {
            let plan = find.get_str("planSummary").unwrap();
            assert!(!plan.contains("COLLSCAN"), "{find}");
            assert!(!find.get_bool("hasSortStage").unwrap_or(false), "{find}");
            // A page and one more, and nothing passed over.
            assert!(find.get_i32("docsExamined").unwrap() <= 12, "{find}");
            // And one key more for each status whose range is merged.
            assert!(find.get_i32("keysExamined").unwrap() <= 16, "{find}");
        }
    }
}

#[tokio::test]
async fn products_are_searched_filtered_and_sorted() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    for n in 1..=12 {
        ada.product()
            .name(&format!("çay bardağı {n}"))
            .price(n * 100)
            .stock(n % 3)
            .create()
            .await;
    }
    let euro = Money {
        currency_code: "EUR".to_owned(),
        minor_units: 1,
    };
    bob.product().name("the cup").money(euro).create().await;

    let list = async |request: ListProductsRequest| {
        let mut request = ListProductsRequest {
            page_size: 5,
            ..request
        };
        let mut names = Vec::new();
        loop {
            let page = bob
                .catalog()
                .list_products(request.clone())
                .await
                .unwrap()
                .into_inner();
            names.extend(page.products.into_iter().map(|product| product.name));
            if page.next_page_token.is_empty() {
                return names;
            }
            request.page_token = page.next_page_token;
        }
    };
    let query = |query: &str| ListProductsRequest {
        query: query.to_owned(),
        ..Default::default()
    };
    assert_eq!(list(query("bardağı")).await.len(), 12);
    // Common words of one language are words like any other.
    assert_eq!(list(query("the")).await, ["the cup"]);
    // Not operators: a minus does not exclude, quotes bind nothing.
    assert_eq!(list(query("bardağı -çay \"")).await.len(), 12);
    assert_eq!(list(query("(a+)+$")).await, [""; 0]);
    let by_price = ListProductsRequest {
        order_by: "price desc".to_owned(),
        ..query("çay")
    };
    assert_eq!(list(by_price).await[0], "çay bardağı 12");

    let range = PriceRange {
        currency_code: "TRY".to_owned(),
        min_minor_units: Some(300),
        max_minor_units: Some(900),
    };
    let within = ListProductsRequest {
        price_range: Some(range),
        order_by: "price".to_owned(),
        ..Default::default()
    };
    let names = list(within.clone()).await;
    assert_eq!(names.len(), 7);
    assert_eq!(names[0], "çay bardağı 3");
    let sold_out = ListProductsRequest {
        in_stock: Some(false),
        ..within.clone()
    };
    assert_eq!(list(sold_out).await.len(), 3);
    let in_stock = ListProductsRequest {
        in_stock: Some(true),
        ..within
    };
    assert_eq!(list(in_stock).await.len(), 4);
    let of_bob = ListProductsRequest {
        owner_id: bob.id.clone(),
        ..Default::default()
    };
    assert_eq!(list(of_bob).await, ["the cup"]);
    assert_eq!(list(ListProductsRequest::default()).await.len(), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_fat_products_is_cut_and_goes_on() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    // 200 of 15 kB are more than one page of 2 MiB.
    stream::iter(0..200)
        .map(|_| {
            let mut draft = ada.product();
            draft.request.description = "ﷺ".repeat(5_000);
            draft.create()
        })
        .buffer_unordered(16)
        .for_each(async |_| {})
        .await;
    let mut request = ListProductsRequest {
        page_size: 500,
        ..Default::default()
    };
    let first = ada
        .catalog()
        .list_products(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(first.products.len() < 200, "{}", first.products.len());
    request.page_token = first.next_page_token;
    let second = ada
        .catalog()
        .list_products(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first.products.len() + second.products.len(), 200);
    assert_eq!(second.next_page_token, "");
}
