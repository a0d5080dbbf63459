//! Calls that ask for one thing each, and come at the same time, go on as one call for several.
//!
//! A shortcut and no more: whoever gets nothing this way makes its own call, as if there were none. So whatever is wrong, the service says so
//! itself, to each caller alone.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use orderflow_batch::{Batcher, Limits, Turn};
use orderflow_contract::{
    Id,
    deadline::Deadline,
    trace::{Call, TraceId},
};
use orderflow_proto::{auth, batched_by, field, has_no_side_effects, options::v1::Access, path};
use orderflow_upstream::Upstream;
use prost::Message;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::{
    Error,
    message::{framed, unframed},
    relay::{attempts, unavailable},
    upstream::Method,
};

static GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long a caller waits for an answer about several before it asks alone, if its own time is not shorter.
const PATIENCE: Duration = Duration::from_millis(250);
/// The next batch sets out when the one before it is answered, or as many wait as that one has, or when it is late by so much: a
/// replica that fell silent must not hold up those who could ask another.
const LATE: Duration = Duration::from_millis(20);
/// More than can be late at the same time.
const LANES: usize = 16;
/// How long all calls go on one by one after a batch that failed: a service in trouble is not to be asked twice.
const ALONE_FOR: Duration = Duration::from_secs(2);

/// The way on for the calls of a method that `batched_by` is said of.
pub(crate) struct Batched {
    batcher: Batcher<Wanted, Option<Bytes>>,
    several: Arc<Several>,
}

/// A call for one.
struct Wanted {
    id: Id,
    call: Call,
}

/// The method that asks for several.
struct Several {
    method: Method,
    path: String,
    /// When it last failed.
    failed: Mutex<Option<Instant>>,
}

impl Batched {
    /// None for a method whose calls go on one by one. An error where the contract says otherwise of one that cannot be batched.
    pub(crate) fn read(one: &MethodDescriptor, upstream: &Upstream) -> Result<Option<Self>, Error> {
        let Some(name) = batched_by(one) else {
            return Ok(None);
        };
        let several = one
            .parent_service()
            .methods()
            .find(|several| several.name() == name && fit(one, several))
            .ok_or_else(|| Error::Unbatchable(one.full_name().to_owned()))?;
        let ids = several.input().get_field(1).expect("it fits");
        let items = field(&ids).max_items;
        let items = items.map_or(Limits::LOOKUPS.items, |items| items as usize);
        let limits = Limits {
            name: "edge",
            lanes: LANES,
            items,
            ..Limits::LOOKUPS
        };
        let several = Arc::new(Several {
            method: Method {
                upstream: upstream.clone(),
                is_idempotent: true,
                streams_answers: false,
                batched: None,
            },
            path: path(&several),
            failed: Mutex::default(),
        });
        let runs = several.clone();
        let run = move |wanted, turn| runs.clone().run(wanted, turn);
        let batcher = Batcher::start(limits, run);
        Ok(Some(Self { batcher, several }))
    }

    /// The answer to a call with these headers and this message, if it is found together with others. A call that is alone goes on as it came.
    pub(crate) async fn answer(
        &self,
        headers: &HeaderMap,
        message: &Bytes,
        deadline: Option<Deadline>,
    ) -> Option<Response> {
        let encoding = headers.get("grpc-encoding");
        if encoding.is_some_and(|encoding| encoding != "identity") || self.several.is_failing() {
            return None;
        }
        let wanted = Wanted {
            id: asked_for(message)?,
            call: Call::current()?,
        };
        // Half of its time is left to ask alone.
        let patience = PATIENCE.min(deadline?.left() / 2);
        let found = timeout(patience, self.batcher.submit(wanted, 1)).await;
        let found = found.ok()?.ok()??;

        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(Code::Ok as i32));
        let frames = [Frame::data(found), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
        let mut response = Response::new(Body::new(StreamBody::new(stream::iter(frames))));
        response.headers_mut().insert(CONTENT_TYPE, GRPC.clone());
        Some(response)
    }
}

impl Several {
    async fn run(
        self: Arc<Self>,
        wanted: Vec<Wanted>,
        turn: Turn<Wanted, Option<Bytes>>,
    ) -> Vec<Option<Bytes>> {
        let [first, _, ..] = &wanted[..] else {
            return vec![None; wanted.len()];
        };
        // For the log, all of it is for the sake of the first.
        let mut asking = pin!(first.call.clone().scope(self.try_ask(&wanted)));
        let found = match timeout(LATE, turn.during(asking.as_mut(), wanted.len())).await {
            Ok(found) => found,
            Err(_) => asking.await,
        };
        let answer = |wanted: &Wanted| found.get(&wanted.id).cloned();
        wanted.iter().map(answer).collect()
    }

    fn is_failing(&self) -> bool {
        let failed = *self.failed.lock().expect("no holder panics");
        failed.is_some_and(|failed| failed.elapsed() < ALONE_FOR)
    }

    /// The answers about those that there are, or none.
    async fn try_ask(&self, wanted: &[Wanted]) -> HashMap<Id, Bytes> {
        self.ask(wanted).await.unwrap_or_else(|status| {
            let (code, message) = (status.code(), status.message());
            tracing::debug!(?code, message, "no answer about several");
            *self.failed.lock().expect("no holder panics") = Some(Instant::now());
            HashMap::new()
        })
    }

    /// The answers about those that there are, each as if it had been asked for alone.
    async fn ask(&self, wanted: &[Wanted]) -> Result<HashMap<Id, Bytes>, Status> {
        let mut ids: Vec<_> = wanted.iter().map(|wanted| wanted.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let ids = ids.iter().map(Id::to_string).collect();

        let deadline = Deadline::for_caller(PATIENCE);
        let message = framed(&GetSeveral { ids });
        let answer = pin!(self.call(&message, deadline));
        let answer = deadline.limit(answer).await??;
        let things = unframed(&answer).and_then(|answer| Things::decode(answer).ok());
        let things =
            things.ok_or_else(|| Status::internal("another answer than the contract's"))?;
        let answer = |thing: Bytes| {
            let GetOne { id } = GetOne::decode(&thing[..]).ok()?;
            Some((id.parse().ok()?, framed(&Thing { thing })))
        };
        Ok(things.things.into_iter().filter_map(answer).collect())
    }

    async fn call(&self, message: &Bytes, deadline: Deadline) -> Result<Bytes, Status> {
        let trace_id = TraceId::current().unwrap_or_else(TraceId::random);
        let trace = HeaderValue::from_bytes(&trace_id.to_traceparent());
        let mut trace = trace.expect("hexadecimal digits");
        // It never comes again.
        trace.set_sensitive(true);
        let request = Request::post(&self.path)
            .header(CONTENT_TYPE, &GRPC)
            .header(&TRACEPARENT, trace)
            .body(());
        let (head, ()) = request.expect("a path of the contract").into_parts();
        let answer = attempts(&self.method, &head, message, Some(deadline)).await?;
        let (head, body) = answer.into_parts();
        let lost = |error| unavailable(self.method.upstream.name(), Some(trace_id), &error);
        let body = body.collect().await.map_err(lost)?;
        let status = body.trailers().unwrap_or(&head.headers);
        match Status::from_header_map(status) {
            Some(status) if status.code() == Code::Ok => Ok(body.to_bytes()),
            status => Err(status.unwrap_or_else(|| Status::internal("no status"))),
        }
    }
}

/// Whether `several` asks for many of what `one` asks for: by ids in place of an id, and for the same things, each with its id in front.
/// Both of them only look things up, and for everybody alike.
fn fit(one: &MethodDescriptor, several: &MethodDescriptor) -> bool {
    let looks_up = |method: &MethodDescriptor| {
        let is_public = auth(method).is_some_and(|auth| auth.access() == Access::Public);
        is_public && has_no_side_effects(method) && !method.is_server_streaming()
    };
    let is_text = |field: &FieldDescriptor| field.kind() == Kind::String;
    let asks = |message: MessageDescriptor, for_several: bool| {
        let id = message.get_field(1).filter(is_text);
        message.fields().len() == 1 && id.is_some_and(|id| id.is_list() == for_several)
    };
    let thing = |message: MessageDescriptor, of_several: bool| {
        let thing = message
            .get_field(1)
            .filter(|thing| thing.is_list() == of_several)?;
        let thing = thing.kind().as_message()?.clone();
        thing.get_field(1).filter(is_text).map(|_| thing)
    };
    let found = thing(one.output(), false);
    looks_up(one)
        && looks_up(several)
        && asks(one.input(), false)
        && asks(several.input(), true)
        && one.output().fields().len() == 1
        && found.is_some()
        && found == thing(several.output(), true)
}

/// The id in a request for one, where it has nothing else to say.
fn asked_for(message: &Bytes) -> Option<Id> {
    let message = unframed(message)?;
    let one = GetOne::decode(&message[..]).ok()?;
    let is_all = one.encoded_len() == message.len();
    one.id.parse().ok().filter(|_| is_all)
}

/// The request for one, and the beginning of a thing.
#[derive(Clone, PartialEq, Message)]
struct GetOne {
    #[prost(string, tag = "1")]
    id: String,
}

/// The request for several.
#[derive(Clone, PartialEq, Message)]
struct GetSeveral {
    #[prost(string, repeated, tag = "1")]
    ids: Vec<String>,
}

/// The answer about one. The thing is not decoded.
#[derive(Clone, PartialEq, Message)]
struct Thing {
    #[prost(bytes = "bytes", tag = "1")]
    thing: Bytes,
}

/// The answer about several, without what it says of those that there are not.
#[derive(Clone, PartialEq, Message)]
struct Things {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    things: Vec<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(name: &str) -> MethodDescriptor {
        let mut methods = orderflow_proto::methods(orderflow_proto::descriptors());
        methods.find(|method| method.name() == name).unwrap()
    }

    #[test]
    fn messages_must_be_made_for_it() {
        let fits = |one, several| fit(&method(one), &method(several));
        assert!(fits("GetProduct", "BatchGetProducts"));
        // For one, for other things, of one's own, and of those that change something.
        assert!(!fits("GetProduct", "GetProduct"));
        assert!(!fits("GetProduct", "ListProducts"));
        assert!(!fits("BatchGetProducts", "BatchGetProducts"));
        assert!(!fits("GetOrder", "BatchGetProducts"));
        assert!(!fits("GetOrder", "ListOrders"));
        assert!(!fits("DeleteProduct", "BatchGetProducts"));
    }

    #[test]
    fn what_asks_for_anything_else_goes_on_as_it_came() {
        let id = Id::random();
        let of = |id: String| framed(&GetOne { id });
        let plain = of(id.to_string());
        assert_eq!(asked_for(&plain), Some(id));

        assert_eq!(asked_for(&Bytes::new()), None);
        assert_eq!(asked_for(&plain.slice(..plain.len() - 1)), None);
        assert_eq!(asked_for(&of("no id".to_owned())), None);
        assert_eq!(asked_for(&framed(&GetSeveral { ids: Vec::new() })), None);
        let ids = vec![id.to_string(); 2];
        assert_eq!(asked_for(&framed(&GetSeveral { ids })), None);
        let compressed = [&[1], &plain[1..]].concat();
        assert_eq!(asked_for(&compressed.into()), None);

        #[derive(Clone, PartialEq, Message)]
        struct Newer {
            #[prost(string, tag = "1")]
            id: String,
            #[prost(bool, tag = "2")]
            withdrawn_too: bool,
        }
        let newer = Newer {
            id: id.to_string(),
            withdrawn_too: true,
        };
        assert_eq!(asked_for(&framed(&newer)), None);
    }
}
