//! Calls put on the wire by hand: any headers, any bytes, at any of the places where a method can be called.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use orderflow_testkit::World;
use prost::bytes::Bytes;
use prost_reflect::MethodDescriptor;
use tonic::Status;

/// What no message begins with: a field of a kind that does not exist. Whoever is let in is told so, and nothing is done.
pub(crate) const MALFORMED: &[u8] = &[0x0f];
/// What is said about it.
pub(crate) const ADMITTED: &str = "MALFORMED_MESSAGE";

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Grpc,
    Web,
}

/// Where calls can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Gateway(Wire),
    /// Straight to the service with this name.
    Service(&'static str),
}

impl Place {
    pub(crate) const ALL: [Self; 5] = [
        Self::Gateway(Wire::Grpc),
        Self::Gateway(Wire::Web),
        Self::Service("user"),
        Self::Service("catalog"),
        Self::Service("order"),
    ];

    /// Whether a method lives here; at the gateway all of them do.
    pub(crate) fn has(self, method: &MethodDescriptor) -> bool {
        match self {
            Self::Gateway(_) => true,
            Self::Service(name) => {
                let package = format!("orderflow.{name}.");
                method.full_name().starts_with(&package)
            }
        }
    }

    fn address(self, world: &World) -> SocketAddr {
        match self {
            Self::Gateway(_) => world.system.gateway,
            Self::Service("user") => world.system.user,
            Self::Service("catalog") => world.system.catalog,
            Self::Service(_) => world.system.order,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Gateway(Wire::Web) => "application/grpc-web+proto",
            _ => "application/grpc",
        }
    }
}

/// Every method of the contract.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    let services = orderflow_proto::descriptors().services();
    services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

fn is_stream(path: &str) -> bool {
    let method = methods()
        .into_iter()
        .find(|method| self::path(method) == path);
    method.is_some_and(|method| method.is_server_streaming())
}

/// `/orderflow.order.v1.OrderService/GetOrder`
pub(crate) fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Headers of a request, as they are.
pub(crate) type Headers = Vec<(&'static str, HeaderValue)>;

/// The one header that says who calls.
pub(crate) fn bearer(token: &str) -> Headers {
    vec![("authorization", format!("Bearer {token}").parse().unwrap())]
}

/// Makes calls.
pub(crate) struct Caller<'a> {
    world: &'a World,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http();
        Self { world, client }
    }

    /// How a call with one message ends.
    pub(crate) async fn call(
        &self,
        place: Place,
        path: &str,
        headers: &Headers,
        message: &[u8],
    ) -> Status {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = [&[0][..], &length, message].concat();
        self.send(place, path, headers, body).await
    }

    /// How such a call ends: HTTP's code, and the reason if there is one.
    pub(crate) async fn call_in_http(
        &self,
        (verb, path, body): &(&'static str, String, &'static str),
        headers: &Headers,
    ) -> (u16, String) {
        let mut request = Request::builder()
            .method(verb.to_uppercase().as_str())
            .uri(format!("http://{}{path}", self.world.system.gateway));
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::from(*body)).unwrap();
        let response = self.client.request(request).await.unwrap();
        let code = response.status().as_u16();
        if code == 200 {
            // It may be a stream without an end.
            return (code, String::new());
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let reason = status["details"][0]["reason"].as_str().unwrap_or_default();
        (code, reason.to_owned())
    }

    /// How a call with this body ends.
    pub(crate) async fn send(
        &self,
        place: Place,
        path: &str,
        headers: &Headers,
        body: Vec<u8>,
    ) -> Status {
        let mut request = Request::post(format!("http://{}{path}", place.address(self.world)))
            .header("content-type", place.content_type())
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::from(body)).unwrap();
        let response = self.client.request(request).await.unwrap();
        assert_eq!(response.status(), 200, "{place:?} {path}");
        let (head, body) = response.into_parts();
        let refused = Status::from_header_map(&head.headers);
        if refused.is_none() && is_stream(path) {
            // Let in; it would go on without an end.
            return Status::new(tonic::Code::Ok, "");
        }
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let web_trailers = web_trailers(&body.to_bytes());
        [head.headers, trailers, web_trailers]
            .iter()
            .find_map(Status::from_header_map)
            .unwrap_or_else(|| panic!("{place:?} {path}: no status"))
    }
}

/// A call in HTTP's terms, with nothing in it that is not needed; `None` for a method that has none.
pub(crate) fn in_http(method: &MethodDescriptor) -> Option<(&'static str, String, &'static str)> {
    let extension = orderflow_proto::descriptors()
        .get_extension_by_name("google.api.http")
        .unwrap();
    let options = method.options();
    let rule = options.get_extension(&extension).into_owned();
    let rule = rule.as_message().unwrap();
    let text = |name| {
        rule.get_field_by_name(name)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    let verbs = ["get", "put", "post", "delete", "patch"];
    let verb = verbs
        .into_iter()
        .find(|verb| rule.has_field_by_name(verb))?;
    let mut path = text(verb);
    while let Some((before, rest)) = path.split_once('{') {
        let (_, after) = rest.split_once('}').unwrap();
        path = format!("{before}{:032}{after}", 0);
    }
    let body = if text("body").is_empty() { "" } else { "{}" };
    Some((verb, path, body))
}

/// The trailers that gRPC-Web has in the last frame of the body.
fn web_trailers(mut body: &[u8]) -> HeaderMap {
    while let [flag, a, b, c, d, rest @ ..] = body {
        let (content, rest) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        if *flag == 0x80 {
            let lines = std::str::from_utf8(content).unwrap().lines();
            let pairs = lines.map(|line| line.split_once(':').unwrap());
            return pairs
                .map(|(name, value)| {
                    (
                        name.parse::<http::HeaderName>().unwrap(),
                        value.trim().parse().unwrap(),
                    )
                })
                .collect();
        }
        body = rest;
    }
    HeaderMap::new()
}
