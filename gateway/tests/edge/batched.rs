//! Calls for one product each that come at the same time.

use std::{pin::pin, sync::atomic::Ordering::SeqCst, time::Duration};

use futures::future::{join_all, select};
use orderflow_contract::Id;
use orderflow_proto::catalog::v1::{
    GetProductRequest, GetProductResponse, catalog_service_client::CatalogServiceClient,
};
use tonic::{Code, Request, Status};

use crate::{
    in_time,
    world::{
        PATIENCE, World,
        client::{GET_PRODUCT, Wire},
        start,
        upstream::Asked,
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

type Answer = Result<String, Status>;

/// Asks for all of them at once, on one connection.
async fn get_together(world: &World, ids: &[String]) -> Vec<Answer> {
    get_within(world, ids, PATIENCE).await
}

/// The same, with so much time for each.
async fn get_within(world: &World, ids: &[String], time: Duration) -> Vec<Answer> {
    let client = CatalogServiceClient::new(world.channel());
    let get = async |id| {
        let mut request = Request::new(of(id));
        request.set_timeout(time);
        let answer = client.clone().get_product(request).await?;
        Ok(answer.into_inner().product.unwrap().id)
    };
    in_time(join_all(ids.iter().map(|id| get(id)))).await
}

#[track_caller]
fn assert_each_has_its_own(answers: &[Answer], ids: &[String]) {
    assert_eq!(answers.len(), ids.len());
    for (answer, id) in answers.iter().zip(ids) {
        assert_eq!(answer.as_ref().unwrap(), id);
    }
}

/// Does it again until some calls have gone on as one. Nothing says that those that are made at once come at once.
async fn until_batched(world: &World, round: impl AsyncFn()) {
    let seen = &world.catalog.seen;
    let before = seen.batches();
    in_time(async {
        while seen.batches() == before {
            round().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_go_on_as_a_few_and_each_has_its_own_answer() {
    let world = start().await;
    let mut wanted = ids(100, true);
    // Some want the same.
    wanted.extend_from_within(..20);
    // On a busy machine a batch may be late, and all are asked for alone.
    let are_few = async || {
        let before = world.catalog.seen.calls();
        let answers = get_together(&world, &wanted).await;
        assert_each_has_its_own(&answers, &wanted);
        world.catalog.seen.calls() - before < wanted.len()
    };
    in_time(async { while !are_few().await {} }).await;
    assert!(world.catalog.seen.batches() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_each_wire_the_answer_is_as_if_it_had_been_alone() {
    let world = start().await;
    let get = async |wire, id: &String| {
        let answer = world.call(wire, GET_PRODUCT, &of(id)).send().await;
        assert_eq!(answer.code(), Code::Ok, "{wire:?}");
        let product = answer.message::<GetProductResponse>().product;
        assert_eq!(product.unwrap().id, *id, "{wire:?}");
        let mut names: Vec<_> = answer.headers.keys().map(|name| name.to_string()).collect();
        names.sort_unstable();
        names
    };
    for wire in Wire::ALL {
        let wanted = ids(40, true);
        let alone = get(wire, &wanted[0]).await;
        until_batched(&world, async || {
            let together = join_all(wanted.iter().map(|id| get(wire, id))).await;
            for headers in together {
                assert_eq!(headers, alone, "{wire:?}");
            }
        })
        .await;
    }
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
    until_batched(&world, async || {
        let mut answers = get_together(&world, &wanted).await;
        for missing in answers.split_off(there.len()) {
            let status = missing.unwrap_err();
            assert_eq!(status.code(), Code::NotFound);
            // The service's own word.
            assert_eq!(status.message(), "no such product");
        }
        assert_each_has_its_own(&answers, &there);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_several_cannot_be_had_each_is_asked_for_alone_and_so_are_the_next() {
    for is_hanging in [false, true] {
        let world = start().await;
        let seen = &world.catalog.seen;
        seen.hanging.store(is_hanging, SeqCst);
        seen.failing.store(!is_hanging, SeqCst);
        let wanted = ids(50, true);
        until_batched(&world, async || {
            assert_each_has_its_own(&get_together(&world, &wanted).await, &wanted);
        })
        .await;
        let batches = seen.batches();
        assert_each_has_its_own(&get_together(&world, &wanted).await, &wanted);
        assert_eq!(seen.batches(), batches, "hanging: {is_hanging}");
    }
}

/// A message may be compressed or not where an encoding is announced: only the service knows what it makes of that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_as_compressed_goes_on_alone() {
    let world = start().await;
    let client = CatalogServiceClient::new(world.channel());
    let get = async |id: &String| {
        let mut request = Request::new(of(id));
        let gzip = "gzip".parse().unwrap();
        request.metadata_mut().insert("grpc-encoding", gzip);
        client.clone().get_product(request).await.unwrap_err()
    };
    let wanted = ids(100, true);
    let seen = &world.catalog.seen;
    // Nothing says that those who are made at once come at once: three times they hardly all come one by one.
    for round in 1..=3 {
        for status in in_time(join_all(wanted.iter().map(&get))).await {
            assert_eq!(status.code(), Code::Unimplemented);
        }
        assert_eq!((seen.calls(), seen.batches()), (round * wanted.len(), 0));
    }
}

/// Behind one who never answers about several, 240 ms: less than the 250 that anybody waits for several who has more time.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_little_time_is_answered_in_it() {
    let wanted = ids(20, true);
    let is_answered = async || {
        let world = start().await;
        let seen = &world.catalog.seen;
        seen.hanging.store(true, SeqCst);
        let answers = get_within(&world, &wanted, Duration::from_millis(240)).await;
        seen.batches() > 0 && answers.iter().all(Result::is_ok)
    };
    // Until a batch sets out and all are answered: on a busy machine it is too little time for anybody.
    in_time(async { while !is_answered().await {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_late_does_not_hold_up_the_next() {
    // Fewer than are ahead: as many as those would not have waited for them anyway.
    let (many, few) = (ids(20, true), ids(2, true));
    let is_overtaken = async || {
        let world = start().await;
        let seen = &world.catalog.seen;
        seen.hanging.store(true, SeqCst);
        // They go alone when half of their time is over, long before the batch is given up.
        let ahead = pin!(get_within(&world, &many, Duration::from_millis(300)));
        let behind = pin!(async {
            while seen.batches() == 0 {
                seen.arrived.notified().await;
            }
            get_together(&world, &few).await
        });
        select(ahead, behind).await;
        matches!(
            &seen.asked()[..],
            [Asked::ForSeveral(first), Asked::ForSeveral(second), ..]
                if first.len() > second.len() && few.iter().all(|id| second.contains(id))
        )
    };
    // Until the many go on as one, and then the few.
    in_time(async { while !is_overtaken().await {} }).await;
}
