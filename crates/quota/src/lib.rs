#![doc = include_str!("../README.md")]

use std::{
    convert::Infallible,
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroU32,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};

/// So much in so long, or as much as anybody likes: `20/s`, `300/m`, `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(Option<Quota>);

impl Rate {
    /// No limit.
    pub const OFF: Self = Self(None);
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be a rate like 20/s or 300/m, or off";
        if text == "off" {
            return Ok(Self::OFF);
        }
        let (number, unit) = text.split_once('/').ok_or(WRONG)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(WRONG);
        }
        let number: NonZeroU32 = number.parse().map_err(|_| WRONG)?;
        match unit {
            "s" => Ok(Self(Some(Quota::per_second(number)))),
            "m" => Ok(Self(Some(Quota::per_minute(number)))),
            _ => Err(WRONG),
        }
    }
}

/// How many places there are: half a mebibyte of them.
const PLACES: usize = 1 << 16;

/// Holds each of any number of keys to a rate.
pub struct Meter<C: Clock = MonotonicClock> {
    limiter: Option<RateLimiter<usize, Table, C, NoOpMiddleware<C::Instant>>>,
    table: Table,
    hasher: RandomState,
}

impl Meter {
    /// For this rate.
    pub fn new(rate: Rate) -> Self {
        Self::with_clock(rate, MonotonicClock)
    }
}

impl<C: Clock> Meter<C> {
    fn with_clock(Rate(quota): Rate, clock: C) -> Self {
        let places = if quota.is_some() { PLACES } else { 0 };
        let table = Table((0..places).map(|_| InMemoryState::default()).collect());
        Self {
            limiter: quota.map(|quota| RateLimiter::new(quota, table.clone(), clock)),
            table,
            hasher: RandomState::new(),
        }
    }

    /// Lets one more pass, or says how long it has to wait. What is turned away does not count.
    pub fn take(&self, key: &(impl Hash + ?Sized)) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        limiter
            .check_key(&self.place(key))
            .map_err(|until| until.wait_time_from(limiter.clock().now()))
    }

    /// As if the key had never been seen.
    pub fn forget(&self, key: &(impl Hash + ?Sized)) {
        if self.limiter.is_some() {
            let anew = |_| Ok::<_, Infallible>(((), Nanos::from(0)));
            let Ok(()) = self.table.measure_and_replace(&self.place(key), anew);
        }
    }

    fn place(&self, key: &(impl Hash + ?Sized)) -> usize {
        usize::try_from(self.hasher.hash_one(key) % PLACES as u64).expect("less than PLACES")
    }
}

/// The state of each place.
#[derive(Clone)]
struct Table(Arc<[InMemoryState]>);

impl StateStore for Table {
    type Key = usize;

    fn measure_and_replace<T, F, E>(&self, place: &usize, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0[*place].measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn meter(rate: &str) -> (Meter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let meter = Meter::with_clock(rate.parse().unwrap(), clock.clone());
        (meter, clock)
    }

    #[test]
    fn rates() {
        assert!("1/s".parse::<Rate>().is_ok());
        assert!("60000/m".parse::<Rate>().is_ok());
        assert_eq!("off".parse(), Ok(Rate::OFF));
        for wrong in [
            "",
            "5",
            "0/s",
            "-1/s",
            "+1/s",
            "1/h",
            "1 /s",
            "1/s/s",
            "Off",
            "99999999999/s",
        ] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn so_many_at_once_and_then_one_at_a_time() {
        let (meter, clock) = meter("60/m");
        for _ in 0..60 {
            assert_eq!(meter.take("ada"), Ok(()));
        }
        assert_eq!(meter.take("ada"), Err(Duration::from_secs(1)));
        clock.advance(Duration::from_millis(400));
        assert_eq!(meter.take("ada"), Err(Duration::from_millis(600)));
        clock.advance(Duration::from_millis(600));
        assert_eq!(meter.take("ada"), Ok(()));
        assert!(meter.take("ada").is_err());
    }

    #[test]
    fn keys_do_not_get_in_each_others_way() {
        let (meter, _) = meter("1/m");
        let passed = (0..100).filter(|key| meter.take(key).is_ok()).count();
        // Two of a hundred may share one of 65,536 places; ten pairs will not.
        assert!(passed > 90, "{passed}");
        assert!((0..100).all(|key| meter.take(&key).is_err()));
    }

    #[test]
    fn what_is_forgotten_begins_anew() {
        let (meter, _) = meter("2/m");
        while meter.take("ada").is_ok() {}
        meter.forget("ada");
        assert_eq!(meter.take("ada"), Ok(()));
        assert_eq!(meter.take("ada"), Ok(()));
        assert!(meter.take("ada").is_err());
    }

    #[test]
    fn a_million_keys_take_no_room() {
        let (meter, _) = meter("1/s");
        let before = meter.table.0.len();
        for key in 0..1_000_000 {
            let _ = meter.take(&key);
        }
        assert_eq!(meter.table.0.len(), before);
    }

    #[test]
    fn without_a_rate_everything_passes() {
        let meter = Meter::new(Rate::OFF);
        assert!((0..1_000).all(|_| meter.take("ada").is_ok()));
        meter.forget("ada");
    }
}
