//! What a day is, and when nothing ordinary can happen to it any more.

use std::fmt;

use orderflow_contract::time::timestamp;

const HOUR_MS: i64 = 60 * 60 * 1_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A day of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Day {
    since_1970: i64,
}

impl Day {
    /// The day of a moment, given in milliseconds since 1970.
    pub(crate) fn of(ms: i64) -> Self {
        Self {
            since_1970: ms.div_euclid(DAY_MS),
        }
    }

    pub(crate) fn start_ms(self) -> i64 {
        self.since_1970 * DAY_MS
    }

    /// When the next day begins.
    pub(crate) fn end_ms(self) -> i64 {
        self.start_ms() + DAY_MS
    }

    /// This day and those after it, up to `last` and with it.
    pub(crate) fn through(self, last: Self) -> impl Iterator<Item = Self> + Clone {
        (self.since_1970..=last.since_1970).map(|since_1970| Self { since_1970 })
    }

    /// As in `2026-11`.
    pub(crate) fn month(self) -> String {
        format!("{:.7}", timestamp(self.start_ms()).to_string())
    }

    /// True for writers: from now on whoever changes what counts on this day must say so.
    pub(crate) fn has_ended(self, now_ms: i64) -> bool {
        self.end_ms() <= now_ms
    }

    /// True for readers: nobody is left who changes this day without saying so. An hour after its end, so that writers whose
    /// clocks are behind, and writes that were long on their way, have come to their end as well.
    pub(crate) fn is_closed(self, now_ms: i64) -> bool {
        self.end_ms() + HOUR_MS <= now_ms
    }
}

impl fmt::Display for Day {
    /// As in `2026-11-22`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.10}", timestamp(self.start_ms()).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_names() {
        let name = |ms| Day::of(ms).to_string();
        assert_eq!(name(0), "1970-01-01");
        assert_eq!(name(-1), "1969-12-31");
        assert_eq!(name(1_795_391_999_999), "2026-11-22");
        assert_eq!(name(-62_135_596_800_000), "0001-01-01");
        assert_eq!(Day::of(1_795_391_999_999).month(), "2026-11");
    }

    #[test]
    fn a_day_closes_for_readers_an_hour_after_it_has_ended_for_writers() {
        let day = Day::of(0);
        let ended_and_closed = |now_ms| (day.has_ended(now_ms), day.is_closed(now_ms));
        assert_eq!(ended_and_closed(DAY_MS - 1), (false, false));
        assert_eq!(ended_and_closed(DAY_MS), (true, false));
        assert_eq!(ended_and_closed(DAY_MS + HOUR_MS - 1), (true, false));
        assert_eq!(ended_and_closed(DAY_MS + HOUR_MS), (true, true));
    }

    #[test]
    fn days_follow_one_another() {
        let days: Vec<_> = Day::of(0).through(Day::of(2 * DAY_MS)).collect();
        assert_eq!(days, [Day::of(0), Day::of(DAY_MS), Day::of(2 * DAY_MS)]);
    }
}
