//! Which pages of other sites may call from a browser.

use std::{str::FromStr, time::Duration};

use http::{
    HeaderName, HeaderValue, Method, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use tower_http::cors::CorsLayer;

/// The sites whose pages may call, as browsers write them: `https://shop.example`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<HeaderValue>);

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let origins = text.split(',').map(str::trim).filter(|one| !one.is_empty());
        origins.map(origin).collect::<Result<_, _>>().map(Self)
    }
}

/// Browsers' spelling is compared to the letter, so any other would be an origin that never comes.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong = || {
        format!(
            "{text:?} is not an origin like https://shop.example or http://localhost:3000: a scheme, a host in lower case, \
             a port if it is not the usual one, and nothing else"
        )
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(wrong)?;
    let usual_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(wrong()),
    };
    let is_exact = text == format!("{scheme}://{authority}")
        && !text.contains(['@', '*'])
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
        && !authority.as_str().ends_with(':')
        && authority.port_u16() != Some(usual_port);
    match HeaderValue::from_str(text) {
        Ok(value) if is_exact => Ok(value),
        _ => Err(wrong()),
    }
}

/// Tells browsers that pages of these sites may call, in any of the protocols. Nothing here goes by cookies, so none are
/// asked for: a page has to bring the token itself. Where no site is known, nothing is told.
pub(crate) fn layer(Origins(origins): Origins) -> Option<CorsLayer> {
    const REMEMBERED: Duration = Duration::from_secs(3600);
    if origins.is_empty() {
        return None;
    }
    let name = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PATCH,
            Method::PUT,
            Method::DELETE,
        ])
        .allow_headers([
            CONTENT_TYPE,
            AUTHORIZATION,
            name("x-grpc-web"),
            name("x-user-agent"),
            name("grpc-timeout"),
            name("connect-protocol-version"),
            name("connect-timeout-ms"),
            name("idempotency-key"),
            name("traceparent"),
            name("tracestate"),
        ])
        .expose_headers([
            name("grpc-status"),
            name("grpc-message"),
            name("grpc-status-details-bin"),
            orderflow_chassis::serve::TRACE_ID,
            RETRY_AFTER,
            WWW_AUTHENTICATE,
        ])
        .max_age(REMEMBERED);
    Some(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact() {
        let origins = |text: &str| text.parse::<Origins>().map(|Origins(all)| all.len());
        assert_eq!(origins(""), Ok(0));
        assert_eq!(origins("https://shop.example"), Ok(1));
        assert_eq!(
            origins("https://shop.example, http://localhost:3000,http://[::1]:5173"),
            Ok(3)
        );
        for wrong in [
            "*",
            "null",
            "shop.example",
            "https://",
            "https://*.example",
            "https://shop.example/",
            "https://shop.example/app",
            "https://shop.example?x",
            "https://shop.example#x",
            "https://Shop.example",
            "HTTPS://shop.example",
            "https://shop.example:443",
            "http://shop.example:80",
            "https://shop.example:",
            "https://ada@shop.example",
            "ftp://shop.example",
            "https://shop.example https://other.example",
        ] {
            let problem = origins(&format!("https://fine.example,{wrong}")).unwrap_err();
            assert!(problem.contains(&format!("{wrong:?}")), "{problem}");
        }
    }
}
