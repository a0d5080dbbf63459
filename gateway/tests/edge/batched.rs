//! Calls for one product each that come at the same time.

use std::sync::atomic::Ordering::SeqCst;

use futures::future::join_all;
use orderflow_contract::Id;
use orderflow_proto::catalog::v1::{
    GetProductRequest, GetProductResponse, catalog_service_client::CatalogServiceClient,
};
use tonic::{Code, Status};

use crate::{
    in_time,
    world::{
        World,
        client::{GET_PRODUCT, Wire},
        start,
    },
};

/// Ids of products that are there (they end with a digit), and that are not (with a letter).
fn ids(count: usize, is_there: bool) -> Vec<String> {
    let ids = std::iter::repeat_with(|| Id::random().to_string());
    let wanted = |id: &String| id.ends_with(|digit: char| digit.is_ascii_digit()) == is_there;
    ids.filter(wanted).take(count).collect()
}

fn of(id: &str) -> GetProductRequest {
    GetProductRequest { id: id.to_owned() }
}

/// Asks for all of them at once, on one connection.
async fn get_together(world: &World, ids: &[String]) -> Vec<Result<String, Status>> {
    let client = CatalogServiceClient::new(world.channel());
    let get = async |id| {
        let answer = client.clone().get_product(of(id)).await?;
        Ok(answer.into_inner().product.unwrap().id)
    };
    in_time(join_all(ids.iter().map(|id| get(id)))).await
}

#[track_caller]
fn assert_each_has_its_own(answers: &[Result<String, Status>], ids: &[String]) {
    for (answer, id) in answers.iter().zip(ids) {
        assert_eq!(answer.as_ref().unwrap(), id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_go_on_as_a_few_and_each_has_its_own_answer() {
    let world = start().await;
    let mut wanted = ids(100, true);
    // Some want the same.
    wanted.extend_from_within(..20);
    let answers = get_together(&world, &wanted).await;
    assert_each_has_its_own(&answers, &wanted);
    let calls = world.catalog.seen.calls();
    assert!(calls <= 40, "{calls} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_each_wire_the_answer_is_as_if_it_had_been_alone() {
    let world = start().await;
    for wire in Wire::ALL {
        let wanted = ids(20, true);
        let call = |id: &String| world.call(wire, GET_PRODUCT, &of(id)).send();
        for (answer, id) in in_time(join_all(wanted.iter().map(call)))
            .await
            .iter()
            .zip(&wanted)
        {
            assert_eq!(answer.code(), Code::Ok, "{wire:?}");
            let product = answer.message::<GetProductResponse>().product;
            assert_eq!(product.unwrap().id, *id, "{wire:?}");
            assert!(answer.headers.contains_key("trace-id"), "{wire:?}");
        }
    }
    assert!(world.catalog.seen.batches() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_alone_goes_on_as_it_came() {
    let world = start().await;
    for id in ids(5, true) {
        get_together(&world, &[id]).await.remove(0).unwrap();
    }
    let seen = &world.catalog.seen;
    assert_eq!((seen.calls(), seen.batches()), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_malformed_harms_no_other() {
    let world = start().await;
    let there = ids(50, true);
    let mut wanted = there.clone();
    wanted.extend(ids(5, false));
    wanted.push("no id".to_owned());
    let mut answers = get_together(&world, &wanted).await;
    for missing in answers.split_off(there.len()) {
        let status = missing.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(
            status.message(),
            "no such product",
            "the service's own word"
        );
    }
    assert_each_has_its_own(&answers, &there);
    assert!(world.catalog.seen.batches() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_several_cannot_be_had_each_is_asked_for_alone() {
    let world = start().await;
    let seen = &world.catalog.seen;
    for trouble in [&seen.failing, &seen.hanging] {
        trouble.store(true, SeqCst);
        let before = seen.batches();
        let wanted = ids(50, true);
        let answers = get_together(&world, &wanted).await;
        assert_each_has_its_own(&answers, &wanted);
        assert!(seen.batches() > before);
        trouble.store(false, SeqCst);
    }
}
