//! The answer of gRPC in JSON: one message, or one a line.

use axum::{body::Body, response::Response};
use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, stream};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use orderflow_contract::status;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use tonic::{Code, Status};

use super::status::{json, to_json};

/// The largest message that is turned into JSON.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Fields that have no presence are there with their default values, so that a client reads `"stock": "0"` and no guess.
const OPTIONS: SerializeOptions = SerializeOptions::new().skip_default_fields(false);

/// One message. Read to its end before anything is said, since the error comes last.
pub(crate) async fn one(response: Response, of: MessageDescriptor) -> Result<Response, Status> {
    let mut messages = Messages::new(response)?;
    let message = messages.next().await?;
    // What comes after it is its status.
    match (message, messages.next().await?) {
        (Some(message), None) => Ok(json(StatusCode::OK, encode(message, &of)?)),
        _ => Err(malformed("not one message")),
    }
}

/// One message a line, each as soon as it is there. A failure in the middle is the last line, `{"error": ...}`: what comes
/// without one has come to its end.
pub(crate) fn lines(response: Response, of: MessageDescriptor) -> Result<Response, Status> {
    let messages = Messages::new(response)?;
    let mut response = json(StatusCode::OK, Body::from_stream(each_line(messages, of)));
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, ndjson);
    Ok(response)
}

fn each_line(
    messages: Messages,
    of: MessageDescriptor,
) -> impl Stream<Item = Result<Vec<u8>, Status>> {
    stream::unfold(Some((messages, of)), |state| async {
        let (mut messages, of) = state?;
        let line = match messages.next().await {
            Ok(Some(message)) => encode(message, &of),
            Ok(None) => return None,
            Err(status) => Err(status),
        };
        let (mut line, state) = match line {
            Ok(line) => (line, Some((messages, of))),
            Err(status) => {
                let error = serde_json::json!({ "error": to_json(&status) });
                (error.to_string().into_bytes(), None)
            }
        };
        line.push(b'\n');
        Some((Ok(line), state))
    })
}

pub(super) fn encode(message: Bytes, of: &MessageDescriptor) -> Result<Vec<u8>, Status> {
    let message = DynamicMessage::decode(of.clone(), message).map_err(|e| status::internal(&e))?;
    let mut json = serde_json::Serializer::new(Vec::new());
    match message.serialize_with_options(&mut json, &OPTIONS) {
        Ok(()) => Ok(json.into_inner()),
        Err(error) => Err(status::internal(&error)),
    }
}

/// The messages of an answer, one after another.
struct Messages {
    body: Body,
    read: BytesMut,
    /// From the trailers, once they are there; from the headers, where there is nothing else.
    status: Option<Status>,
}

impl Messages {
    /// An answer of headers alone is an error, if it is one, before anything is sent on.
    fn new(response: Response) -> Result<Self, Status> {
        let (head, body) = response.into_parts();
        let status = Status::from_header_map(&head.headers);
        match status {
            Some(status) if status.code() != Code::Ok => Err(status),
            _ if head.status != StatusCode::OK => Err(malformed("not gRPC")),
            status => Ok(Self {
                body,
                read: BytesMut::new(),
                status,
            }),
        }
    }

    /// `None` after the last one of those that ended well.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = take_message(&mut self.read)? {
                return Ok(Some(message));
            }
            let Some(frame) = self.body.frame().await else {
                return self.end();
            };
            let frame = frame.map_err(|error| status::internal(&error))?;
            match frame.into_data() {
                Ok(data) => self.read.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    self.status = Status::from_header_map(&trailers);
                    return self.end();
                }
            }
        }
    }

    fn end(&mut self) -> Result<Option<Bytes>, Status> {
        match self.status.clone() {
            None => Err(malformed("no status")),
            Some(status) if status.code() != Code::Ok => Err(status),
            Some(_) if !self.read.is_empty() => Err(malformed("half a message")),
            Some(_) => Ok(None),
        }
    }
}

/// The next message, if all of it is there.
fn take_message(read: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let [flag, a, b, c, d, ..] = **read else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if flag != 0 {
        return Err(malformed("compressed, and nobody asked for it"));
    }
    if length > MAX_MESSAGE_BYTES {
        return Err(too_large());
    }
    if read.len() < 5 + length {
        return Ok(None);
    }
    read.advance(5);
    Ok(Some(read.split_to(length).freeze()))
}

fn too_large() -> Status {
    status::error(
        Code::ResourceExhausted,
        "ANSWER_TOO_LARGE",
        format!(
            "a message of the answer has more than {MAX_MESSAGE_BYTES} bytes: ask for less at once"
        ),
    )
}

fn malformed(what: &'static str) -> Status {
    #[derive(Debug, thiserror::Error)]
    #[error("an upstream's answer is {0}")]
    struct Malformed(&'static str);
    status::internal(&Malformed(what))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt, channel::mpsc};
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use orderflow_proto::{catalog::v1::Product, money::v1::Money};
    use prost::Message;
    use serde_json::{Value, json};

    use super::*;

    fn product() -> MessageDescriptor {
        orderflow_proto::descriptors()
            .get_message_by_name("orderflow.catalog.v1.Product")
            .unwrap()
    }

    fn framed(product: &Product) -> Bytes {
        let message = product.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &message].concat().into()
    }

    fn named(name: &str) -> Bytes {
        framed(&Product {
            name: name.to_owned(),
            ..Product::default()
        })
    }

    fn trailers(status: &Status) -> Frame<Bytes> {
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).unwrap();
        Frame::trailers(trailers)
    }

    fn ok() -> Frame<Bytes> {
        trailers(&Status::new(Code::Ok, ""))
    }

    fn missing() -> Status {
        status::not_found("NOT_THERE", "not there")
    }

    fn response(frames: Vec<Frame<Bytes>>) -> Response {
        let frames = frames.into_iter().map(Ok::<_, Infallible>);
        Response::new(Body::new(StreamBody::new(stream::iter(frames))))
    }

    /// The answer to a unary call.
    async fn unary(response: Response) -> Result<Value, Code> {
        match one(response, product()).await {
            Ok(response) => {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                Ok(serde_json::from_slice(&body).unwrap())
            }
            Err(status) => Err(status.code()),
        }
    }

    #[tokio::test]
    async fn a_message_is_canonical_json_with_its_defaults() {
        let tea = Product {
            id: "p".to_owned(),
            price: Some(Money {
                currency_code: "TRY".to_owned(),
                minor_units: i64::MAX,
            }),
            create_time: Some(prost_types::Timestamp {
                seconds: 1_780_000_000,
                nanos: 500_000_000,
            }),
            ..Product::default()
        };
        let answer = unary(response(vec![Frame::data(framed(&tea)), ok()])).await;
        assert_eq!(
            answer,
            Ok(json!({
                "id": "p", "name": "", "description": "", "price": {"currencyCode": "TRY", "minorUnits": "9223372036854775807"},
                "stock": "0", "ownerId": "", "createTime": "2026-05-28T20:26:40.500Z", "etag": "",
            }))
        );
    }

    #[tokio::test]
    async fn the_error_counts_wherever_it_comes() {
        let headers_alone = missing().into_http();
        let late = response(vec![Frame::data(named("tea")), trailers(&missing())]);
        let without_message = response(vec![trailers(&missing())]);
        for response in [headers_alone, late, without_message] {
            assert_eq!(unary(response).await, Err(Code::NotFound));
        }
    }

    #[tokio::test]
    async fn what_is_not_one_message_is_nobody_elses_fault() {
        let cut = |bytes: Bytes| Frame::data(bytes.slice(..bytes.len() - 1));
        let compressed = Frame::data(Bytes::from_static(b"\x01\0\0\0\0"));
        let garbage = Frame::data(Bytes::from_static(b"\0\0\0\0\x01\xff"));
        for frames in [
            vec![],
            vec![ok()],
            vec![Frame::data(named("tea"))],
            vec![cut(named("tea")), ok()],
            vec![Frame::data(named("tea")), Frame::data(named("tea")), ok()],
            vec![compressed, ok()],
            vec![garbage, ok()],
        ] {
            assert_eq!(unary(response(frames)).await, Err(Code::Internal));
        }
        let mut no_grpc = response(vec![Frame::data(named("tea")), ok()]);
        *no_grpc.status_mut() = StatusCode::BAD_GATEWAY;
        assert_eq!(unary(no_grpc).await, Err(Code::Internal));
        let too_large = Frame::data(Bytes::from_static(b"\0\x7f\xff\xff\xff"));
        let too_large = unary(response(vec![too_large])).await;
        assert_eq!(too_large, Err(Code::ResourceExhausted));
    }

    #[tokio::test]
    async fn each_message_is_a_line_as_soon_as_it_is_there() {
        let (sender, receiver) = mpsc::unbounded();
        let body = Body::new(StreamBody::new(receiver.map(Ok::<_, Infallible>)));
        let response = lines(Response::new(body), product()).unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-ndjson");
        let mut body = response.into_body().into_data_stream();
        let mut line = async || {
            let line = body.next().await?.unwrap();
            assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
            Some(serde_json::from_slice::<Value>(&line).unwrap())
        };
        let send = |frame| sender.unbounded_send(frame).unwrap();

        send(Frame::data(named("one\n")));
        assert_eq!(line().await.unwrap()["name"], "one\n");
        // Cut and glued as the network likes.
        let more = [named("two"), named("three")].concat();
        for byte in more.chunks(1) {
            send(Frame::data(Bytes::copy_from_slice(byte)));
        }
        assert_eq!(line().await.unwrap()["name"], "two");
        assert_eq!(line().await.unwrap()["name"], "three");
        send(trailers(&missing()));
        let error = line().await.unwrap();
        assert_eq!(error["error"]["code"], 5);
        assert_eq!(error["error"]["details"][0]["reason"], "NOT_THERE");
        assert_eq!(line().await, None);
    }

    #[tokio::test]
    async fn a_stream_that_ends_well_ends_with_its_last_message() {
        let frames = vec![Frame::data(named("tea")), ok()];
        let response = lines(response(frames), product()).unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 1);
        // One that was refused before it began is an error of HTTP.
        assert!(lines(missing().into_http(), product()).is_err());
        // One that breaks off says so.
        let response = lines(self::response(vec![Frame::data(named("tea"))]), product()).unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"}}\n"), "{body:?}");
        assert!(String::from_utf8_lossy(&body).contains("\n{\"error\":{\"code\":13,"));
    }
}
