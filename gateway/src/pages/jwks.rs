//! `/.well-known/jwks.json`: for those who want to verify users' tokens by themselves.

use axum::response::{IntoResponse, Response};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use orderflow_identity::KeyRing;

use super::fresh;

/// The keys in force. A new key is published before it signs anything, for longer than a copy may be kept.
pub(super) fn answer(keys: &KeyRing) -> Response {
    if keys.is_empty() {
        let status = r#"{"code":14,"message":"the keys are not known yet","details":[]}"#;
        let page = fresh(StatusCode::SERVICE_UNAVAILABLE, "application/json", status);
        return ([(RETRY_AFTER, "1")], page).into_response();
    }
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json"),
        (CACHE_CONTROL, "public, max-age=60"),
    ];
    (headers, keys.set().to_json()).into_response()
}
