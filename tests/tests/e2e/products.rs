//! Products: who may change them, what is kept, and what repeating does.

use std::time::Duration;

use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use mongodb::bson::{Document, doc};
use orderflow_proto::catalog::v1::{
    AdjustStockRequest, BatchGetProductsRequest, DeleteProductRequest, GetProductRequest, Product,
    UpdateProductRequest,
};
use orderflow_testkit::{Person, Refusal, World, eventually, money};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::{
    dead_transactions::{
        LEFT_OPEN_FOR_60_S, admin, hang_in_next_commit, it_hangs, transactions, world_of_its_own,
    },
    inventory::{plant_stock, stock},
    two_replicas::until_known,
};

async fn update(person: &Person, product: &Product) -> Result<Product, Status> {
    let request = UpdateProductRequest {
        product: Some(product.clone()),
        update_mask: None,
    };
    Ok(person
        .catalog()
        .update_product(request)
        .await?
        .into_inner()
        .product
        .unwrap())
}

async fn adjust(
    person: &Person,
    product: &Product,
    delta: i64,
    request_id: &str,
) -> Result<i64, Status> {
    let request = AdjustStockRequest {
        product_id: product.id.clone(),
        delta,
        reason: "count".to_owned(),
        request_id: request_id.to_owned(),
    };
    let adjusted = person.catalog().adjust_stock(request).await?.into_inner();
    assert_eq!(adjusted.adjustment.unwrap().delta, delta);
    Ok(adjusted.product.unwrap().stock)
}

#[tokio::test]
async fn only_what_was_seen_is_changed_and_only_by_the_owner() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let product = ada.product().create().await;

    let renamed = Product {
        name: "Cup".to_owned(),
        ..product.clone()
    };
    assert_eq!(
        Refusal::of(update(&bob, &renamed).await).code,
        Code::PermissionDenied
    );
    let changed = update(&ada, &renamed).await.unwrap();
    assert_eq!(changed.name, "Cup");
    assert_ne!(changed.etag, product.etag);
    // The old etag is no longer what is there.
    let refusal = Refusal::of(update(&ada, &renamed).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    // Stock is not written by updates, and does not change the etag.
    adjust(&ada, &product, 5, "").await.unwrap();
    let again = update(
        &ada,
        &Product {
            stock: 999,
            ..changed.clone()
        },
    )
    .await
    .unwrap();
    assert_eq!(again.stock, product.stock + 5);
    update(
        &world.admin().await,
        &Product {
            etag: String::new(),
            ..again
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_withdrawn_product_is_gone_for_all_but_its_orders() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let product = ada.product().create().await;
    let order = bob.order().line(&product, 1).place().await.unwrap();

    let delete = || DeleteProductRequest {
        id: product.id.clone(),
        etag: String::new(),
    };
    assert_eq!(
        Refusal::of(bob.catalog().delete_product(delete()).await).code,
        Code::PermissionDenied
    );
    ada.catalog().delete_product(delete()).await.unwrap();
    assert_eq!(
        Refusal::of(ada.catalog().delete_product(delete()).await).code,
        Code::NotFound
    );

    let get = GetProductRequest {
        id: product.id.clone(),
    };
    assert_eq!(
        Refusal::of(bob.catalog().get_product(get).await).code,
        Code::NotFound
    );
    let ids = vec![product.id.clone(), "0".repeat(32), product.id.clone()];
    let found = bob
        .catalog()
        .batch_get_products(BatchGetProductsRequest { ids })
        .await
        .unwrap();
    assert_eq!(found.get_ref().products, []);
    assert_eq!(
        found.get_ref().missing_ids,
        [product.id.clone(), "0".repeat(32)]
    );
    assert_eq!(
        Refusal::of(adjust(&ada, &product, 1, "").await).code,
        Code::NotFound
    );
    let refusal = Refusal::of(bob.order().line(&product, 1).place().await);
    assert_eq!(refusal.reason, "PRODUCT_NOT_FOUND");

    // What was ordered before can still be cancelled.
    let cancel = orderflow_proto::order::v1::CancelOrderRequest { id: order.id };
    bob.orders().cancel_order(cancel).await.unwrap();
}

#[tokio::test]
async fn products_that_are_asked_for_together_are_answered_each_for_itself() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let mut products = Vec::new();
    for n in 0..10 {
        products.push(ada.product().name(&format!("Cup {n}")).create().await);
    }
    let (withdrawn, unreadable) = (products.pop().unwrap(), products.pop().unwrap());
    let delete = DeleteProductRequest {
        id: withdrawn.id.clone(),
        etag: String::new(),
    };
    ada.catalog().delete_product(delete).await.unwrap();
    let catalog = world.database("catalog").await;
    let (of, price) = (doc! { "_id": &unreadable.id }, doc! { "price": "a lot" });
    catalog
        .collection::<Document>("products")
        .update_one(of, doc! { "$set": price })
        .await
        .unwrap();

    let get = async |id: &str| {
        let get = GetProductRequest { id: id.to_owned() };
        ada.catalog().get_product(get).await
    };
    let (missing, malformed) = ("0".repeat(32), "no id".to_owned());
    let refused = [
        (&withdrawn.id, Code::NotFound),
        (&missing, Code::NotFound),
        (&malformed, Code::InvalidArgument),
        (&unreadable.id, Code::Internal),
    ];
    // Without and with the last, which spoils every answer about several.
    for refused in [&refused[..3], &refused] {
        let wanted = [&products[..], &products].concat();
        let (found, answers) = tokio::join!(
            join_all(wanted.iter().map(|product| get(&product.id))),
            join_all(refused.iter().map(|(id, _)| get(id))),
        );
        for (found, product) in found.into_iter().zip(wanted) {
            assert_eq!(found.unwrap().into_inner().product, Some(product));
        }
        for (answer, (_, code)) in answers.into_iter().zip(refused) {
            assert_eq!(Refusal::of(answer).code, *code);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_adjusted_once_a_request_id_and_every_change_is_in_the_ledger() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let product = ada.product().stock(10).create().await;

    let twice = join_all((0..10).map(|_| adjust(&ada, &product, 5, "delivery-1"))).await;
    assert!(
        twice.iter().all(|stock| *stock.as_ref().unwrap() == 15),
        "{twice:?}"
    );
    let refusal = Refusal::of(adjust(&ada, &product, 6, "delivery-1").await);
    assert_eq!(refusal.code, Code::AlreadyExists);
    assert_eq!(
        Refusal::of(adjust(&bob, &product, 5, "").await).code,
        Code::PermissionDenied
    );

    let refusal = Refusal::of(adjust(&ada, &product, -16, "").await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "STOCK_OUT_OF_RANGE")
    );
    let too_much = Refusal::of(adjust(&ada, &product, 1_000_000_000_000, "").await);
    assert_eq!(too_much.code, Code::FailedPrecondition);
    assert_eq!(adjust(&ada, &product, -15, "").await.unwrap(), 0);

    let ledger = world
        .database("catalog")
        .await
        .collection::<Document>("ledger");
    let rows = ledger
        .find(doc! { "product_id": &product.id })
        .sort(doc! { "create_time": 1 });
    let rows: Vec<_> = futures::TryStreamExt::try_collect(rows.await.unwrap())
        .await
        .unwrap();
    let deltas: Vec<_> = rows
        .iter()
        .map(|row: &Document| row.get_i64("delta").unwrap())
        .collect();
    assert_eq!(deltas, [10, 5, -15]);
}

#[tokio::test(flavor = "multi_thread")]
async fn adjustments_that_come_together_go_together() {
    const MANY: i64 = 300;
    let (_mongo, world) = world_of_its_own(&[]).await;
    let ada = world.person("ada").await;
    let product = ada.product().stock(100).create().await;
    let commits = async || transactions(&world, "totalCommitted").await;

    let before = commits().await;
    let adjusting = (0..MANY).map(|n| {
        let (ada, product) = (&ada, &product);
        async move { adjust(ada, product, n % 5 - 1, &format!("count-{n}")).await }
    });
    let (done, refused): (Vec<_>, Vec<_>) = join_all(adjusting)
        .await
        .into_iter()
        .partition(Result::is_ok);
    // A change by nothing is none.
    let refused = refused.into_iter().map(|refused| Refusal::of(refused).code);
    assert_eq!(
        refused.collect::<Vec<_>>(),
        [Code::InvalidArgument; MANY as usize / 5]
    );
    let transactions = commits().await - before;
    assert!(transactions * 5 < done.len() as i64, "{transactions}");
    assert_eq!(stock(&ada, &product).await, 100 + MANY);

    let ledger = world
        .database("catalog")
        .await
        .collection::<Document>("ledger");
    let rows = doc! { "product_id": &product.id };
    let rows = ledger.count_documents(rows).await.unwrap();
    assert_eq!(rows, 1 + done.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_posting_spoils_no_other() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let tea = ada.product().stock(0).create().await;
    let (text, full) = (ada.product().create().await, ada.product().create().await);
    plant_stock(&world, &text, "ten").await;
    plant_stock(&world, &full, i64::MAX).await;
    // One that the database alone refuses.
    let reasonable = doc! { "collMod": "ledger", "validator": { "delta": { "$ne": 13_i64 } } };
    let database = world.database("catalog").await;
    database.run_command(reasonable).await.unwrap();

    let adjusting = (0..60).map(|n| {
        let (product, delta) = match n % 10 {
            3 => (&text, 1),
            5 => (&full, 1),
            7 => (&tea, 13),
            _ => (&tea, 1),
        };
        let ada = &ada;
        async move {
            let key = format!("count-{n}");
            let code = async || match adjust(ada, product, delta, &key).await {
                // To find the poison takes time, and others may be told to come back.
                Err(status) if status.code() == Code::Unavailable => Err(status),
                other => Ok(other.map_or_else(|status| status.code(), |_| Code::Ok)),
            };
            until_known(code).await
        }
    });
    let creating = (0..10).map(|_| until_known(async || ada.product().try_create().await));
    let (codes, _) = tokio::join!(join_all(adjusting), join_all(creating));
    for (n, code) in codes.into_iter().enumerate() {
        let expected = match n % 10 {
            3 | 7 => Code::Internal,
            5 => Code::FailedPrecondition,
            _ => Code::Ok,
        };
        assert_eq!(code, expected, "{n}");
    }
    assert_eq!(stock(&ada, &tea).await, 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_the_queue_is_shed_and_never_done() {
    const MANY: usize = 1_500;
    let (_mongo, world) = world_of_its_own(&[LEFT_OPEN_FOR_60_S]).await;
    let ada = world.person("ada").await;
    let product = ada.product().stock(0).create().await;
    hang_in_next_commit(&world).await;
    let first = async { adjust(&ada, &product, 1, "first").await.is_ok() };
    let rest = async {
        it_hangs(&world).await;
        // Straight to the catalog, and over several connections: what waits on its way there is not yet in the queue.
        let people = [
            ada.by_way_of(world.system.catalog).await,
            ada.by_way_of(world.system.catalog).await,
        ];
        let mut adjusting: FuturesUnordered<_> = (0..MANY)
            .map(|n| adjust(&people[n % 2], &product, 1, ""))
            .collect();
        let shed = timeout(Duration::from_secs(30), adjusting.next()).await;
        // Whose session is ended is no longer held up.
        admin(&world, doc! { "killAllSessions": [] }).await;
        let shed = Refusal::of(shed.expect("the queue has no end").unwrap());
        (shed, adjusting.collect::<Vec<_>>().await)
    };
    let (_, (shed, rest)) = tokio::join!(first, rest);
    assert_eq!(
        (shed.code, shed.reason.as_str()),
        (Code::ResourceExhausted, "BUSY")
    );
    let (done, shed): (Vec<_>, Vec<_>) = rest.into_iter().partition(Result::is_ok);
    for refused in shed {
        assert_eq!(Refusal::of(refused).code, Code::ResourceExhausted);
    }
    // It may have been held up for too long.
    eventually("the first", async || {
        adjust(&ada, &product, 1, "first").await.ok()
    })
    .await;
    assert_eq!(stock(&ada, &product).await, 1 + done.len() as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_creates_one_product() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let create = |name: &str| {
        let mut draft = ada.product().name(name).price(500);
        draft.request.request_id = "p1".to_owned();
        draft.try_create()
    };
    let created = join_all((0..10).map(|_| create("Tea"))).await;
    let mut ids: Vec<_> = created
        .into_iter()
        .map(|product| product.unwrap().id)
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(
        Refusal::of(create("Coffee").await).code,
        Code::AlreadyExists
    );

    // The same request still finds its product after the product has changed.
    let renamed = Product {
        id: ids[0].clone(),
        name: "Cup".to_owned(),
        price: Some(money(1)),
        ..Default::default()
    };
    update(&ada, &renamed).await.unwrap();
    assert_eq!(create("Tea").await.unwrap().name, "Cup");
}
