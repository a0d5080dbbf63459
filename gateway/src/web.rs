//! What HTTP asks for before it is gRPC: the kind of call, and what is no call.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{ACCEPT, ALLOW, CONTENT_TYPE},
};
use http_body::Frame;
use tonic::Status;
use tonic_web::GrpcWebLayer;
use tower::{Layer, ServiceExt, service_fn};

use crate::json;

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Grpc,
    Web,
    /// In base64.
    WebText,
}

/// What a request is.
pub(crate) enum Kind {
    /// A call as services know it.
    Grpc,
    /// One that has to be made so.
    Web(GrpcWeb),
    /// Everything else.
    Json,
}

/// A call of gRPC-Web.
pub(crate) struct GrpcWeb(Protocol);

/// Why a request is no call although its content type says so.
pub(crate) enum NoCall {
    NoPost,
    NoHttp2,
}

/// Tells the kinds of calls apart.
pub(crate) fn kind(request: &Request) -> Result<Kind, NoCall> {
    let Some(protocol) = Protocol::named_in(request.headers(), &CONTENT_TYPE) else {
        return Ok(Kind::Json);
    };
    if request.method() != Method::POST {
        return Err(NoCall::NoPost);
    }
    match protocol {
        Protocol::Grpc if request.version() == Version::HTTP_2 => Ok(Kind::Grpc),
        Protocol::Grpc => Err(NoCall::NoHttp2),
        Protocol::Web | Protocol::WebText => Ok(Kind::Web(GrpcWeb(protocol))),
    }
}

impl IntoResponse for NoCall {
    fn into_response(self) -> Response {
        match self {
            Self::NoPost => (
                StatusCode::METHOD_NOT_ALLOWED,
                [(ALLOW, "POST")],
                "calls are made by POST\n",
            )
                .into_response(),
            Self::NoHttp2 => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "gRPC takes HTTP/2; over HTTP/1.1 there is gRPC-Web\n",
            )
                .into_response(),
        }
    }
}

impl GrpcWeb {
    /// Makes the call, by way of `grpc`. tonic-web understands only the exact names of content types.
    pub(crate) async fn call<F>(self, mut request: Request, grpc: impl Fn(Request) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        let answer = self.0.of_answer(request.headers());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, self.0.content_type());
        headers.insert(ACCEPT, answer.content_type());
        let grpc = service_fn(|request: http::Request<tonic::body::Body>| {
            let called = grpc(request.map(Body::new));
            async { Ok::<_, Infallible>(called.await) }
        });
        let Ok(response) = GrpcWebLayer::new().layer(grpc).oneshot(request).await;
        response.map(|body| Body::new(FramesOnly(Body::new(body))))
    }
}

/// An error in the form of the call that it answers, from where nothing has been made gRPC yet.
pub(crate) fn refuse(headers: &HeaderMap, status: Status) -> Response {
    let Some(protocol) = Protocol::named_in(headers, &CONTENT_TYPE) else {
        return json::to_http(&status);
    };
    let mut response = status.into_http();
    let content_type = protocol.of_answer(headers).content_type();
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

impl Protocol {
    /// By the first name in a header, whatever its parameters.
    fn named_in(headers: &HeaderMap, header: &HeaderName) -> Option<Self> {
        let value = headers.get(header)?.to_str().ok()?;
        let name = value.split([';', ',']).next()?.trim();
        let is = |names: [&str; 2]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        if is(["application/grpc", "application/grpc+proto"]) {
            Some(Self::Grpc)
        } else if is(["application/grpc-web", "application/grpc-web+proto"]) {
            Some(Self::Web)
        } else if is([
            "application/grpc-web-text",
            "application/grpc-web-text+proto",
        ]) {
            Some(Self::WebText)
        } else {
            None
        }
    }

    /// How the answer comes: as it is asked for, or as the request did where that cannot be had.
    fn of_answer(self, headers: &HeaderMap) -> Self {
        match Self::named_in(headers, &ACCEPT) {
            Some(accepted) if accepted != Self::Grpc && self != Self::Grpc => accepted,
            _ => self,
        }
    }

    /// Its name as tonic-web knows it.
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Grpc => "application/grpc",
            Self::Web => "application/grpc-web+proto",
            Self::WebText => "application/grpc-web-text+proto",
        })
    }
}

/// A body of unknown size. tonic-web tells the size that it had before base64 and before the trailers went into it, and HTTP
/// would cut it there.
struct FramesOnly(Body);

impl http_body::Body for FramesOnly {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use futures::stream;
    use http_body_util::BodyExt;
    use proptest::{collection::vec, prelude::*};
    use tonic::Code;

    use super::*;
    use crate::message::Room;

    /// What a service gets of a body, and the code of the answer. The body comes in pieces.
    fn called(protocol: Protocol, body: &[u8], piece: usize) -> (Option<Bytes>, Code) {
        let pieces: Vec<_> = body.chunks(piece).map(Bytes::copy_from_slice).collect();
        let pieces = pieces.into_iter().map(Ok::<_, Status>);
        let request = Request::post("/a.B/C")
            .body(Body::from_stream(stream::iter(pieces)))
            .unwrap();
        let got = std::sync::Mutex::new(None);
        let room = Room::new();
        let grpc = async |request: Request| match room.read(request.into_body()).await {
            Ok(message) => {
                *got.lock().unwrap() = Some(message.bytes);
                Status::ok("").into_http()
            }
            Err(status) => status.into_http(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let response = runtime.unwrap().block_on(async {
            let response = GrpcWeb(protocol).call(request, grpc).await;
            assert_eq!(response.status(), StatusCode::OK);
            let headers = response.headers().clone();
            response.into_body().collect().await.unwrap();
            headers
        });
        let code = Status::from_header_map(&response).unwrap().code();
        (got.into_inner().unwrap(), code)
    }

    proptest! {
        #[test]
        fn a_message_comes_through_however_it_is_cut(message in vec(any::<u8>(), 0..300), piece in 1..64_usize) {
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            let frame = [&[0][..], &length, &message].concat();
            let whole = (Some(Bytes::from(frame.clone())), Code::Ok);
            prop_assert_eq!(called(Protocol::Web, &frame, piece), whole.clone());
            let text = BASE64_STANDARD.encode(&frame);
            prop_assert_eq!(called(Protocol::WebText, text.as_bytes(), piece), whole);
        }

        #[test]
        fn no_body_is_too_strange(
            body in vec(any::<u8>(), 0..300),
            text in "[A-Za-z0-9+/=]{0,200}",
            piece in 1..64_usize,
        ) {
            for (protocol, body) in [
                (Protocol::Web, &body[..]),
                (Protocol::WebText, &body[..]),
                (Protocol::WebText, text.as_bytes()),
            ] {
                let (_, code) = called(protocol, body, piece);
                prop_assert!(matches!(code, Code::Ok | Code::InvalidArgument | Code::ResourceExhausted), "{code:?}");
            }
        }
    }

    #[test]
    fn content_types() {
        let protocol = |value: &str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            Protocol::named_in(&headers, &CONTENT_TYPE)
        };
        assert_eq!(protocol("application/grpc"), Some(Protocol::Grpc));
        assert_eq!(protocol("application/grpc+proto"), Some(Protocol::Grpc));
        assert_eq!(
            protocol("application/grpc-web+proto; charset=utf-8"),
            Some(Protocol::Web)
        );
        assert_eq!(
            protocol("Application/gRPC-Web-Text"),
            Some(Protocol::WebText)
        );
        for other in [
            "",
            "application/json",
            "application/grpc+json",
            "application/grpcx",
        ] {
            assert_eq!(protocol(other), None, "{other}");
        }
    }
}
