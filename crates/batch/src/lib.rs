#![doc = include_str!("../README.md")]

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    hash::Hash,
    pin::pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, OwnedMutexGuard, mpsc, oneshot},
    task::yield_now,
};

/// Takes items one by one and hands them on in batches. Clones share the queue.
pub struct Batcher<I, O> {
    queue: mpsc::Sender<Job<I, O>>,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

/// Under this target each batch is logged, at level DEBUG: its kind (`batch`), its `items`, and for how many microseconds the
/// first of them waited (`waited_us`), the batch held the turn (`turn_us`) and it took altogether (`took_us`).
pub const LOG_TARGET: &str = "orderflow_batches";

/// How much goes together, and how much may wait.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What kind of batches these are, for the log.
    pub name: &'static str,
    /// How many batches may be on their way at once: only one of them holds the turn.
    pub lanes: usize,
    /// Items that may wait, beside those that the next batch has gathered; more are turned away.
    pub queue: usize,
    /// Items in a batch.
    pub items: usize,
    /// The sum of their weights. An item that is heavier goes alone.
    pub weight: usize,
}

impl Limits {
    /// For look-ups. Two batches at a time: while one is on its way, the answers of the other are on theirs to the callers.
    pub const LOOKUPS: Self = Self {
        name: "read",
        lanes: 2,
        queue: 4_096,
        items: 256,
        weight: 256,
    };
}

/// Why an item has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many are waiting. Nothing was done about this one.
    #[error("too many are waiting")]
    Full,
    /// Its batch broke down; what became of it is unknown.
    #[error("its batch broke down")]
    Lost,
}

struct Job<I, O> {
    item: I,
    weight: usize,
    since: Instant,
    answer: oneshot::Sender<O>,
}

/// The right to be the last that has begun, held by one batch at a time. Dropping it lets the next batch begin.
pub struct Turn<I, O> {
    waiting: OwnedMutexGuard<Waiting<I, O>>,
    /// How many are in its batch.
    items: usize,
    since: Instant,
    held: Arc<OnceLock<Duration>>,
}

impl<I, O> Turn<I, O> {
    /// Keeps the turn while `work` goes on, but no longer than until `enough` others wait, or as many as are in this batch,
    /// whatever they weigh: they are worth a batch of their own.
    pub async fn during<F: Future>(mut self, work: F, enough: usize) -> F::Output {
        let enough = enough.min(self.items);
        let mut work = pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = self.waiting.gather_up_to(enough) => drop(self),
        }
        work.await
    }
}

impl<I, O> Drop for Turn<I, O> {
    fn drop(&mut self) {
        let _ = self.held.set(self.since.elapsed());
    }
}

struct Waiting<I, O> {
    queue: mpsc::Receiver<Job<I, O>>,
    /// Taken out of the queue, but not yet on its way.
    next: VecDeque<Job<I, O>>,
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts the lanes. `run` gives an outcome for each item, in the order of the items. The lanes end when the last clone of
    /// the batcher is gone.
    pub fn start<F>(
        limits: Limits,
        run: impl Fn(Vec<I>, Turn<I, O>) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Vec<O>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(limits.queue);
        let waiting = Arc::new(Mutex::new(Waiting {
            queue: receiver,
            next: VecDeque::new(),
        }));
        for _ in 0..limits.lanes {
            tokio::spawn(lane(limits, waiting.clone(), run.clone()));
        }
        Self { queue: sender }
    }

    /// The outcome of an item, once its batch has run.
    pub async fn submit(&self, item: I, weight: usize) -> Result<O, Refused> {
        let (answer, outcome) = oneshot::channel();
        let job = Job {
            item,
            weight,
            since: Instant::now(),
            answer,
        };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Full,
            mpsc::error::TrySendError::Closed(_) => Refused::Lost,
        })?;
        outcome.await.map_err(|_| Refused::Lost)
    }
}

/// Look-ups by key in batches: `find` gives what there is of many keys at once, or the error of all. Each answer is of after
/// the question, as it would be if it had gone alone.
pub fn lookups<K, V, E, F>(
    limits: Limits,
    find: impl Fn(Vec<K>) -> F + Clone + Send + 'static,
) -> Batcher<K, Result<Option<V>, E>>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + 'static,
    E: Clone + Send + 'static,
    F: Future<Output = Result<HashMap<K, Result<V, E>>, E>> + Send + 'static,
{
    Batcher::start(limits, move |keys: Vec<K>, turn| {
        // A batch that is on its way keeps no other from going.
        drop(turn);
        let found = find(keys.clone());
        async move {
            let found = found.await;
            let answer = |key: &K| match &found {
                Ok(found) => found.get(key).cloned().transpose(),
                Err(error) => Err(error.clone()),
            };
            keys.iter().map(answer).collect()
        }
    })
}

async fn lane<I: Send + 'static, O: Send + 'static, F>(
    limits: Limits,
    waiting: Arc<Mutex<Waiting<I, O>>>,
    run: impl Fn(Vec<I>, Turn<I, O>) -> F + Send,
) where
    F: Future<Output = Vec<O>> + Send + 'static,
{
    loop {
        let mut waiting = waiting.clone().lock_owned().await;
        let Some(jobs) = waiting.gather(limits).await else {
            return;
        };
        let since = Instant::now();
        let waited = jobs.first().map(|job| since - job.since);
        let held = Arc::new(OnceLock::new());
        let turn = Turn {
            waiting,
            items: jobs.len(),
            since,
            held: held.clone(),
        };
        let (items, answers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.item, job.answer)).unzip();
        // In a task of its own, so that a batch that panics takes its own items with it and nothing else.
        match tokio::spawn(run(items, turn)).await {
            Ok(outcomes) => {
                tracing::debug!(
                    target: LOG_TARGET,
                    batch = limits.name,
                    items = outcomes.len(),
                    waited_us = waited.unwrap_or_default().as_micros() as u64,
                    turn_us = held.get().copied().unwrap_or_default().as_micros() as u64,
                    took_us = since.elapsed().as_micros() as u64,
                );
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // Who stopped waiting does not want to know.
                    let _ = answer.send(outcome);
                }
            }
            Err(error) => tracing::error!(%error, items = answers.len(), "a batch broke down"),
        }
    }
}

impl<I, O> Waiting<I, O> {
    /// Done when that many wait for the next batch. What is gathered stays where it is when this is dropped.
    async fn gather_up_to(&mut self, items: usize) {
        loop {
            if self.next.len() >= items {
                self.leave_out_who_has_left();
            }
            if self.next.len() >= items {
                return;
            }
            match self.queue.recv().await {
                Some(job) => self.next.push_back(job),
                None => return pending().await,
            }
        }
    }

    /// Nobody waits for theirs any more, and nothing was done about it yet.
    fn leave_out_who_has_left(&mut self) {
        self.next.retain(|job| !job.answer.is_closed());
    }

    /// The next batch: what has gathered by now, or else the next item to come, and with it all that are ready. `None` when nothing can
    /// come any more.
    async fn gather(&mut self, limits: Limits) -> Option<Vec<Job<I, O>>> {
        loop {
            if self.next.is_empty() {
                self.next.push_back(self.queue.recv().await?);
            }
            // Whoever is woken runs next: without this the first of many who are ready would go without the others.
            yield_now().await;
            while self.next.len() < limits.items {
                match self.queue.try_recv() {
                    Ok(job) => self.next.push_back(job),
                    Err(_) => break,
                }
            }
            self.leave_out_who_has_left();
            let mut batch = Vec::with_capacity(self.next.len());
            let mut weight = 0;
            while batch.len() < limits.items
                && let Some(job) = self.next.front()
            {
                weight += job.weight;
                if !batch.is_empty() && weight > limits.weight {
                    break;
                }
                batch.extend(self.next.pop_front());
            }
            if !batch.is_empty() {
                return Some(batch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, time::Duration};

    use tokio::{sync::Semaphore, task::JoinHandle};

    use super::*;

    const LIMITS: Limits = Limits {
        name: "test",
        lanes: 1,
        queue: 100,
        items: 10,
        weight: 1_000,
    };

    /// A batcher whose batches wait for permits, and that tells each item the batch it was in.
    fn gated(limits: Limits) -> (Batcher<u32, Vec<u32>>, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        let of_batches = gate.clone();
        let run = move |items: Vec<u32>, turn| {
            let gate = of_batches.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                drop(turn);
                vec![items.clone(); items.len()]
            }
        };
        (Batcher::start(limits, run), gate)
    }

    type Task = JoinHandle<Result<Vec<u32>, Refused>>;

    fn spawn_submit(batcher: &Batcher<u32, Vec<u32>>, item: u32) -> Task {
        let batcher = batcher.clone();
        tokio::spawn(async move { batcher.submit(item, 1).await })
    }

    async fn submit(batcher: &Batcher<u32, Vec<u32>>, item: u32) -> Task {
        let [task] = submit_at_once(batcher, item..item + 1)
            .await
            .try_into()
            .unwrap();
        task
    }

    async fn submit_at_once(batcher: &Batcher<u32, Vec<u32>>, items: Range<u32>) -> Vec<Task> {
        let tasks = items.map(|item| spawn_submit(batcher, item)).collect();
        // On this single thread the tasks, and the lane they wake, run as far as they can.
        for _ in 0..10 {
            yield_now().await;
        }
        tasks
    }

    async fn submit_all(batcher: &Batcher<u32, Vec<u32>>, items: Range<u32>) -> Vec<Task> {
        let mut tasks = Vec::new();
        for item in items {
            tasks.push(submit(batcher, item).await);
        }
        tasks
    }

    /// The batches that these items were in.
    async fn batches(tasks: Vec<Task>) -> Vec<Vec<u32>> {
        let mut batches = Vec::new();
        for task in tasks {
            batches.push(task.await.unwrap().unwrap());
        }
        batches.dedup();
        batches
    }

    /// Where a task that is woken goes before all who wait already, as in the programs.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn all_who_are_ready_go_together() {
        let (batcher, gate) = gated(LIMITS);
        gate.add_permits(3);
        let on_the_worker = tokio::spawn(async move {
            batches([0, 1, 2].map(|item| spawn_submit(&batcher, item)).into()).await
        });
        let [all] = &on_the_worker.await.unwrap()[..] else {
            panic!("more than one batch");
        };
        assert_eq!(all.len(), 3);
    }

    #[tokio::test]
    async fn what_gathers_while_a_batch_runs_goes_together_in_its_order() {
        let (batcher, gate) = gated(LIMITS);
        let tasks = submit_all(&batcher, 0..15).await;
        gate.add_permits(3);
        let expected: [Vec<u32>; 3] = [vec![0], (1..11).collect(), (11..15).collect()];
        assert_eq!(batches(tasks).await, expected);
    }

    #[tokio::test]
    async fn a_batch_is_no_heavier_than_it_may_be() {
        let (batcher, gate) = gated(Limits {
            weight: 2,
            ..LIMITS
        });
        let mut tasks = submit_all(&batcher, 0..4).await;
        gate.add_permits(3);
        assert_eq!(tasks.pop().unwrap().await.unwrap(), Ok(vec![3]));
        assert_eq!(tasks.pop().unwrap().await.unwrap(), Ok(vec![1, 2]));
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_what_comes() {
        let (batcher, gate) = gated(Limits {
            queue: 2,
            items: 1,
            ..LIMITS
        });
        let first = submit(&batcher, 0).await;
        let (second, third) = (submit(&batcher, 1).await, submit(&batcher, 2).await);
        assert_eq!(batcher.submit(3, 1).await, Err(Refused::Full));
        gate.add_permits(3);
        for task in [first, second, third] {
            assert!(task.await.unwrap().is_ok());
        }
    }

    #[tokio::test]
    async fn who_leaves_in_time_is_left_out_and_nobody_notices() {
        let (batcher, gate) = gated(LIMITS);
        let first = submit(&batcher, 0).await;
        let (left, stays) = (submit(&batcher, 1).await, submit(&batcher, 2).await);
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Ok(vec![0]));
        assert_eq!(stays.await.unwrap(), Ok(vec![2]));
    }

    #[tokio::test]
    async fn a_batch_that_panics_takes_nothing_else_with_it() {
        let run = |items: Vec<u32>, _turn| async move {
            assert_ne!(items, [0], "as it was told to");
            items
        };
        let batcher = Batcher::start(LIMITS, run);
        assert_eq!(batcher.submit(0, 1).await, Err(Refused::Lost));
        assert_eq!(batcher.submit(1, 1).await, Ok(1));
    }

    #[tokio::test]
    async fn lookups_that_gather_are_answered_each_for_itself() {
        let gate = Arc::new(Semaphore::new(0));
        let (of_lookups, batches) = (gate.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let seen = batches.clone();
        let find = move |keys: Vec<u32>| {
            seen.lock().unwrap().push(keys.len());
            let gate = of_lookups.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                // 7 is there but cannot be read, 8 is not there.
                let read = |key: u32| {
                    (
                        key,
                        if key == 7 {
                            Err("broken")
                        } else {
                            Ok(key * 10)
                        },
                    )
                };
                let there = keys.into_iter().filter(|key| *key != 8);
                Ok(there.map(read).collect())
            }
        };
        let batcher = lookups(LIMITS, find);
        let look_up = |key| {
            let batcher = batcher.clone();
            tokio::spawn(async move { batcher.submit(key, 1).await.unwrap() })
        };
        let first = look_up(1);
        // On its way: what comes now gathers.
        while batches.lock().unwrap().is_empty() {
            yield_now().await;
        }
        let others = [1, 7, 8, 9].map(look_up);
        for _ in 0..10 {
            yield_now().await;
        }
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), Ok(Some(10)));
        let mut answers = Vec::new();
        for other in others {
            answers.push(other.await.unwrap());
        }
        assert_eq!(
            answers,
            [Ok(Some(10)), Err("broken"), Ok(None), Ok(Some(90))]
        );
        assert_eq!(*batches.lock().unwrap(), [1, 4]);
    }

    #[tokio::test]
    async fn who_lets_go_of_the_turn_lets_the_next_batch_begin() {
        let (reserved, written) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (of_first, of_second) = (reserved.clone(), written.clone());
        let run = move |items: Vec<u32>, turn| {
            let (reserved, written) = (of_first.clone(), of_second.clone());
            async move {
                drop(turn);
                reserved.add_permits(1);
                written.acquire().await.unwrap().forget();
                items
            }
        };
        let limits = Limits {
            lanes: 2,
            items: 1,
            ..LIMITS
        };
        let batcher = Batcher::start(limits, run);
        let submit = |item| {
            let batcher = batcher.clone();
            tokio::spawn(async move { batcher.submit(item, 1).await })
        };
        let (first, second) = (submit(0), submit(1));
        // Both have reserved, neither has written.
        let both = tokio::time::timeout(Duration::from_secs(10), reserved.acquire_many(2));
        both.await
            .expect("the second waits for the first")
            .unwrap()
            .forget();
        written.add_permits(2);
        assert_eq!(
            (first.await.unwrap(), second.await.unwrap()),
            (Ok(0), Ok(1))
        );
    }

    type Begun = Arc<std::sync::Mutex<Vec<usize>>>;

    /// Two lanes, whose batches keep the turn until they have a permit or three wait; the sizes of those that have begun.
    fn kept(items: usize) -> (Batcher<u32, Vec<u32>>, Arc<Semaphore>, Begun) {
        let (gate, begun) = (Arc::new(Semaphore::new(0)), Begun::default());
        let (of_batches, of_begun) = (gate.clone(), begun.clone());
        let run = move |items: Vec<u32>, turn: Turn<_, _>| {
            let gate = of_batches.clone();
            of_begun.lock().unwrap().push(items.len());
            async move {
                let work = async { gate.acquire().await.unwrap().forget() };
                turn.during(work, 3).await;
                vec![items.clone(); items.len()]
            }
        };
        let limits = Limits {
            lanes: 2,
            items,
            ..LIMITS
        };
        (Batcher::start(limits, run), gate, begun)
    }

    #[tokio::test]
    async fn a_batch_that_is_worth_it_begins_before_its_turn() {
        let (batcher, gate, begun) = kept(10);
        let mut tasks = submit_at_once(&batcher, 0..4).await;
        tasks.extend(submit_all(&batcher, 4..6).await);
        assert_eq!(*begun.lock().unwrap(), [4], "two are not worth it");
        tasks.push(submit(&batcher, 6).await);
        assert_eq!(*begun.lock().unwrap(), [4, 3]);
        // All lanes are busy, however many wait.
        tasks.extend(submit_all(&batcher, 7..12).await);
        assert_eq!(*begun.lock().unwrap(), [4, 3]);

        gate.add_permits(3);
        let expected: [Vec<u32>; 3] = [(0..4).collect(), (4..7).collect(), (7..12).collect()];
        assert_eq!(batches(tasks).await, expected);
    }

    #[tokio::test]
    async fn as_many_as_are_on_their_way_are_worth_a_batch() {
        let (batcher, gate, begun) = kept(10);
        let mut tasks = submit_at_once(&batcher, 0..2).await;
        tasks.push(submit(&batcher, 2).await);
        assert_eq!(*begun.lock().unwrap(), [2]);
        tasks.push(submit(&batcher, 3).await);
        assert_eq!(*begun.lock().unwrap(), [2, 2]);
        gate.add_permits(2);
        assert_eq!(batches(tasks).await, [[0, 1], [2, 3]]);
    }

    /// On the worker, as above.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn all_who_are_ready_go_with_a_batch_that_begins_before_its_turn() {
        let (batcher, gate, begun) = kept(10);
        let on_the_worker = tokio::spawn(async move {
            let mut tasks = vec![spawn_submit(&batcher, 0)];
            while begun.lock().unwrap().is_empty() {
                yield_now().await;
            }
            tasks.extend((1..6).map(|item| spawn_submit(&batcher, item)));
            while begun.lock().unwrap().len() == 1 {
                yield_now().await;
            }
            let begun = begun.lock().unwrap().clone();
            gate.add_permits(3);
            batches(tasks).await;
            begun
        });
        assert_eq!(on_the_worker.await.unwrap(), [1, 5]);
    }

    #[tokio::test]
    async fn who_has_left_makes_no_batch_worth_it_and_who_has_gathered_goes_next() {
        let (batcher, gate, begun) = kept(10);
        let first = submit_at_once(&batcher, 0..3).await;
        let (left, second) = (submit(&batcher, 3).await, submit(&batcher, 4).await);
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        let third = submit(&batcher, 5).await;
        assert_eq!(*begun.lock().unwrap(), [3]);

        gate.add_permits(2);
        assert_eq!(batches(first).await, [[0, 1, 2]]);
        assert_eq!(batches(vec![second, third]).await, [[4, 5]]);
    }

    #[tokio::test]
    async fn a_batch_has_no_more_items_than_it_may_whatever_waits() {
        let (batcher, gate, begun) = kept(2);
        let mut tasks = submit_at_once(&batcher, 0..2).await;
        tasks.extend(submit_at_once(&batcher, 2..5).await);
        assert_eq!(*begun.lock().unwrap(), [2, 2]);
        gate.add_permits(3);
        assert_eq!(batches(tasks).await, [vec![0, 1], vec![2, 3], vec![4]]);
    }
}
