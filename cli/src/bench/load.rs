//! Clients that call, and what becomes of their calls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::join_all;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep, sleep_until};

/// How to call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Calls by all clients a second; `None`: each calls again as soon as it has its answer.
    pub(super) rate: Option<f64>,
    /// Before anything counts.
    pub(super) warm_up: Duration,
    /// How long it counts.
    pub(super) time: Duration,
}

/// Somebody who calls.
pub(super) trait Client: Send + 'static {
    /// One call, and the name of its error.
    fn call(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

/// Somebody who looks at things nine times, and then orders one.
pub(super) struct Mixed<O, R> {
    pub(super) orders: O,
    reads: R,
    calls: usize,
}

impl<O: Client, R: Client> Mixed<O, R> {
    /// They begin at ten points of it in turn, so that they do not all order at the same time.
    pub(super) fn pairs(orders: Vec<O>, reads: Vec<R>) -> Vec<Self> {
        let pairs = orders.into_iter().zip(reads).enumerate();
        let pair = |(calls, (orders, reads))| Self {
            orders,
            reads,
            calls,
        };
        pairs.map(pair).collect()
    }
}

impl<O: Client, R: Client> Client for Mixed<O, R> {
    async fn call(&mut self) -> Result<(), String> {
        self.calls += 1;
        if self.calls.is_multiple_of(10) {
            self.orders.call().await
        } else {
            self.reads.call().await
        }
    }
}

/// What became of the calls.
#[derive(Debug)]
pub(super) struct Measured {
    /// From when a call was due to its answer, in microseconds; of those that succeeded. Due is when the schedule says so, not
    /// when the client came round to it: else a stall would hide the calls that it kept from being made.
    pub(super) latency_us: Histogram<u64>,
    /// How many failed, by the name of the error.
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) time: Duration,
}

impl Measured {
    fn nothing() -> Self {
        Self {
            latency_us: Histogram::new_with_bounds(1, 600_000_000, 3)
                .expect("the bounds are valid"),
            errors: BTreeMap::new(),
            time: Duration::ZERO,
        }
    }

    /// Successful calls a second.
    pub(super) fn per_second(&self) -> f64 {
        self.latency_us.len() as f64 / self.time.as_secs_f64()
    }

    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1_000.0
    }

    fn record(&mut self, since: Instant, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                let us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.latency_us.saturating_record(us.max(1));
            }
            Err(name) => *self.errors.entry(name).or_default() += 1,
        }
    }

    /// Adds what was measured at another time.
    pub(super) fn add_later(&mut self, other: &Self) {
        self.add(other);
        self.time += other.time;
    }

    /// What another client has measured at the same time.
    fn add(&mut self, other: &Self) {
        self.latency_us
            .add(&other.latency_us)
            .expect("both have the same bounds");
        for (name, count) in &other.errors {
            *self.errors.entry(name.clone()).or_default() += count;
        }
    }
}

/// Lets the clients call, and gives them back.
pub(super) async fn drive<C: Client>(
    label: &str,
    load: Load,
    clients: Vec<C>,
) -> (Measured, Vec<C>) {
    let answered = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let count_from = begin + load.warm_up;
    let end = count_from + load.time;
    let number = clients.len();
    let interval = load
        .rate
        .map(|rate| Duration::from_secs_f64(number as f64 / rate));
    let tasks = clients.into_iter().enumerate().map(|(i, mut client)| {
        let answered = answered.clone();
        tokio::spawn(async move {
            let mut measured = Measured::nothing();
            // Spread over the first interval.
            let mut due = begin + interval.unwrap_or_default() * i as u32 / number as u32;
            loop {
                match interval {
                    Some(_) => sleep_until(due).await,
                    None => due = Instant::now(),
                }
                if Instant::now() >= end {
                    return (measured, client);
                }
                let outcome = client.call().await;
                answered.fetch_add(1, Relaxed);
                let now = Instant::now();
                if now >= count_from && now < end {
                    measured.record(due, outcome);
                }
                due += interval.unwrap_or_default();
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let bar = tokio::spawn(show(label.to_owned(), begin, end, answered));
    let mut all = Measured::nothing();
    let mut back = Vec::with_capacity(number);
    for done in join_all(tasks).await {
        let (measured, client) = done.expect("clients do not panic");
        all.add(&measured);
        back.push(client);
    }
    all.time = load.time;
    bar.abort();
    (all, back)
}

/// A progress bar, while the time lasts.
async fn show(label: String, begin: Instant, end: Instant, answered: Arc<AtomicU64>) {
    const EVERY: Duration = Duration::from_millis(250);
    let total = end.duration_since(begin);
    let bar = ProgressBar::new(total.as_millis() as u64);
    let style = ProgressStyle::with_template("{prefix} {bar:30} {msg}");
    bar.set_style(style.expect("the template is valid"));
    bar.set_prefix(label);
    let mut before = 0;
    while Instant::now() < end {
        let now = answered.load(Relaxed);
        bar.set_position(begin.elapsed().as_millis() as u64);
        bar.set_message(format!("{} a second", (now - before) * 4));
        before = now;
        sleep(EVERY).await;
    }
    bar.finish_and_clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts its calls.
    #[derive(Default)]
    struct Counts(u32);

    impl Client for Counts {
        async fn call(&mut self) -> Result<(), String> {
            self.0 += 1;
            Ok(())
        }
    }

    #[tokio::test]
    async fn of_ten_who_call_once_each_another_one_orders() {
        let counts = || (0..10).map(|_| Counts::default()).collect();
        let mut mixed = Mixed::pairs(counts(), counts());
        for round in 1..=10 {
            for one in &mut mixed {
                one.call().await.unwrap();
            }
            let orders: u32 = mixed.iter().map(|one| one.orders.0).sum();
            let reads: u32 = mixed.iter().map(|one| one.reads.0).sum();
            assert_eq!((orders, reads), (round, 9 * round));
        }
        assert!(mixed.iter().all(|one| one.orders.0 == 1));
    }

    /// Answers at once, but for one call that takes a second.
    struct Stalls(u32);

    impl Client for Stalls {
        async fn call(&mut self) -> Result<(), String> {
            self.0 += 1;
            match self.0 {
                10 => sleep(Duration::from_secs(1)).await,
                20 => return Err("Unavailable".to_owned()),
                _ => {}
            }
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_a_stall_held_up_are_late_too() {
        let load = Load {
            rate: Some(100.0),
            warm_up: Duration::ZERO,
            time: Duration::from_secs(4),
        };
        let (measured, _) = drive("", load, vec![Stalls(0)]).await;
        // 100 were due while one of them stalled.
        let late = measured.latency_us.count_between(100_000, u64::MAX / 2);
        assert!((85..=105).contains(&late), "{late}");
        assert_eq!(measured.errors["Unavailable"], 1);
        assert!((390..=400).contains(&measured.latency_us.len()));
    }
}
