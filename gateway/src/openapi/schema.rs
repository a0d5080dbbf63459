//! JSON Schema of messages, fields and enums as canonical proto JSON has them.

use std::collections::HashMap;

use orderflow_proto::options::v1::Field as Rule;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{comments, example, reference};

/// The schemas that the document refers to, each made when it is first referred to.
#[derive(Default)]
pub(super) struct Schemas {
    named: Map<String, Value>,
    /// Whose name it is.
    owners: HashMap<String, String>,
    /// Whether messages that are new from here on belong to requests.
    in_request: bool,
}

impl Schemas {
    pub(super) fn finish(self) -> Map<String, Value> {
        let mut named: Vec<_> = self.named.into_iter().collect();
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        named.into_iter().collect()
    }

    /// A message in a request, or what is left of it: fields that nobody knows are an error, those that `keep` leaves out too.
    pub(super) fn request(
        &mut self,
        message: &MessageDescriptor,
        keep: impl Fn(&FieldDescriptor) -> bool,
    ) -> Value {
        self.in_request = true;
        let schema = self.message(message, keep);
        self.in_request = false;
        schema
    }

    /// A message in a response.
    pub(super) fn response(&mut self, message: &MessageDescriptor) -> Value {
        self.message(message, |_| true)
    }

    fn message(
        &mut self,
        message: &MessageDescriptor,
        keep: impl Fn(&FieldDescriptor) -> bool,
    ) -> Value {
        let (name, is_new) = self.name(message.full_name(), message.name());
        if is_new {
            let fields: Vec<_> = message.fields().filter(|field| keep(field)).collect();
            // A field without presence is in every answer, be it with its default value.
            let in_request = self.in_request;
            let is_required = |field: &&FieldDescriptor| {
                orderflow_proto::field(field).required || !in_request && !field.supports_presence()
            };
            let required: Vec<_> = fields
                .iter()
                .filter(is_required)
                .map(|field| field.json_name().to_owned())
                .collect();
            let properties: Map<_, _> = fields
                .iter()
                .map(|field| (field.json_name().to_owned(), self.field(field)))
                .collect();
            let mut schema = json!({
                "type": "object",
                "description": comments::of_message(message),
                "properties": properties,
            });
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
            if self.in_request {
                schema["additionalProperties"] = json!(false);
            }
            self.named.insert(name.clone(), schema);
        }
        reference("schemas", &name)
    }

    fn enumeration(&mut self, enumeration: &EnumDescriptor) -> Value {
        let (name, is_new) = self.name(enumeration.full_name(), enumeration.name());
        if is_new {
            let values: Vec<_> = enumeration.values().collect();
            let names: Vec<_> = values.iter().map(|value| value.name().to_owned()).collect();
            let lines = values
                .iter()
                .map(|value| format!("- `{}`: {}", value.name(), comments::of_value(value)));
            let lines = lines.collect::<Vec<_>>().join("\n");
            let schema = json!({
                "type": "string",
                "description": format!("{}\n\n{lines}", comments::of_enum(enumeration)),
                "enum": names,
            });
            self.named.insert(name.clone(), schema);
        }
        reference("schemas", &name)
    }

    /// The short name, unless another package has taken it.
    fn name(&mut self, full: &str, short: &str) -> (String, bool) {
        let owner = |name: &str| self.owners.get(name).map(String::as_str);
        let name = match owner(short) {
            Some(other) if other != full => full,
            _ => short,
        };
        let is_new = owner(name).is_none();
        self.owners.insert(name.to_owned(), full.to_owned());
        (name.to_owned(), is_new)
    }

    /// A field, with what the contract says about it.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let rule = orderflow_proto::field(field);
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = self.one(&entry.map_entry_value_field().kind(), &Rule::default());
                json!({"type": "object", "additionalProperties": value})
            }
            kind if field.is_list() => {
                let mut list = json!({"type": "array", "items": self.one(&kind, &rule)});
                set(&mut list, "minItems", rule.min_items);
                set(&mut list, "maxItems", rule.max_items);
                list
            }
            kind => self.one(&kind, &rule),
        };
        let comment = comments::of_field(field);
        if !comment.is_empty() {
            schema["description"] = json!(comment);
        }
        if rule.output_only {
            schema["readOnly"] = json!(true);
        }
        if !rule.example.is_empty() {
            schema["examples"] = json!([example::of_field(field)]);
        }
        schema
    }

    /// One value of a kind.
    fn one(&mut self, kind: &Kind, rule: &Rule) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Double | Kind::Float => json!({"type": "number"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer("int32", rule),
            Kind::Uint32 | Kind::Fixed32 => integer("uint32", &not_negative(rule)),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => long("int64", rule),
            Kind::Uint64 | Kind::Fixed64 => long("uint64", &not_negative(rule)),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::String => text(rule),
            Kind::Enum(enumeration) => self.enumeration(enumeration),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
                "google.protobuf.Duration" => {
                    json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"})
                }
                "google.protobuf.FieldMask" => json!({"type": "string", "format": "field-mask"}),
                _ => {
                    let mut schema = self.message(message, |_| true);
                    if rule.min.is_some() || rule.max.is_some() {
                        // The only numbers that the contract bounds from outside of their message.
                        schema["properties"] = json!({"minorUnits": long("int64", rule)});
                    }
                    schema
                }
            },
        }
    }
}

fn not_negative(rule: &Rule) -> Rule {
    Rule {
        min: Some(rule.min.unwrap_or(0)),
        ..rule.clone()
    }
}

fn integer(format: &str, rule: &Rule) -> Value {
    let mut schema = json!({"type": "integer", "format": format});
    set(&mut schema, "minimum", rule.min);
    set(&mut schema, "maximum", rule.max);
    schema
}

/// 64 bits, which JavaScript's numbers do not have: in digits. JSON Schema cannot compare those, so a pattern bounds their
/// number, and who reads the schema finds the bounds themselves beside it.
fn long(format: &str, rule: &Rule) -> Value {
    let digits = |bound: i64| bound.unsigned_abs().to_string().len();
    let most = match (rule.min, rule.max) {
        (Some(min), Some(max)) => digits(min).max(digits(max)),
        _ => 20,
    };
    let sign = if rule.min >= Some(0) { "" } else { "-?" };
    let mut schema = json!({
        "type": "string",
        "format": format,
        "pattern": format!("^{sign}[0-9]{{1,{most}}}$"),
    });
    set(&mut schema, "minimum", rule.min);
    set(&mut schema, "maximum", rule.max);
    schema
}

fn text(rule: &Rule) -> Value {
    // A character has 1 to 4 bytes.
    let min_length = rule
        .min_length
        .max(rule.min_bytes.map(|bytes| bytes.div_ceil(4)));
    let max_length = rule.max_length.or(rule.max_bytes);
    let mut schema = json!({"type": "string"});
    set(&mut schema, "minLength", min_length);
    set(&mut schema, "maxLength", max_length);
    for (keyword, word) in [("pattern", &rule.pattern), ("format", &rule.format)] {
        set(
            &mut schema,
            keyword,
            (!word.is_empty()).then_some(word.as_str()),
        );
    }
    schema
}

fn set(schema: &mut Value, keyword: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        schema[keyword] = value.into();
    }
}
