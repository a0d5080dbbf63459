//! Errors: a status of gRPC as HTTP and JSON know it.

use std::sync::LazyLock;

use axum::{body::Body, response::Response};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::Serialize;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::{StatusExt, pb};

/// What details may be. Those that are not among these stay out of the answer: they would be bytes to its reader.
static DETAILS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).expect("tonic-types has a valid descriptor set")
});

/// `google.rpc.Status` in JSON.
#[derive(Serialize)]
struct Error<'a> {
    code: i32,
    message: &'a str,
    details: Vec<Value>,
}

/// The JSON of a status.
pub(crate) fn to_json(status: &Status) -> Value {
    let details = pb_details(status).into_iter();
    let error = Error {
        code: status.code().into(),
        message: status.message(),
        details: details
            .filter_map(|(url, value)| detail(url, &value))
            .collect(),
    };
    serde_json::to_value(error).expect("text and numbers")
}

/// The answer that a status is.
pub(crate) fn to_http(status: &Status) -> Response {
    with_http(http(status.code()), status)
}

/// The same under a code that says more than the status can.
pub(crate) fn with_http(http: StatusCode, status: &Status) -> Response {
    let mut response = json(http, to_json(status).to_string());
    let headers = response.headers_mut();
    if http == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(delay) = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
    {
        // In whole seconds; earlier than asked for would be in vain.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// An answer in JSON. Much of it is for one caller only, and nothing says which: no cache keeps any.
pub(crate) fn json(http: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = http;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// As google.rpc.Code maps its codes.
pub(crate) fn http(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // "Client closed request": not in HTTP, but what the world's proxies say.
        Code::Cancelled => StatusCode::from_u16(499).expect("three digits"),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Type URLs and what they are of.
fn pb_details(status: &Status) -> Vec<(String, Vec<u8>)> {
    use prost_reflect::prost::Message;
    let decoded = pb::Status::decode(status.details()).unwrap_or_default();
    let details = decoded.details.into_iter();
    details.map(|any| (any.type_url, any.value)).collect()
}

fn detail(url: String, value: &[u8]) -> Option<Value> {
    let descriptor = DETAILS.get_message_by_name(url.rsplit('/').next()?)?;
    let message = DynamicMessage::decode(descriptor, value).ok()?;
    let mut json = serde_json::to_value(&message).ok()?;
    json.as_object_mut()?.insert("@type".to_owned(), url.into());
    Some(json)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::to_bytes;
    use orderflow_contract::{Invalid, status};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_a_google_rpc_status() {
        let status = Status::from(Invalid::field("lines[0].quantity", "must not be \"0\""));
        assert_eq!(
            to_json(&status),
            json!({
                "code": 3,
                "message": "invalid lines[0].quantity",
                "details": [
                    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INVALID_REQUEST", "domain": "orderflow"},
                    {
                        "@type": "type.googleapis.com/google.rpc.BadRequest",
                        "fieldViolations": [{"field": "lines[0].quantity", "description": "must not be \"0\""}],
                    },
                ],
            })
        );
        let retry = status::unavailable("AWAY", "not now");
        let details = to_json(&retry)["details"].clone();
        let delay =
            json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.200s"});
        assert!(details.as_array().unwrap().contains(&delay), "{details}");
    }

    #[test]
    fn unknown_details_stay_out() {
        use prost_reflect::prost::Message;
        let any = |url: &str| prost_types::Any {
            type_url: url.to_owned(),
            value: b"\xff\xff".to_vec(),
        };
        let details = [
            "type.googleapis.com/a.B",
            "type.googleapis.com/google.rpc.Help",
            "",
            "/",
        ];
        let of = pb::Status {
            details: details.map(any).to_vec(),
            ..pb::Status::default()
        };
        let unknown = Status::with_details(Code::NotFound, "", of.encode_to_vec().into());
        let garbage = Status::with_details(Code::NotFound, "", b"\xff"[..].into());
        for status in [unknown, garbage] {
            assert_eq!(
                to_json(&status),
                json!({"code": 5, "message": "", "details": []})
            );
        }
    }

    #[tokio::test]
    async fn headers_say_what_to_do() {
        let response = to_http(&status::error(
            Code::Unauthenticated,
            "TOKEN_REQUIRED",
            "who?",
        ));
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert!(!response.headers().contains_key(RETRY_AFTER));
        let body = to_bytes(response.into_body(), 1024).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["details"][0]["reason"], "TOKEN_REQUIRED");

        for (delay_ms, seconds) in [(100, "1"), (1_000, "1"), (1_001, "2")] {
            let delay = Duration::from_millis(delay_ms);
            let response = to_http(&status::retry_later(
                Code::ResourceExhausted,
                "BUSY",
                "later",
                delay,
            ));
            assert_eq!(response.status(), 429);
            assert_eq!(response.headers()[RETRY_AFTER], seconds);
        }
    }

    #[test]
    fn codes() {
        let codes = (0..17).map(|code| http(Code::from(code)).as_u16());
        let expected = [
            200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
        ];
        assert_eq!(codes.collect::<Vec<_>>(), expected);
    }
}
