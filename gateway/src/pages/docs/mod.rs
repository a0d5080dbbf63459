//! `/docs`: Swagger UI over `/openapi.json`. The build took its files out of a crate; the page and what starts it are ours.

use std::{collections::HashMap, sync::LazyLock};

use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;

use super::file::File;

static FILES: LazyLock<HashMap<&'static str, File>> = LazyLock::new(|| {
    const HTML: &str = "text/html; charset=utf-8";
    const CSS: &str = "text/css; charset=utf-8";
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    HashMap::from([
        ("/docs", File::new(HTML, include_str!("docs.html"))),
        ("/docs/page.css", File::new(CSS, include_str!("page.css"))),
        (
            "/docs/start.js",
            File::new(SCRIPT, include_str!("start.js")),
        ),
        (
            "/docs/icon.svg",
            File::new("image/svg+xml", include_str!("icon.svg")),
        ),
        (
            "/docs/swagger-ui.css",
            File::gzip(
                CSS,
                include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz")),
            ),
        ),
        (
            "/docs/swagger-ui-bundle.js",
            File::gzip(
                SCRIPT,
                include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
            ),
        ),
    ])
});

/// The file of this path, if it is one of these.
pub(super) fn answer(path: &str, headers: &HeaderMap) -> Option<Response> {
    if path == "/docs/" {
        return Some(Redirect::permanent("/docs").into_response());
    }
    Some(FILES.get(path)?.answer(headers))
}
