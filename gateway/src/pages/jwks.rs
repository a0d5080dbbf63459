//! `/.well-known/jwks.json`: for those who want to verify users' tokens by themselves.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use orderflow_contract::status;
use orderflow_identity::KeyRing;

use crate::json::to_http;

/// The keys in force. A new key is published before it signs anything, for longer than a copy may be kept.
pub(super) fn answer(keys: &KeyRing) -> Response {
    if keys.is_empty() {
        return to_http(&status::unavailable(
            "STARTING",
            "the keys are not known yet",
        ));
    }
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json"),
        (CACHE_CONTROL, "public, max-age=60"),
    ];
    (headers, keys.set().to_json()).into_response()
}
