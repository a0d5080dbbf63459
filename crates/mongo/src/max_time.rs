use std::time::Duration;

use mongodb::error::{Error, ErrorKind};
use orderflow_contract::deadline::Deadline;

/// For reads that serve no one call: those that many callers share, and those of the service's own. No list is as slow as this.
const OWN: Duration = Duration::from_secs(30);

/// For how long MongoDB may work on a read (`maxTimeMS`): what is left to the call that it serves.
pub fn max_time() -> Duration {
    let left = Deadline::current().map_or(OWN, Deadline::left);
    // Sent in whole milliseconds, and to MongoDB 0 is no limit.
    left.clamp(Duration::from_millis(1), OWN)
}

/// True for the error of a read that took longer.
pub fn is_over_time(error: &Error) -> bool {
    const MAX_TIME_MS_EXPIRED: i32 = 50;
    matches!(error.kind.as_ref(), ErrorKind::Command(error) if error.code == MAX_TIME_MS_EXPIRED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_has_what_is_left_of_its_call_and_never_no_limit() {
        assert_eq!(max_time(), OWN);
        let of_call = async |timeout| {
            let deadline = Deadline::for_caller(timeout);
            deadline.scope(async { max_time() }).await
        };
        let second = of_call(Duration::from_secs(1)).await;
        assert!(second < Duration::from_secs(1) && second > Duration::from_millis(500));
        assert_eq!(of_call(Duration::ZERO).await, Duration::from_millis(1));
        assert_eq!(of_call(Duration::from_secs(3600)).await, OWN);
    }
}
