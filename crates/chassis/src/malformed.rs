//! What cannot be decoded is the caller's mistake, and says so.

use http::{HeaderMap, Response};
use orderflow_contract::status;
use tonic::{Code, Status};
use tower::util::MapResponseLayer;

/// Makes INVALID_ARGUMENT of what tonic calls INTERNAL when a request is not a message: a caller who is told that something
/// broke would send it again.
pub fn layer<B: Default>() -> MapResponseLayer<fn(Response<B>) -> Response<B>> {
    MapResponseLayer::new(blame_the_request)
}

fn blame_the_request<B: Default>(response: Response<B>) -> Response<B> {
    if !is_tonics_own(response.headers()) {
        return response;
    }
    let message = "the body is not a message of this method";
    status::error(Code::InvalidArgument, "MALFORMED_MESSAGE", message).into_http()
}

/// INTERNAL without details, and before any answer. Our own has details always, and tonic has no other reason at that point
/// than that it could not read the request.
fn is_tonics_own(headers: &HeaderMap) -> bool {
    let status = Status::from_header_map(headers);
    status.is_some_and(|status| status.code() == Code::Internal && status.details().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_tonics_own(status: Status) -> bool {
        super::is_tonics_own(status.into_http::<()>().headers())
    }

    #[test]
    fn what_broke_here_stays_internal() {
        let decoding = Status::internal("failed to decode Protobuf message: invalid wire type");
        assert!(is_tonics_own(decoding));
        assert!(!is_tonics_own(status::internal(&std::io::Error::other(
            "disk"
        ))));
        assert!(!is_tonics_own(Status::unavailable("")));
    }
}
