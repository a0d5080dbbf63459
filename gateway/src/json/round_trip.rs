//! Any message there is, said over HTTP as the contract has it, is the same message again.

use http::{HeaderMap, Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::{
    collection::vec, option, prelude::*, sample::Index, sample::select, strategy::Union,
};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value, prost::Message,
};
use serde_json::{Map, Value as Json};

use super::{
    answer, request,
    routes::{Binding, Body, Found, Routes},
    template::Path,
};

proptest! {
    #[test]
    fn a_message_survives_http((binding, message) in any_call()) {
        let bytes = message.encode_to_vec();
        let json = answer::encode(bytes.clone().into(), &message.descriptor()).unwrap();
        let (uri, body) = said(&binding, serde_json::from_slice(&json).unwrap());

        let routes = Routes::read(orderflow_proto::descriptors()).unwrap();
        let path = Path::parse(uri.path());
        let Found::Call(found, captures) = routes.find(&binding.verb, uri.path(), &path) else {
            panic!("{} {uri} calls nothing", binding.verb);
        };
        prop_assert_eq!(found.method.full_name(), binding.method.full_name());
        let read = request::read(found, &captures, uri.query(), &HeaderMap::new(), &body);
        let read = read.map_err(|wrong| TestCaseError::fail(format!("{uri}: {:?}", wrong.violations())))?;
        prop_assert_eq!(read.encode_to_vec(), bytes);
    }

    #[test]
    fn whatever_is_said_is_a_message_or_wrong(
        (binding, message) in any_call(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        query in ".{0,40}",
    ) {
        let mut body = answer::encode(message.encode_to_vec().into(), &message.descriptor()).unwrap();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let captures: Vec<_> = binding.template.variables().map(|field| (field, &body[..])).collect();
        match request::read(&binding, &captures, Some(&query), &HeaderMap::new(), &body) {
            Ok(message) => prop_assert!(DynamicMessage::decode(message.descriptor(), &*message.encode_to_vec()).is_ok()),
            Err(invalid) => prop_assert!(!invalid.violations().is_empty()),
        }
    }
}

/// Some method, with a request for it that HTTP has a form for.
fn any_call() -> impl Strategy<Value = (Binding, DynamicMessage)> {
    let bindings = super::bindings(orderflow_proto::descriptors()).unwrap();
    Union::new(bindings.into_iter().map(|binding| {
        let sayable = {
            let binding = binding.clone();
            move |message: &DynamicMessage| is_sayable(&binding, message)
        };
        any_message(binding.method.input())
            .prop_map(named_by(&binding))
            .prop_filter("a mask that is there", sayable)
            .prop_map(move |message| (binding.clone(), message))
    }))
}

/// Gives a message a word in each field that the path has: nothing else can be said there.
fn named_by(binding: &Binding) -> impl Fn(DynamicMessage) -> DynamicMessage + use<> {
    let paths: Vec<_> = binding.template.variables().cloned().collect();
    move |mut message| {
        for path in &paths {
            let mut at = &mut message;
            let (last, outer) = path.fields().split_last().unwrap();
            for field in outer {
                at = at.get_field_mut(field).as_message_mut().unwrap();
            }
            if at.get_field(last).as_str().is_none_or(str::is_empty) {
                at.set_field(last, Value::String("a/b".to_owned()));
            }
        }
        message
    }
}

/// Of a PATCH whose mask is empty the fields in the body are the mask.
fn is_sayable(binding: &Binding, message: &DynamicMessage) -> bool {
    let is_patch = binding.verb == Method::PATCH && matches!(binding.body, Body::Field(_));
    !is_patch || message.has_field_by_name("update_mask")
}

fn any_message(of: MessageDescriptor) -> BoxedStrategy<DynamicMessage> {
    match of.full_name() {
        "google.protobuf.Timestamp" => {
            // 0001-01-01 to 9999-12-31.
            let any = (-62_135_596_800_i64..=253_402_300_799, 0..1_000_000_000);
            let set = move |(seconds, nanos)| {
                let mut time = DynamicMessage::new(of.clone());
                time.set_field_by_number(1, Value::I64(seconds));
                time.set_field_by_number(2, Value::I32(nanos));
                time
            };
            any.prop_map(set).boxed()
        }
        "google.protobuf.FieldMask" => {
            let paths = vec(
                select(&["name", "price.minor_units", "update_time"][..]),
                1..4,
            );
            let set = move |paths: Vec<&str>| {
                let mut mask = DynamicMessage::new(of.clone());
                let paths = paths.into_iter().map(|path| Value::String(path.to_owned()));
                mask.set_field_by_number(1, Value::List(paths.collect()));
                mask
            };
            paths.prop_map(set).boxed()
        }
        _ => {
            let fields: Vec<_> = of
                .fields()
                .map(|field| option::of(any_field(&field)))
                .collect();
            let set = move |values: Vec<Option<Value>>| {
                let mut message = DynamicMessage::new(of.clone());
                for (field, value) in of.fields().zip(values) {
                    if let Some(value) = value {
                        message.set_field(&field, value);
                    }
                }
                message
            };
            fields.prop_map(set).boxed()
        }
    }
}

fn any_field(field: &FieldDescriptor) -> BoxedStrategy<Value> {
    let one = match field.kind() {
        Kind::String => any::<String>().prop_map(Value::String).boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Int32 => any::<i32>().prop_map(Value::I32).boxed(),
        Kind::Int64 => any::<i64>().prop_map(Value::I64).boxed(),
        Kind::Enum(of) => {
            let numbers: Vec<_> = of.values().map(|value| value.number()).collect();
            select(numbers).prop_map(Value::EnumNumber).boxed()
        }
        Kind::Message(of) => any_message(of).prop_map(Value::Message).boxed(),
        other => panic!("no request has a field of {other:?} so far"),
    };
    if field.is_list() {
        vec(one, 0..4).prop_map(Value::List).boxed()
    } else {
        one
    }
}

/// The URI and the body that say a message.
fn said(binding: &Binding, mut message: Map<String, Json>) -> (Uri, Vec<u8>) {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut path = binding.template.to_string();
    for variable in binding.template.variables() {
        let (last, outer) = variable.fields().split_last().unwrap();
        let mut at = &mut message;
        for field in outer {
            at = at
                .get_mut(field.json_name())
                .unwrap()
                .as_object_mut()
                .unwrap();
        }
        let value = at.remove(last.json_name()).unwrap();
        path = path.replace(
            &format!("{{{variable}}}"),
            &encoded(value.as_str().unwrap()),
        );
    }
    let body = match &binding.body {
        Body::None => None,
        Body::All => Some(Json::Object(std::mem::take(&mut message))),
        Body::Field(field) => message.remove(field.json_name()),
    };
    let mut pairs = Vec::new();
    for (name, value) in &message {
        parameters(name, value, &mut pairs);
    }
    let query: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    let uri = format!("{path}?{}", query.join("&")).parse().unwrap();
    (
        uri,
        body.map_or_else(Vec::new, |body| body.to_string().into_bytes()),
    )
}

fn parameters(name: &str, value: &Json, pairs: &mut Vec<(String, String)>) {
    match value {
        Json::Object(fields) => {
            for (field, value) in fields {
                parameters(&format!("{name}.{field}"), value, pairs);
            }
        }
        Json::Array(values) => values
            .iter()
            .for_each(|value| parameters(name, value, pairs)),
        Json::String(text) => pairs.push((name.to_owned(), text.clone())),
        Json::Null => {}
        other => pairs.push((name.to_owned(), other.to_string())),
    }
}
