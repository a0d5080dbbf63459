//! How long a call may take: `grpc-timeout`.

use std::time::Duration;

use http::HeaderMap;
use orderflow_contract::status;
use tokio::time::Instant;
use tonic::{Code, Status};

/// The longest that a call may take, also one whose caller set no limit: a call holds a stream of the connection that all share.
const LONGEST: Duration = Duration::from_secs(60);

/// When to give up.
///
/// That is a little before the caller's time is over, so that the answer still arrives; and the time must not be over first
/// for tonic, which starts the same clock before anything here runs and says CANCELLED.
pub(crate) fn read(headers: &HeaderMap) -> Result<Instant, Status> {
    let Some(header) = headers.get("grpc-timeout") else {
        return Ok(Instant::now() + LONGEST);
    };
    let timeout = header.to_str().ok().and_then(parse).ok_or_else(malformed)?;
    if timeout.is_zero() {
        return Err(exceeded());
    }
    let early = (timeout / 10).min(Duration::from_millis(50));
    Ok(Instant::now() + (timeout - early).min(LONGEST))
}

/// DEADLINE_EXCEEDED. Whether the call took effect is unknown.
pub(crate) fn exceeded() -> Status {
    status::error(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the time for this call is over",
    )
}

fn malformed() -> Status {
    status::error(
        Code::InvalidArgument,
        "MALFORMED_TIMEOUT",
        "grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n",
    )
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(timeout: &str) -> HeaderMap {
        HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), timeout.parse().unwrap())])
    }

    #[test]
    fn units() {
        let ms = |text| parse(text).unwrap().as_secs_f64() * 1000.0;
        assert_eq!(ms("2H"), 7_200_000.0);
        assert_eq!(ms("3M"), 180_000.0);
        assert_eq!(ms("4S"), 4_000.0);
        assert_eq!(ms("5m"), 5.0);
        assert_eq!(ms("6000u"), 6.0);
        assert_eq!(ms("7000000n"), 7.0);
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "",
            "S",
            "5",
            "5s",
            "-5S",
            "+5S",
            " 5S",
            "5 S",
            "123456789S",
            "5é",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let code = |text| read(&headers(text)).unwrap_err().code();
        assert_eq!(code("abc"), Code::InvalidArgument);
        assert_eq!(code("0n"), Code::DeadlineExceeded);
    }

    #[test]
    fn the_answer_comes_before_the_time_is_over() {
        for (text, timeout_ms) in [("1S", 1000), ("20m", 20)] {
            let before = Instant::now();
            let deadline = read(&headers(text)).unwrap();
            assert!(deadline > before);
            assert!(
                deadline < before + Duration::from_millis(timeout_ms),
                "{text}"
            );
        }
        // Absurdly long, and not set at all.
        for headers in [headers("99999999H"), HeaderMap::new()] {
            assert!(read(&headers).unwrap() <= Instant::now() + LONGEST);
        }
    }
}
