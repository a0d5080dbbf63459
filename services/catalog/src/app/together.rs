//! Many changes in one transaction, and what to do when one of them spoils it.

use std::time::{Duration, Instant};

use orderflow_batch::{Batcher, Limits};
use orderflow_contract::status;
use orderflow_mongo::Failure;

/// How long a batch is replayed as a whole while other transactions get in its way: within what callers wait, and after a
/// second others' sessions are ended.
const WHOLE: Duration = Duration::from_millis(1_250);
/// How long a part of it is. By then it is known that somebody stands in the way for longer.
const PART: Duration = Duration::from_millis(20);
/// When a batch is split no further, and what is left of it fails.
const ALTOGETHER: Duration = Duration::from_millis(1_750);

/// A lane for requests of several items each: those of all requests that have gathered go together.
pub(super) fn lane<T, O, F>(
    limits: Limits,
    run: impl Fn(Vec<T>) -> F + Clone + Send + 'static,
) -> Batcher<Vec<T>, Vec<O>>
where
    T: Send + 'static,
    O: Send + 'static,
    F: Future<Output = Vec<O>> + Send + 'static,
{
    Batcher::start(limits, move |requests: Vec<Vec<T>>, turn| {
        let sizes: Vec<_> = requests.iter().map(Vec::len).collect();
        let outcomes = run(requests.into_iter().flatten().collect());
        async move {
            let mut outcomes = outcomes.await.into_iter();
            drop(turn);
            let of_request = |size| outcomes.by_ref().take(size).collect();
            sizes.into_iter().map(of_request).collect()
        }
    })
}

/// What became of items of which `attempt` makes as many as it is given in one transaction, or none. If one of them spoils it,
/// or is blocked, each half goes in a transaction of its own, and so on, down to the one at fault: it spoils its own. Attempts
/// are made in the order of the items, and the outcomes are in it.
///
/// `attempt` is told how long it may replay, and may be made again for items that an earlier one has done unseen.
pub(super) async fn together<'a, T, O, F>(
    what: &str,
    items: &'a [T],
    attempt: impl Fn(&'a [T], Duration) -> F,
) -> Vec<Result<O, Failure>>
where
    F: Future<Output = Result<Vec<O>, Failure>>,
{
    let began = Instant::now();
    let mut patience = WHOLE;
    let mut outcomes = Vec::with_capacity(items.len());
    // The next one on top.
    let mut parts = vec![items];
    while let Some(part) = parts.pop() {
        let failure = match attempt(part, patience).await {
            Ok(done) => {
                outcomes.extend(done.into_iter().map(Ok));
                continue;
            }
            Err(failure) => failure,
        };
        let cause = status::chain(&failure);
        // Or what one of them writes is blocked.
        let is_of_one = failure.is_of_one_statement() || matches!(failure, Failure::Conflict);
        if !is_of_one || began.elapsed() > ALTOGETHER {
            let rest = items.len() - outcomes.len();
            tracing::warn!(cause, items = rest, "{what} stay undecided");
            let of_rest = if is_of_one {
                Failure::Conflict
            } else {
                failure
            };
            outcomes.resize_with(items.len(), || Err(of_rest.clone()));
            break;
        }
        if part.len() > 1 {
            tracing::warn!(cause, items = part.len(), "{what} go in halves");
            let (first, second) = part.split_at(part.len() / 2);
            parts.extend([second, first]);
            patience = PART;
        } else {
            tracing::warn!(cause, "one of the {what} stays undecided");
            outcomes.push(Err(failure));
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What becomes of 0 to 9 where `spoils` says how a part fails, and how large the parts were.
    async fn outcomes(
        spoils: impl Fn(&[u32]) -> Option<Failure>,
    ) -> (Vec<Option<u32>>, Vec<usize>) {
        let items: Vec<_> = (0..10).collect();
        let sizes = Mutex::new(Vec::new());
        let attempt = |part: &[u32], _| {
            sizes.lock().unwrap().push(part.len());
            let result = spoils(part).map_or_else(|| Ok(part.to_vec()), Err);
            async { result }
        };
        let outcomes = together("tests", &items, attempt).await;
        let outcomes = outcomes.into_iter().map(Result::ok).collect();
        (outcomes, sizes.into_inner().unwrap())
    }

    #[tokio::test]
    async fn what_spoils_nothing_goes_at_once() {
        let (outcomes, sizes) = outcomes(|_| None).await;
        assert_eq!(outcomes, (0..10).map(Some).collect::<Vec<_>>());
        assert_eq!(sizes, [10]);
    }

    #[tokio::test]
    async fn what_spoils_it_is_found_in_halves_and_spoils_no_other() {
        for failure in [Failure::Rejected(String::new()), Failure::Conflict] {
            let (outcomes, sizes) =
                outcomes(|part| part.contains(&3).then(|| failure.clone())).await;
            let expected = (0..10).map(|n| (n != 3).then_some(n));
            assert_eq!(outcomes, expected.collect::<Vec<_>>());
            assert_eq!(sizes, [10, 5, 2, 3, 1, 2, 1, 1, 5]);
        }
    }

    #[tokio::test]
    async fn what_is_no_fault_of_an_item_ends_it_for_all_that_are_left() {
        let (outcomes, sizes) = outcomes(|part| match part {
            [0, ..] if part.len() > 5 => Some(Failure::Conflict),
            [5, ..] => Some(Failure::Unknown(mongodb::error::Error::custom("gone"))),
            _ => None,
        })
        .await;
        let expected = (0..10).map(|n| (n < 5).then_some(n));
        assert_eq!(outcomes, expected.collect::<Vec<_>>());
        assert_eq!(sizes, [10, 5, 5]);
    }
}
