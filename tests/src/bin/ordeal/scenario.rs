//! One thing that goes wrong at a time, for so long that it shows whether everything goes on afterwards.

use std::time::Duration;

use clap::ValueEnum;
use orderflow_testkit::Condition;

use crate::{
    history::{Attempt, Call, Outcome},
    judge::Violation,
    schedule::{Fault, What, Who, programs, ways},
};

/// How long it may take until orders are placed again, once what was in the way is over.
const RESUMES_WITHIN: Duration = Duration::from_secs(30);
/// Before and behind the faults.
const CALM: Duration = Duration::from_secs(5);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Nothing, for a minute
    Calm,
    /// MongoDB's primary is killed, three times
    PrimaryKilled,
    /// MongoDB's primary is stopped for a minute
    PrimaryStopped,
    /// MongoDB's primary steps down every 5 s, for a minute
    PrimarySteppedDown,
    /// MongoDB has no majority, for 20 s
    MajorityLost,
    /// One gateway is killed, then the other, five times each
    GatewaysKilled,
    /// One order service is killed, then the other, five times each
    OrdersKilled,
    /// One catalog is killed, then the other, five times each
    CatalogsKilled,
    /// Both catalogs are away for two minutes
    CatalogsAway,
    /// An order service is stopped for 20 s, and wakes up when others have done its work
    OrderStopped,
    /// Every program is told to end, one after another, and started again; three times
    RollingRestart,
    /// Answers of the catalogs are lost, for 2 s, ten times
    AnswersLost,
    /// All ways to the catalogs take 2 s longer, for 20 s
    CatalogsSlow,
    /// All connections to the catalogs fall silent, and only new ones are of use, for 45 s
    Stranded,
}

impl Scenario {
    /// What goes wrong, and how long the clients call.
    pub(crate) fn plan(self) -> (Vec<Fault>, Duration) {
        let one = |what, seconds| vec![fault(CALM, seconds, what)];
        let faults = match self {
            Self::Calm => return (Vec::new(), Duration::from_secs(60)),
            Self::PrimaryKilled => repeated(3, 15.0, |_| vec![(What::PrimaryKilled, 2.0)]),
            Self::PrimaryStopped => one(What::PrimaryStopped, 60.0),
            Self::PrimarySteppedDown => {
                repeated(12, 5.0, |_| vec![(What::PrimarySteppedDown, 0.0)])
            }
            Self::MajorityLost => one(What::SecondariesStopped, 20.0),
            Self::GatewaysKilled => killed_in_turn("gateway"),
            Self::OrdersKilled => killed_in_turn("order"),
            Self::CatalogsKilled => killed_in_turn("catalog"),
            Self::CatalogsAway => repeated(1, 0.0, |_| {
                all_of("catalog")
                    .map(|who| (What::Killed(who), 120.0))
                    .collect()
            }),
            Self::OrderStopped => one(What::Stopped(all_of("order").next().expect("is one")), 20.0),
            Self::RollingRestart => {
                let all: Vec<_> = programs().collect();
                repeated(3 * all.len(), 3.0, |n| {
                    vec![(What::Terminated(all[n % all.len()]), 0.0)]
                })
            }
            Self::AnswersLost => repeated(10, 4.0, |_| to_catalogs(Condition::Mute, 2.0)),
            Self::CatalogsSlow => {
                let slow = Condition::Slow(Duration::from_secs(2));
                repeated(1, 0.0, |_| to_catalogs(slow, 20.0))
            }
            Self::Stranded => repeated(1, 0.0, |_| to_catalogs(Condition::Stranded, 45.0)),
        };
        let end = faults.iter().map(|fault| fault.at + fault.lasts).max();
        let end = end.unwrap_or_default();
        (faults, end + RESUMES_WITHIN + CALM)
    }

    /// For how long no order need be placed: while what is in the way lasts, and some time more. In some cases nothing is in
    /// the way for long, though something goes wrong.
    fn may_stand_still_for(self) -> Duration {
        let in_the_way = match self {
            Self::MajorityLost => 20,
            Self::CatalogsAway => 120,
            // Each has five seconds, in which a new one is elected and may step down.
            Self::PrimarySteppedDown => 60,
            Self::CatalogsSlow => 20,
            _ => 0,
        };
        Duration::from_secs(in_the_way) + RESUMES_WITHIN
    }

    /// Whether orders were placed again in time.
    pub(crate) fn judge(self, attempts: &[Attempt], end: Duration) -> Option<Violation> {
        let is_placed = |attempt: &&Attempt| {
            let is_order = matches!(attempt.outcome, Outcome::Order(_));
            matches!(attempt.call, Call::Place { .. }) && is_order
        };
        let mut placed: Vec<_> = attempts.iter().filter(is_placed).map(|a| a.ended).collect();
        placed.extend([Duration::ZERO, end]);
        placed.sort_unstable();
        let gaps = placed.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
        let (longest, from) = gaps.max().unwrap_or_default();
        println!(
            "at {:.1} s no order was placed for {:.1} s",
            from.as_secs_f64(),
            longest.as_secs_f64()
        );
        (longest > self.may_stand_still_for()).then(|| Violation {
            subject: None,
            what: format!(
                "at {:.1} s no order was placed for {:.1} s",
                from.as_secs_f64(),
                longest.as_secs_f64()
            ),
        })
    }
}

fn all_of(program: &'static str) -> impl Iterator<Item = Who> {
    programs().filter(move |who| who.program == program)
}

fn killed_in_turn(program: &'static str) -> Vec<Fault> {
    let all: Vec<_> = all_of(program).collect();
    repeated(5 * all.len(), 3.0, |n| {
        vec![(What::Killed(all[n % all.len()]), 1.0)]
    })
}

fn to_catalogs(condition: Condition, seconds: f64) -> Vec<(What, f64)> {
    let ways = ways().into_iter().filter(|way| way.to.program == "catalog");
    ways.map(|way| (What::Way(way, condition), seconds))
        .collect()
}

fn fault(at: Duration, seconds: f64, what: What) -> Fault {
    let lasts = Duration::from_secs_f64(seconds);
    Fault { at, lasts, what }
}

/// Some faults at once, so many times, so many seconds apart; with how many seconds each lasts.
fn repeated(times: usize, every: f64, faults: impl Fn(usize) -> Vec<(What, f64)>) -> Vec<Fault> {
    let nth = |n: usize| {
        let at = CALM + Duration::from_secs_f64(every * n as f64);
        let faults = faults(n).into_iter();
        faults.map(move |(what, seconds)| fault(at, seconds, what))
    };
    (0..times).flat_map(nth).collect()
}
