//! `/shop`: the shop in the browser, from the folder that its build has made. Looked at anew for every request, so that a shop
//! that is built later is there without another start.

use std::path::Path;

use axum::{
    body::Body,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header::CACHE_CONTROL};
use tower::ServiceExt;
use tower_http::services::ServeDir;

const PAGE: &str = "/index.html";
/// What the build puts there has its hash in its name.
const HASHED: &str = "/assets/";

const NOT_BUILT: &str = "\
the shop is not built, or not where SHOP_DIR says; with Node, in the sources:

  cd clients/typescript && npm ci && npm run build --workspace shop
";

/// The files of the shop.
pub(super) struct Shop(ServeDir);

/// What a path asks the shop for, if it does.
pub(super) fn file(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/shop")?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

impl Shop {
    pub(super) fn new(directory: &Path) -> Self {
        Self(ServeDir::new(directory).append_index_html_on_directories(false))
    }

    pub(super) async fn answer(&self, file: &str, headers: &HeaderMap) -> Response {
        match file {
            "" => {
                let page = self.read(PAGE, headers).await;
                if page.status() == StatusCode::NOT_FOUND {
                    return super::fresh(
                        StatusCode::NOT_FOUND,
                        "text/plain; charset=utf-8",
                        NOT_BUILT,
                    );
                }
                page
            }
            "/" => Redirect::permanent("/shop").into_response(),
            file => self.read(file, headers).await,
        }
    }

    async fn read(&self, file: &str, headers: &HeaderMap) -> Response {
        // No file system has longer names, and some call asking for one a failure.
        if file.split('/').any(|name| name.len() > 255) {
            return StatusCode::NOT_FOUND.into_response();
        }
        let mut request = Request::new(());
        match file.parse::<Uri>() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => return StatusCode::NOT_FOUND.into_response(),
        }
        request.headers_mut().clone_from(headers);
        // In a box, so that calls, which are many more, do not carry the room for it.
        let Ok(response) = Box::pin(self.0.clone().oneshot(request)).await;
        let mut response = response.map(Body::new);
        let status = response.status();
        let is_there = status.is_success() || status == StatusCode::NOT_MODIFIED;
        let is_kept = is_there && file.starts_with(HASHED);
        let caching = if is_kept {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        response
    }
}
