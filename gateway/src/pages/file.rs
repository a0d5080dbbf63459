use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
};
use orderflow_contract::Id;

/// Something that stays the same while the gateway runs. Who has it already is told so.
pub(super) struct File {
    content_type: &'static str,
    is_gzip: bool,
    body: Bytes,
    etag: String,
}

impl File {
    pub(super) fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self {
            content_type,
            is_gzip: false,
            etag: format!("\"{}\"", Id::derived(&[&body])),
            body,
        }
    }

    /// One that is kept compressed, and sent so: there is no browser that cannot read it.
    pub(super) fn gzip(content_type: &'static str, body: &'static [u8]) -> Self {
        Self {
            is_gzip: true,
            ..Self::new(content_type, body)
        }
    }

    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers
            .get(IF_NONE_MATCH)
            .and_then(|tags| tags.to_str().ok());
        let is_known = known.is_some_and(|tags| {
            let mut tags = tags.split(',').map(str::trim);
            tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.etag)
        });
        // Kept, but not used without asking: another version of the gateway may have another one.
        let caching = [(ETAG, self.etag.as_str()), (CACHE_CONTROL, "no-cache")];
        if is_known {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        let mut response = (caching, self.body.clone()).into_response();
        let content_type = http::HeaderValue::from_static(self.content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        if self.is_gzip {
            let gzip = http::HeaderValue::from_static("gzip");
            response.headers_mut().insert(CONTENT_ENCODING, gzip);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_sent_again() {
        let file = File::new("text/plain", "one");
        let etag = file.answer(&HeaderMap::new()).headers()[ETAG].clone();
        let ask = |tags: &str| {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, tags.parse().unwrap())]);
            file.answer(&headers).status()
        };
        let etag = etag.to_str().unwrap();
        assert_eq!(ask(etag), StatusCode::NOT_MODIFIED);
        assert_eq!(ask(&format!("\"x\", W/{etag}")), StatusCode::NOT_MODIFIED);
        assert_eq!(ask("\"x\""), StatusCode::OK);
        let other = File::new("text/plain", "two");
        assert_ne!(other.answer(&HeaderMap::new()).headers()[ETAG], etag);
    }
}
