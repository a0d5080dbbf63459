//! A client that speaks gRPC and gRPC-Web in all its forms and hides nothing of the answer.

use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use prost::{Message, bytes::Bytes};
use tonic::{Code, Status};

use super::World;

pub(crate) const GET_ORDER: &str = "/orderflow.order.v1.OrderService/GetOrder";
pub(crate) const LIST_ORDERS: &str = "/orderflow.order.v1.OrderService/ListOrders";
pub(crate) const CREATE_ORDER: &str = "/orderflow.order.v1.OrderService/CreateOrder";
pub(crate) const GET_PRODUCT: &str = "/orderflow.catalog.v1.CatalogService/GetProduct";
pub(crate) const BATCH_GET: &str = "/orderflow.catalog.v1.CatalogService/BatchGetProducts";
pub(crate) const LIST_PRODUCTS: &str = "/orderflow.catalog.v1.CatalogService/ListProducts";

/// How a call is put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Grpc,
    Web1,
    Web2,
    Text1,
    Text2,
}

impl Wire {
    pub(crate) const ALL: [Self; 5] =
        [Self::Grpc, Self::Web1, Self::Web2, Self::Text1, Self::Text2];
    pub(crate) const WEB: [Self; 4] = [Self::Web1, Self::Web2, Self::Text1, Self::Text2];

    fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            // Both forms of the name, one with a parameter.
            Self::Web1 => "application/grpc-web; charset=utf-8",
            Self::Web2 => "application/grpc-web+proto",
            Self::Text1 => "application/grpc-web-text",
            Self::Text2 => "application/grpc-web-text+proto; charset=utf-8",
        }
    }

    fn is_http2(self) -> bool {
        matches!(self, Self::Grpc | Self::Web2 | Self::Text2)
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Text1 | Self::Text2)
    }
}

/// A call to be made.
pub(crate) struct Call {
    wire: Wire,
    request: http::request::Builder,
    body: Vec<u8>,
}

/// An answer in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) trailers: HeaderMap,
    /// As the body came, base64 undone.
    pub(crate) body: Vec<u8>,
}

impl World {
    pub(crate) fn call(&self, wire: Wire, path: &str, message: &impl Message) -> Call {
        Call {
            wire,
            request: Request::builder()
                .method(Method::POST)
                .uri(format!("http://{}{path}", self.gateway))
                .header("content-type", wire.content_type())
                .header("te", "trailers"),
            body: framed(&message.encode_to_vec()),
        }
    }
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn signed_in(self) -> Self {
        let bearer = super::bearer();
        self.header("authorization", &bearer)
    }

    /// A body of one's own instead of a message.
    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// Only the head of the answer has come.
    pub(crate) async fn open(self) -> Response<Body> {
        let mut body = self.body;
        if self.wire.is_text() && body.first() == Some(&0) {
            body = BASE64_STANDARD.encode(body).into_bytes();
        }
        let request = self.request.body(Full::from(body)).unwrap();
        http(self.wire.is_http2(), request).await
    }

    pub(crate) async fn send(self) -> Answer {
        let wire = self.wire;
        Answer::read(wire, self.open().await).await
    }
}

impl Answer {
    /// Reads the rest of an answer whose head has come.
    pub(crate) async fn read(wire: Wire, response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        let bytes = body.to_bytes().to_vec();
        let mut answer = Answer {
            http: head.status,
            headers: head.headers,
            messages: Vec::new(),
            trailers: trailers.unwrap_or_default(),
            body: if wire.is_text() {
                undo_base64(&bytes)
            } else {
                bytes
            },
        };
        answer.read_frames(wire);
        answer
    }

    fn read_frames(&mut self, wire: Wire) {
        if self.http != StatusCode::OK {
            return;
        }
        let content_type = self.headers["content-type"].to_str().unwrap();
        let kind = match wire {
            Wire::Grpc => "application/grpc",
            Wire::Web1 | Wire::Web2 => "application/grpc-web+proto",
            Wire::Text1 | Wire::Text2 => "application/grpc-web-text+proto",
        };
        assert_eq!(content_type, kind);
        let mut rest = self.body.as_slice();
        while let [flag, a, b, c, d, more @ ..] = rest {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let (content, more) = more.split_at(length);
            if *flag == 0x80 {
                assert_ne!(wire, Wire::Grpc);
                assert!(more.is_empty(), "the trailers come last");
                assert!(
                    !content.is_empty(),
                    "trailers without a status confuse clients"
                );
                self.trailers = parse_trailers(content);
            } else {
                assert_eq!(*flag, 0);
                self.messages.push(content.to_vec());
            }
            rest = more;
        }
        assert!(rest.is_empty(), "half a frame: {rest:?}");
    }

    /// The status, from where a client looks for it: the trailers if there are any, else the headers.
    pub(crate) fn status(&self) -> Status {
        Status::from_header_map(&self.trailers)
            .or_else(|| Status::from_header_map(&self.headers))
            .unwrap_or_else(|| panic!("no status in {self:?}"))
    }

    pub(crate) fn code(&self) -> Code {
        self.status().code()
    }

    pub(crate) fn message<M: Message + Default>(&self) -> M {
        let [message] = self.messages.as_slice() else {
            panic!("not one message: {self:?}");
        };
        M::decode(message.as_slice()).unwrap()
    }
}

/// An HTTP request on a connection of its own.
pub(crate) async fn http(http2: bool, request: Request<Full<Bytes>>) -> Response<Body> {
    let client: Client<HttpConnector, _> = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http();
    client.request(request).await.unwrap().map(Body::new)
}

/// With the prefix of a gRPC message.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// Each piece that was sent may have padding of its own.
fn undo_base64(text: &[u8]) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0, "cut: {}", String::from_utf8_lossy(text));
    let groups = text
        .chunks(4)
        .map(|group| BASE64_STANDARD.decode(group).unwrap());
    groups.flatten().collect()
}

fn parse_trailers(block: &[u8]) -> HeaderMap {
    let text = std::str::from_utf8(block).unwrap();
    text.lines()
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (
                name.parse::<http::HeaderName>().unwrap(),
                value.trim().parse().unwrap(),
            )
        })
        .collect()
}
