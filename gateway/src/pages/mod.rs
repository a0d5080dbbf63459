//! The gateway's own pages: what a browser or `curl` finds here besides the API.

mod docs;
mod file;
mod home;
mod jwks;
mod probes;
mod shop;

use std::path::Path;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{
        ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};
use orderflow_chassis::health::Health;
use orderflow_identity::KeyRing;

use file::File;
use shop::Shop;

/// All that a page may load comes from here, scripts and styles only from files, and nobody may frame it.
const CONTENT_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// What the pages show.
pub(crate) struct Pages {
    shop: Shop,
    openapi: File,
    keys: KeyRing,
    health: Health,
}

impl Pages {
    /// With this description of the API, and the shop from this folder.
    pub(crate) fn new(openapi: String, keys: KeyRing, health: Health, shop: &Path) -> Self {
        Self {
            shop: Shop::new(shop),
            openapi: File::new("application/json", openapi),
            keys,
            health,
        }
    }

    /// The answer to a request for a page.
    pub(crate) async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let mut response = self.page(uri.path(), headers).await?;
        match *method {
            Method::GET | Method::HEAD => {}
            _ => response = only_get(),
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, CONTENT_POLICY);
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        let no_referrer = HeaderValue::from_static("no-referrer");
        headers.insert(REFERRER_POLICY, no_referrer);
        Some(response)
    }

    /// The page of this path, if it is one of these.
    async fn page(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        Some(match path {
            "/" => home::answer(headers),
            "/openapi.json" => self.openapi.answer(headers),
            "/.well-known/jwks.json" => jwks::answer(&self.keys),
            "/livez" => probes::live(),
            "/readyz" => probes::ready(&self.health),
            path => match shop::file(path) {
                Some(file) => self.shop.answer(file, headers).await,
                None => docs::answer(path, headers)?,
            },
        })
    }
}

fn only_get() -> Response {
    (
        StatusCode::METHOD_NOT_ALLOWED,
        [(ALLOW, "GET, HEAD")],
        "this page can only be read\n",
    )
        .into_response()
}

/// An answer that nobody keeps.
fn fresh(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (http::header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.into()).into_response()
}
