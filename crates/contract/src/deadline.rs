//! How long a call may take: `grpc-timeout`, and what is left of it at every place that the call comes to.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::time::Instant;
use tonic::{Code, Status};

use crate::status;

/// The header that says so.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

tokio::task_local! {
    static CURRENT: Deadline;
}

/// When a caller stops waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// What is to be kept for a caller who waits for `timeout` from now on: a little earlier, so that the answer still arrives.
    pub fn for_caller(timeout: Duration) -> Self {
        // Time enough for anything, and no overflow.
        const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
        let timeout = timeout.min(LONGEST);
        let early = (timeout / 10).min(Duration::from_millis(50));
        Self(Instant::now() + timeout - early)
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// The time until then; none if it is over.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// That of the call which this task serves.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|deadline| *deadline).ok()
    }

    /// Runs `future` as a part of a call with this deadline.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// What `future` gives, or DEADLINE_EXCEEDED when the time is over before. It is pinned where it stands: to hand it over would
    /// be to keep it twice.
    pub async fn limit<F: Future>(self, future: Pin<&mut F>) -> Result<F::Output, Status> {
        tokio::select! {
            // The time first: errors that come after it come because of it, and are of other kinds.
            biased;
            () = tokio::time::sleep_until(self.0) => Err(exceeded()),
            output = future => Ok(output),
        }
    }
}

/// What a `grpc-timeout` says: 1 to 8 digits and a unit. DEADLINE_EXCEEDED if that is no time at all.
pub fn read(header: &[u8]) -> Result<Duration, Status> {
    match std::str::from_utf8(header).ok().and_then(parse) {
        Some(Duration::ZERO) => Err(exceeded()),
        Some(timeout) => Ok(timeout),
        None => Err(status::error(
            Code::InvalidArgument,
            "MALFORMED_TIMEOUT",
            "grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u, n",
        )),
    }
}

/// A `grpc-timeout`: in microseconds where eight digits suffice, else in milliseconds or seconds.
pub fn format(timeout: Duration) -> String {
    const DIGITS: u128 = 100_000_000;
    match (timeout.as_micros(), timeout.as_millis()) {
        (micros, _) if micros < DIGITS => format!("{micros}u"),
        (_, millis) if millis < DIGITS => format!("{millis}m"),
        _ => format!("{}S", timeout.as_secs().min(99_999_999)),
    }
}

/// DEADLINE_EXCEEDED. Whether the call took effect is unknown.
pub fn exceeded() -> Status {
    status::error(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the time for this call is over",
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
    use std::pin::pin;

    use super::*;

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
            let refused = read(wrong.as_bytes()).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{wrong}");
        }
        assert_eq!(read(b"0n").unwrap_err().code(), Code::DeadlineExceeded);
    }

    #[test]
    fn what_is_written_can_be_read() {
        for (timeout, text) in [
            (Duration::from_nanos(1_900), "1u"),
            (Duration::from_secs(60), "60000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(format(timeout), text);
            assert!(parse(text).unwrap() <= timeout);
        }
    }

    #[tokio::test]
    async fn the_answer_comes_before_the_time_is_over() {
        for timeout in [Duration::from_secs(1), Duration::from_millis(20)] {
            let left = Deadline::for_caller(timeout).left();
            assert!(left < timeout && left > timeout / 2, "{left:?}");
        }
        assert!(Deadline::for_caller(Duration::MAX).left() > Duration::from_secs(3600));
    }

    #[tokio::test]
    async fn who_is_called_knows_what_is_left() {
        assert_eq!(Deadline::current(), None);
        let deadline = Deadline::for_caller(Duration::from_secs(1));
        let called = deadline.scope(async { Deadline::current() });
        assert_eq!(called.await, Some(deadline));
        let never = pin!(std::future::pending::<()>());
        let over = Deadline::for_caller(Duration::ZERO).limit(never).await;
        assert_eq!(over.unwrap_err().code(), Code::DeadlineExceeded);
    }
}
