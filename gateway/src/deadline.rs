//! How long a call may take here.

use std::time::Duration;

use http::HeaderMap;
use orderflow_contract::deadline::{self, Deadline, GRPC_TIMEOUT};
use tonic::Status;

/// The longest that a call may take, also one whose caller set no limit: a call holds a stream of the connection that all share.
const LONGEST: Duration = Duration::from_secs(60);

/// When to give up; `None` for a stream of answers whose caller set no limit: such a one ends when its caller or its service
/// ends it.
pub(crate) fn read(headers: &HeaderMap, is_stream: bool) -> Result<Option<Deadline>, Status> {
    let asked = headers
        .get(GRPC_TIMEOUT)
        .map(|header| deadline::read(header.as_bytes()))
        .transpose()?;
    let timeout = match asked {
        asked if is_stream => asked,
        asked => Some(asked.unwrap_or(LONGEST).min(LONGEST)),
    };
    Ok(timeout.map(Deadline::for_caller))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(timeout: Option<&str>, is_stream: bool) -> Option<Duration> {
        let header = timeout.map(|timeout| {
            let name = http::HeaderName::from_static(GRPC_TIMEOUT);
            (name, timeout.parse().unwrap())
        });
        let deadline = read(&HeaderMap::from_iter(header), is_stream).unwrap();
        deadline.map(Deadline::left)
    }

    #[tokio::test]
    async fn a_call_ends_and_a_stream_ends_when_its_caller_says() {
        for absurd in [None, Some("99999999H")] {
            assert!(left(absurd, false).unwrap() <= LONGEST);
            assert!(left(absurd, false).unwrap() > LONGEST / 2);
        }
        assert_eq!(left(None, true), None);
        assert!(left(Some("1H"), true).unwrap() > LONGEST);
        for is_stream in [true, false] {
            assert!(left(Some("1S"), is_stream).unwrap() < Duration::from_secs(1));
        }
    }
}
