//! Examples, where the contract has them.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use crate::json::is_well_known;

/// A message of the fields that have examples; `None` where none has. `keep` says which fields count.
pub(super) fn of_message(
    message: &MessageDescriptor,
    keep: impl Fn(&FieldDescriptor) -> bool,
) -> Option<Value> {
    let fields = message.fields().filter(|field| keep(field));
    let object: Map<_, _> = fields
        .filter_map(|field| Some((field.json_name().to_owned(), of_field(&field)?)))
        .collect();
    (!object.is_empty()).then_some(Value::Object(object))
}

/// What a field may hold.
pub(super) fn of_field(field: &FieldDescriptor) -> Option<Value> {
    let rule = orderflow_proto::field(field);
    if rule.output_only {
        return None;
    }
    if !rule.example.is_empty() {
        return serde_json::from_str(&rule.example).ok();
    }
    match field.kind() {
        // Of optional messages there need not be one.
        Kind::Message(message) if rule.required && !is_well_known(&message) => {
            let inner = of_message(&message, |_| true)?;
            Some(if field.is_list() {
                Value::Array(vec![inner])
            } else {
                inner
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_json_and_fits_its_field() {
        for message in orderflow_proto::descriptors().all_messages() {
            for field in message.fields() {
                let rule = orderflow_proto::field(&field);
                if rule.example.is_empty() {
                    continue;
                }
                let value: Value = serde_json::from_str(&rule.example).unwrap();
                let object = Value::Object(Map::from_iter([(field.json_name().to_owned(), value)]));
                let read = prost_reflect::DynamicMessage::deserialize(message.clone(), object);
                assert!(read.is_ok(), "{}: {read:?}", field.full_name());
            }
        }
    }
}
