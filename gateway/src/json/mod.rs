//! HTTP/JSON: what `google.api.http` in the contract says, and nothing else. A request becomes one of gRPC, goes the way of
//! all of them, and its answer comes back as JSON.

mod answer;
mod body;
#[cfg(test)]
mod contract;
mod field;
mod message;
mod query;
mod request;
#[cfg(test)]
mod round_trip;
mod routes;
mod status;
mod template;
mod text;

use std::pin::pin;

use axum::{extract::Request, response::Response};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Version,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TE},
};
use orderflow_contract::status::error;
use prost_reflect::DescriptorPool;
use tonic::{Code, Status};

use crate::message::{framed, in_time};
use routes::{Found, Routes};
use template::Path;

pub(crate) use field::{FieldPath, is_well_known};
pub use routes::Unsupported;
pub(crate) use routes::{Binding, Body, bindings};
pub(crate) use status::to_http;
pub(crate) use template::Segment;

/// Answers calls in JSON.
pub(crate) struct Json {
    routes: Routes,
}

/// Why there is no call, or no answer to it.
pub(crate) struct Refused {
    http: StatusCode,
    status: Status,
}

impl Json {
    /// Reads the contract, once.
    pub(crate) fn new(pool: &DescriptorPool) -> Result<Self, Unsupported> {
        Ok(Self {
            routes: Routes::read(pool)?,
        })
    }

    /// Makes the call that a request means, by way of `call`.
    pub(crate) async fn call<F>(
        &self,
        request: Request,
        call: impl FnOnce(Request) -> F,
    ) -> Response
    where
        F: Future<Output = Response>,
    {
        let raw = request.uri().path().to_owned();
        let path = Path::parse(&raw);
        let (binding, captures) = match self.routes.find(request.method(), &raw, &path) {
            Found::Call(binding, captures) => (binding, captures),
            Found::Other(verbs) => return wrong_verb(&verbs),
            Found::Grpc if request.method() == Method::POST => return no_grpc(),
            Found::Grpc => return wrong_verb(&[&Method::POST]),
            Found::Nothing => return nothing(),
        };
        let is_head = request.method() == Method::HEAD;
        let answer = match grpc(binding, &captures, request).await {
            Ok(request) => answer(binding, call(request).await).await,
            Err(refused) => status::with_http(refused.http, &refused.status),
        };
        match is_head {
            true => answer.map(|_| axum::body::Body::empty()),
            false => answer,
        }
    }
}

/// The same call in gRPC.
async fn grpc(
    binding: &Binding,
    captures: &[(&field::FieldPath, &[u8])],
    request: Request,
) -> Result<Request, Refused> {
    let (mut head, body) = request.into_parts();
    let body = in_time(pin!(body::read(&head.headers, body))).await??;
    let message = request::read(binding, captures, head.uri.query(), &head.headers, &body)
        .map_err(Status::from)?;

    head.method = Method::POST;
    head.version = Version::HTTP_2;
    head.uri = binding.path().parse().expect("names are paths");
    set_headers(&mut head.headers);
    Ok(Request::from_parts(head, framed(&message).into()))
}

fn set_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    // These were about JSON, or let the answer be compressed.
    for name in [
        CONTENT_LENGTH.as_str(),
        CONTENT_ENCODING.as_str(),
        "grpc-encoding",
        "grpc-accept-encoding",
    ] {
        headers.remove(name);
    }
}

async fn answer(binding: &Binding, response: Response) -> Response {
    let of = binding.method.output();
    let answer = match binding.method.is_server_streaming() {
        true => answer::lines(response, of),
        false => answer::one(response, of).await,
    };
    answer.unwrap_or_else(|status| status::to_http(&status))
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self {
            http: status::http(status.code()),
            status,
        }
    }
}

fn nothing() -> Response {
    status::to_http(&error(
        Code::NotFound,
        "UNKNOWN_PATH",
        "there is nothing under this path",
    ))
}

fn no_grpc() -> Response {
    const MESSAGE: &str =
        "under this path the content type is application/grpc or application/grpc-web";
    let status = error(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", MESSAGE);
    status::with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE, &status)
}

fn wrong_verb(known: &[&Method]) -> Response {
    let mut names: Vec<_> = known.iter().map(|verb| verb.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    let names = names.join(", ");
    let message = format!("this path takes {names}");
    let status = error(Code::Unimplemented, "METHOD_NOT_ALLOWED", message);
    let mut response = status::with_http(StatusCode::METHOD_NOT_ALLOWED, &status);
    let allow = HeaderValue::try_from(names).expect("names of methods");
    response.headers_mut().insert(ALLOW, allow);
    response
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use axum::body::Body;
    use bytes::Bytes;
    use futures::{StreamExt, channel::mpsc};
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    const CONTRACT: &str = r#"syntax = "proto3"; package test; import "google/api/annotations.proto";
        message M { string id = 1; repeated int64 list = 2; }
        service S { rpc Watch(M) returns (stream M) { option (google.api.http) = {get: "/watch/{id}"}; } }"#;

    /// `list: [1]`, then `list: [2]`.
    const MESSAGES: [&[u8]; 2] = [b"\0\0\0\0\x03\x12\x01\x01", b"\0\0\0\0\x03\x12\x01\x02"];

    #[tokio::test]
    async fn a_stream_is_lines_while_it_lasts() {
        let (sender, receiver) = mpsc::unbounded();
        let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
        let upstream = move |request: Request| async move {
            assert_eq!(request.uri(), "/test.S/Watch");
            assert_eq!(request.method(), Method::POST);
            assert_eq!(request.version(), Version::HTTP_2);
            assert_eq!(request.headers()[CONTENT_TYPE], "application/grpc");
            assert!(!request.headers().contains_key("grpc-accept-encoding"));
            let body = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(&body[..], b"\0\0\0\0\x06\x0a\x01w\x12\x01\x05");
            let receiver = receiver.lock().unwrap().take().unwrap();
            Response::new(Body::new(StreamBody::new(
                receiver.map(Ok::<_, Infallible>),
            )))
        };
        let json = Json::new(&contract::compile(CONTRACT)).unwrap();
        let request = Request::get("/watch/w?list=5")
            .header("grpc-accept-encoding", "gzip")
            .body(Body::empty())
            .unwrap();
        let response = json.call(request, upstream).await;
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-ndjson");
        let mut lines = response.into_body().into_data_stream();
        for (message, list) in MESSAGES.into_iter().zip(["1", "2"]) {
            // Nothing more has been sent when its line is here.
            let data = Frame::data(Bytes::from_static(message));
            sender.unbounded_send(data).unwrap();
            let line = lines.next().await.unwrap().unwrap();
            assert_eq!(line, format!("{{\"id\":\"\",\"list\":[\"{list}\"]}}\n"));
        }
        let ok = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
        sender.unbounded_send(Frame::trailers(ok)).unwrap();
        assert!(lines.next().await.is_none());
        // Whoever leaves, leaves the service too.
        drop(lines);
        assert!(sender.is_closed());
    }
}
