//! What goes wrong, and when: from a seed, and from nothing else.

use std::{collections::HashMap, fmt, time::Duration};

use orderflow_testkit::Condition;
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus, seq::IndexedRandom};

/// How many there are of each program.
pub(crate) const REPLICAS: usize = 2;

/// Before anything goes wrong.
const CALM: Duration = Duration::from_secs(3);
/// Between the end of one of MongoDB's faults and the next one. Shorter, and there would be no primary for most of the time.
const MONGODB_RECOVERS: Duration = Duration::from_secs(8);

/// One of the programs: `order-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Who {
    pub(crate) program: &'static str,
    /// From 1.
    pub(crate) number: usize,
}

/// The way from those who call to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    /// `None`: the clients.
    pub(crate) from: Option<Who>,
    pub(crate) to: Who,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum What {
    /// SIGKILL, and started again when it is over.
    Killed(Who),
    /// SIGTERM, and started again.
    Terminated(Who),
    /// SIGSTOP, and SIGCONT when it is over.
    Stopped(Who),
    /// The network.
    Way(Way, Condition),
    /// SIGKILL for the primary, and started again.
    PrimaryKilled,
    /// SIGSTOP for the primary, and SIGCONT.
    PrimaryStopped,
    /// It steps down, and is not elected again for so long.
    PrimarySteppedDown,
    /// SIGKILL for a secondary, and started again.
    SecondaryKilled,
    /// SIGSTOP for both secondaries: there is no majority.
    SecondariesStopped,
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fault {
    /// From the beginning of the load.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) what: What,
}

/// What can be the matter with one thing at a time only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Victim {
    Program(Who),
    Way(Way),
    MongoDb,
}

impl What {
    fn victim(self) -> Victim {
        match self {
            Self::Killed(who) | Self::Terminated(who) | Self::Stopped(who) => Victim::Program(who),
            Self::Way(way, _) => Victim::Way(way),
            Self::PrimaryKilled
            | Self::PrimaryStopped
            | Self::PrimarySteppedDown
            | Self::SecondaryKilled
            | Self::SecondariesStopped => Victim::MongoDb,
        }
    }
}

/// All programs, those first that others call.
pub(crate) fn programs() -> impl Iterator<Item = Who> {
    let replicas = |program| (1..=REPLICAS).map(move |number| Who { program, number });
    ["user", "catalog", "order", "gateway"]
        .into_iter()
        .flat_map(replicas)
}

/// Which programs one calls.
pub(crate) fn called_by(program: &str) -> &'static [&'static str] {
    match program {
        "gateway" => &["user", "catalog", "order"],
        "order" => &["user", "catalog"],
        "catalog" => &["user"],
        _ => &[],
    }
}

/// All ways there are.
pub(crate) fn ways() -> Vec<Way> {
    let callers = programs().map(Some).chain([None]);
    let calls = |from: Option<Who>| {
        let called = from.map_or(&["gateway"][..], |who| called_by(who.program));
        let called = programs().filter(|to| called.contains(&to.program));
        called.map(move |to| Way { from, to })
    };
    callers.flat_map(calls).collect()
}

/// The faults of a time so long, in the order in which they begin.
pub(crate) fn plan(seed: u64, time: Duration) -> Vec<Fault> {
    let mut plan = Plan {
        dice: Xoshiro256PlusPlus::seed_from_u64(seed),
        faults: Vec::new(),
        free_from: HashMap::new(),
    };
    let mut at = CALM;
    while at < time {
        at += plan.episode(at);
        at += plan.between(500, 4_000);
    }
    plan.faults.retain(|fault| fault.at < time);
    plan.faults.sort_by_key(|fault| fault.at);
    plan.faults
}

struct Plan {
    dice: Xoshiro256PlusPlus,
    faults: Vec<Fault>,
    free_from: HashMap<Victim, Duration>,
}

impl Plan {
    /// Some faults that belong together, and how long until the last of them begins.
    fn episode(&mut self, at: Duration) -> Duration {
        match self.dice.random_range(0..100) {
            0..25 => self.a_program(at),
            25..33 => self.all_of_a_kind(at),
            33..53 => return self.crash_loop(at),
            53..67 => self.a_way(at),
            67..77 => self.all_ways_to_a_kind(at),
            77..90 => self.mongodb(at),
            // A storm.
            _ => {
                for _ in 0..3 {
                    let soon = at + self.between(0, 2_000);
                    self.a_program(soon);
                    self.a_way(soon);
                }
                self.mongodb(at);
            }
        }
        Duration::ZERO
    }

    fn a_program(&mut self, at: Duration) {
        let who = self.one_of(&programs().collect::<Vec<_>>());
        let (what, lasts) = match self.dice.random_range(0..10) {
            0..5 => (What::Killed(who), self.between(0, 4_000)),
            5..7 => (What::Terminated(who), self.between(0, 4_000)),
            _ => (What::Stopped(who), self.between(500, 12_000)),
        };
        self.add(at, lasts, what);
    }

    fn all_of_a_kind(&mut self, at: Duration) {
        let program = self.one_of(&["order", "order", "catalog", "catalog", "gateway", "user"]);
        let lasts = self.between(0, 3_000);
        for who in programs().filter(|who| who.program == program) {
            self.add(at, lasts, What::Killed(who));
        }
    }

    /// Replicas that die, one or the other, as soon as they are up again: whoever takes up what another has left does not get
    /// far. Mostly the others are slow to answer them.
    fn crash_loop(&mut self, at: Duration) -> Duration {
        let program = self.one_of(&["order", "order", "catalog"]);
        let replicas: Vec<_> = programs().filter(|who| who.program == program).collect();
        let lasts = self.between(8_000, 20_000);
        if self.dice.random_ratio(3, 4) {
            let delay = self.between(50, 400);
            for way in ways() {
                if way.from.is_some_and(|who| who.program == program) {
                    self.add(at, lasts, What::Way(way, Condition::Slow(delay)));
                }
            }
        }
        let mut next = at;
        while next < at + lasts {
            let who = self.one_of(&replicas);
            let down = self.between(0, 500);
            self.add(next, down, What::Killed(who));
            next += self.between(1_000, 4_500);
        }
        lasts
    }

    fn a_way(&mut self, at: Duration) {
        let way = self.one_of(&ways());
        self.troubled(&[way], at);
    }

    fn all_ways_to_a_kind(&mut self, at: Duration) {
        let program = self.one_of(&["order", "catalog", "catalog", "user"]);
        let ways: Vec<_> = ways()
            .into_iter()
            .filter(|way| way.to.program == program)
            .collect();
        self.troubled(&ways, at);
    }

    /// The same for all of them.
    fn troubled(&mut self, ways: &[Way], at: Duration) {
        let condition = match self.dice.random_range(0..10) {
            0..2 => Condition::Cut,
            2..5 => Condition::Slow(self.between(5, 800)),
            5..7 => Condition::Silent,
            7 => Condition::Stranded,
            _ => Condition::Mute,
        };
        let lasts = self.between(300, 12_000);
        for way in ways {
            self.add(at, lasts, What::Way(*way, condition));
        }
    }

    fn mongodb(&mut self, at: Duration) {
        let (what, lasts) = match self.dice.random_range(0..10) {
            0..3 => (What::PrimaryKilled, self.between(0, 6_000)),
            3..6 => (What::PrimaryStopped, self.between(1_000, 15_000)),
            6..8 => (What::PrimarySteppedDown, self.between(5_000, 10_000)),
            8 => (What::SecondaryKilled, self.between(0, 6_000)),
            _ => (What::SecondariesStopped, self.between(1_000, 8_000)),
        };
        self.add(at, lasts, what);
    }

    /// Unless something is the matter with it already.
    fn add(&mut self, at: Duration, lasts: Duration, what: What) {
        let victim = what.victim();
        let free_from = self.free_from.entry(victim).or_default();
        if at >= *free_from {
            *free_from = at + lasts;
            if victim == Victim::MongoDb {
                *free_from += MONGODB_RECOVERS;
            }
            self.faults.push(Fault { at, lasts, what });
        }
    }

    fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.dice.random_range(least_ms..=most_ms))
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        *all.choose(&mut self.dice).expect("there are some")
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.program, self.number)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "{from} → {}", self.to),
            None => write!(f, "clients → {}", self.to),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(who) => write!(f, "{who} killed"),
            Self::Terminated(who) => write!(f, "{who} terminated"),
            Self::Stopped(who) => write!(f, "{who} stopped"),
            Self::Way(way, Condition::Slow(delay)) => {
                write!(f, "{way} slower by {} ms", delay.as_millis())
            }
            Self::Way(way, Condition::Silent) => write!(f, "{way} silent"),
            Self::Way(way, Condition::Stranded) => write!(f, "{way} silent for old connections"),
            Self::Way(way, Condition::Mute) => write!(f, "{way} without answers"),
            Self::Way(way, Condition::Cut) => write!(f, "{way} cut"),
            Self::Way(way, Condition::Whole) => write!(f, "{way} whole"),
            Self::PrimaryKilled => f.write_str("MongoDB's primary killed"),
            Self::PrimaryStopped => f.write_str("MongoDB's primary stopped"),
            Self::PrimarySteppedDown => f.write_str("MongoDB's primary stepped down"),
            Self::SecondaryKilled => f.write_str("a secondary of MongoDB killed"),
            Self::SecondariesStopped => f.write_str("MongoDB's secondaries stopped: no majority"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{at:6.1} s  {}, for {lasts:.1} s", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another() {
        assert_eq!(plan(1, TIME), plan(1, TIME));
        assert_ne!(plan(1, TIME), plan(2, TIME));
        // A longer one begins with the same faults.
        let longer = plan(1, 2 * TIME);
        let early: Vec<_> = longer.into_iter().filter(|f| f.at < TIME).collect();
        assert_eq!(plan(1, TIME), early);
    }

    #[test]
    fn everything_fails_at_times_and_nothing_in_two_ways_at_once() {
        let faults = plan(7, TIME);
        let is = |wanted: fn(&What) -> bool| faults.iter().filter(|f| wanted(&f.what)).count();
        assert!(is(|what| matches!(what, What::Killed(_))) > 20);
        assert!(is(|what| matches!(what, What::Stopped(_))) > 5);
        assert!(is(|what| matches!(what, What::Way(..))) > 50);
        assert!(is(|what| what.victim() == Victim::MongoDb) > 10);

        let mut over: HashMap<Victim, Duration> = HashMap::new();
        for fault in &faults {
            let over = over.entry(fault.what.victim()).or_default();
            assert!(fault.at >= *over, "{fault}");
            *over = fault.at + fault.lasts;
        }
    }

    #[test]
    fn every_program_can_be_reached_by_all_who_call_it() {
        let names: Vec<_> = ways().iter().map(Way::to_string).collect();
        assert_eq!(names.len(), 2 + 12 + 8 + 4);
        assert!(names.contains(&"order-2 → catalog-1".to_owned()));
        assert!(names.contains(&"clients → gateway-2".to_owned()));
    }
}
