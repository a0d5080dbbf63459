//! Times as MongoDB keeps them, in milliseconds since 1970, and as the contract shows them.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// As the contract shows it.
pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: i32::try_from(ms.rem_euclid(1000)).unwrap_or_default() * 1_000_000,
    }
}

/// A time that a client sent; digits behind the millisecond are rounded up, so that "before" stays before.
pub fn millis(timestamp: &Timestamp) -> Result<i64, &'static str> {
    const WRONG: &str = "must be a time between the years 1 and 9999";
    const YEAR_1: i64 = -62_135_596_800;
    const YEAR_10000: i64 = 253_402_300_800;
    if !(YEAR_1..YEAR_10000).contains(&timestamp.seconds)
        || !(0..1_000_000_000).contains(&timestamp.nanos)
    {
        return Err(WRONG);
    }
    Ok(timestamp.seconds * 1000
        + i64::from(timestamp.nanos).div_euclid(1_000_000)
        + i64::from(timestamp.nanos % 1_000_000 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for ms in [0, 1, 999, 1_000, -1, 1_767_225_600_123] {
            assert_eq!(millis(&timestamp(ms)), Ok(ms));
        }
        let odd = Timestamp {
            seconds: 1,
            nanos: 1,
        };
        assert_eq!(millis(&odd), Ok(1_001));
        assert!(
            millis(&Timestamp {
                seconds: i64::MAX,
                nanos: 0
            })
            .is_err()
        );
        assert!(
            millis(&Timestamp {
                seconds: 0,
                nanos: -1
            })
            .is_err()
        );
    }
}
