use mongodb::bson::DateTime;
use orderflow_contract::{Invalid, time::now_ms};
use orderflow_proto::{money::v1::Money, order::v1 as pb};

use crate::{domain::Day, store::Row};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const DEFAULT_DAYS: i64 = 30;
const MAX_DAYS: i64 = 366;

/// The first and the last day of a request.
pub(super) fn decode(request: &pb::GetOrderStatsRequest) -> Result<(Day, Day), Invalid> {
    let mut invalid = Invalid::new();
    let last = match request.end_day.as_str() {
        "" => Some(now_ms().div_euclid(DAY_MS) * DAY_MS),
        text => invalid.take("end_day", day_ms(text)),
    };
    let first = match request.start_day.as_str() {
        "" => last.map(|last| last - (DEFAULT_DAYS - 1) * DAY_MS),
        text => invalid.take("start_day", day_ms(text)),
    };
    if let (Some(first), Some(last)) = (first, last) {
        let days = (last - first) / DAY_MS + 1;
        if !(1..=MAX_DAYS).contains(&days) {
            invalid.add(
                "start_day",
                format!("must be 0 to {} days before end_day", MAX_DAYS - 1),
            );
        }
    }
    invalid.finish(|| Some((Day::of(first?), Day::of(last?))))
}

/// The beginning of a day (UTC) written as `2026-11-22`.
fn day_ms(text: &str) -> Result<i64, &'static str> {
    const WRONG: &str = "must be a day as in 2026-11-22";
    let is_plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if !is_plain {
        return Err(WRONG);
    }
    let midnight = DateTime::parse_rfc3339_str(format!("{text}T00:00:00Z")).map_err(|_| WRONG)?;
    Ok(midnight.timestamp_millis())
}

pub(super) fn encode(day: Day, row: Row) -> pb::DayStats {
    pb::DayStats {
        day: day.to_string(),
        orders: row.orders,
        revenue: Some(Money {
            currency_code: row.currency,
            minor_units: row.revenue,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start_day: &str, end_day: &str) -> Result<(Day, Day), Invalid> {
        decode(&pb::GetOrderStatsRequest {
            start_day: start_day.to_owned(),
            end_day: end_day.to_owned(),
        })
    }

    #[test]
    fn days_are_whole_and_the_last_is_included() {
        let second = Day::of(DAY_MS);
        assert_eq!(range("1970-01-02", "1970-01-02"), Ok((second, second)));
        let (first, last) = range("", "2026-11-22").unwrap();
        let days: Vec<_> = first.through(last).collect();
        assert_eq!(days.len(), 30);
        assert_eq!(last.to_string(), "2026-11-22");
        assert!(range("", "").is_ok());
    }

    #[test]
    fn what_is_no_range_of_days_is_refused() {
        let wrong = [
            "2026-02-30",
            "2026-1-1",
            "22.11.2026",
            "$gt",
            "2026-11-22T00:00:00Z",
        ];
        for day in wrong {
            assert!(range(day, "2026-11-22").is_err(), "{day}");
        }
        assert!(range("2026-11-23", "2026-11-22").is_err());
        assert!(range("2025-11-22", "2026-11-22").is_ok());
        assert!(range("2025-11-21", "2026-11-22").is_err());
    }
}
