//! What the contract says that a field may hold is what the services take: at each limit, and not past it.

use bytes::{Buf, BufMut};
use orderflow_proto::options::v1::Field as Rule;
use orderflow_testkit::{Bearer, Refusal, World};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    service::interceptor::InterceptedService,
    transport::Channel,
};

#[tokio::test]
async fn services_take_what_the_contract_says() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let channel = InterceptedService::new(ada.channel.clone(), Bearer::new(&ada.token));
    let mut limits = 0;
    for service in orderflow_proto::descriptors().services() {
        for method in service.methods() {
            if orderflow_proto::is_internal(&method) || method.is_server_streaming() {
                continue;
            }
            let request = method.input();
            for limit in limits_of(&request, &Place::default()) {
                limits += 1;
                for (value, is_taken) in [(&limit.at, true), (&limit.past, false)] {
                    let mut sent = example(&request);
                    limit.place.set(&mut sent, value.clone());
                    let wrong = wrong_fields(&channel, &method, &sent).await;
                    assert_eq!(
                        !wrong.contains(&limit.named),
                        is_taken,
                        "{}: {} of {sent} against {wrong:?}",
                        method.full_name(),
                        limit.named,
                    );
                }
            }
        }
    }
    assert!(limits > 50, "only {limits} limits were found");
}

/// What a field may just hold, and what it may not.
struct Limit {
    place: Place,
    /// As a violation calls it.
    named: String,
    at: Option<Value>,
    past: Option<Value>,
}

/// Where a field is in a request: the way through its JSON, and its name in errors.
#[derive(Clone, Default)]
struct Place {
    pointer: String,
    json_name: String,
    named: String,
}

impl Place {
    /// A field of the message that is here.
    fn field(&self, field: &FieldDescriptor) -> Self {
        let dot = if self.named.is_empty() { "" } else { "." };
        Self {
            pointer: self.inside(),
            json_name: field.json_name().to_owned(),
            named: format!("{}{dot}{}", self.named, field.name()),
        }
    }

    /// The first of the messages that are here.
    fn first(&self) -> Self {
        Self {
            pointer: self.inside(),
            json_name: "0".to_owned(),
            named: format!("{}[0]", self.named),
        }
    }

    fn inside(&self) -> String {
        match self.json_name.as_str() {
            "" => String::new(),
            name => format!("{}/{name}", self.pointer),
        }
    }

    fn set(&self, request: &mut Value, value: Option<Value>) {
        let holder = request.pointer_mut(&self.pointer).unwrap();
        let holder = holder.as_object_mut().unwrap();
        match value {
            Some(value) => _ = holder.insert(self.json_name.clone(), value),
            None => _ = holder.remove(&self.json_name),
        }
    }
}

fn limits_of(message: &MessageDescriptor, here: &Place) -> Vec<Limit> {
    let mut limits = Vec::new();
    for field in message.fields() {
        let rule = orderflow_proto::field(&field);
        if rule.output_only {
            continue;
        }
        let place = here.field(&field);
        let mut limit = |at, past| {
            limits.push(Limit {
                place: place.clone(),
                named: place.named.clone(),
                at: Some(at),
                past,
            });
        };
        if rule.required {
            limit(value(&field), None);
        }
        if let Some(max) = rule.max_items {
            let items = |n| Value::Array(vec![item(&field); n]);
            limit(items(max as usize), Some(items(max as usize + 1)));
        }
        let text = |length: u32| json!("n".repeat(length as usize));
        for max in [rule.max_length, rule.max_bytes].into_iter().flatten() {
            limit(text(max), Some(text(max + 1)));
        }
        for min in [rule.min_length, rule.min_bytes].into_iter().flatten() {
            limit(text(min), Some(text(min - 1)));
        }
        let bounds = [(rule.min, -1), (rule.max, 1)];
        let bounds = bounds.map(|(bound, step)| Some((bound?, bound? + step)));
        match submessage(&field) {
            None => {
                for (at, past) in bounds.into_iter().flatten() {
                    limit(json!(at), Some(json!(past)));
                }
            }
            Some(inner) => {
                let place = if field.is_list() {
                    place.first()
                } else {
                    place
                };
                if let Some(amount) = inner.get_field_by_name("minor_units") {
                    let amount = place.field(&amount);
                    for (at, past) in bounds.into_iter().flatten() {
                        limits.push(Limit {
                            named: amount.named.clone(),
                            place: amount.clone(),
                            at: Some(json!(at)),
                            past: Some(json!(past)),
                        });
                    }
                }
                limits.extend(limits_of(&inner, &place));
            }
        }
    }
    limits
}

/// A request with something in every field that has an example or holds others.
fn example(message: &MessageDescriptor) -> Value {
    let fields = message.fields().filter(|field| {
        let Rule {
            output_only,
            example,
            ..
        } = orderflow_proto::field(field);
        !output_only && (!example.is_empty() || submessage(field).is_some())
    });
    let pairs = fields.map(|field| (field.json_name().to_owned(), value(&field)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// Something that a field may hold.
fn value(field: &FieldDescriptor) -> Value {
    match field.is_list() {
        true => json!([item(field)]),
        false => item(field),
    }
}

fn item(field: &FieldDescriptor) -> Value {
    let rule = orderflow_proto::field(field);
    match submessage(field) {
        Some(inner) => example(&inner),
        None if rule.example.is_empty() => json!("0".repeat(32)),
        None => serde_json::from_str(&rule.example).unwrap(),
    }
}

/// The message in a field, unless JSON has a form of its own for it.
fn submessage(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) => (message.package_name() != "google.protobuf").then_some(message),
        _ => None,
    }
}

/// The fields that the service finds fault with.
async fn wrong_fields(
    channel: &InterceptedService<Channel, Bearer>,
    method: &MethodDescriptor,
    request: &Value,
) -> Vec<String> {
    let message = DynamicMessage::deserialize(method.input(), request).unwrap();
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let request = Request::new(prost::Message::encode_to_vec(&message));
    match client.unary(request, path.parse().unwrap(), Bytes).await {
        Ok(_) => Vec::new(),
        Err(status) => {
            let refusal = Refusal::of(Err::<(), _>(status));
            assert_ne!(refusal.code, Code::Internal, "{refusal:?}");
            refusal.fields
        }
    }
}

/// Sends bytes as they are and throws the answer away.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}
