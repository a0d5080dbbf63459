//! JSON as text: before it is known what it should mean.

use std::fmt;

use prost_reflect::MessageDescriptor;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::field::{message_in, named};

/// What is wrong with a text, and where.
#[derive(Debug)]
pub(crate) struct Mistake {
    at: Vec<Step>,
    pub(crate) description: String,
}

/// From a value to one within it.
#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Index(usize),
}

/// The value that a text holds. serde_json sees to it that it is UTF-8, nested at most 127 deep and its numbers are finite; but
/// of a key that is there twice it would keep the last silently, and of a mistake it says the line, not the field.
pub(crate) fn parse(text: &[u8]) -> Result<Value, Vec<Mistake>> {
    let mut reading = Reading::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Node(&mut reading)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(value) if reading.mistakes.is_empty() => Ok(value),
        Ok(_) => Err(reading.mistakes),
        Err(error) => {
            reading.note(format!("is not JSON: {error}"));
            Err(reading.mistakes)
        }
    }
}

impl Mistake {
    /// The field in the names of the proto, as far as it has one: `lines[0].quantity`.
    pub(crate) fn field(&self, message: &MessageDescriptor) -> String {
        let mut message = Some(message.clone());
        let mut path = String::new();
        for step in &self.at {
            match step {
                Step::Key(key) => {
                    let field = message.as_ref().and_then(|message| named(message, key));
                    path = join(&path, field.as_ref().map_or(key, |field| field.name()));
                    message = field.and_then(|field| match field.is_list() {
                        true => field.kind().as_message().cloned(),
                        false => message_in(&field),
                    });
                }
                Step::Index(index) => path = format!("{path}[{index}]"),
            }
            if path.len() > MAX_PATH_BYTES {
                break;
            }
        }
        path
    }
}

/// Deeper than this nobody wants to know.
const MAX_PATH_BYTES: usize = 200;

/// A name within a message. Names are the caller's; no more of one is repeated than it takes to recognize it.
pub(crate) fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(64).collect();
    match path {
        "" => name,
        path => format!("{path}.{name}"),
    }
}

/// Where the reading is. After an error it stands where that happened.
#[derive(Default)]
struct Reading {
    at: Vec<Step>,
    mistakes: Vec<Mistake>,
}

impl Reading {
    fn note(&mut self, description: String) {
        let at = self.at.clone();
        self.mistakes.push(Mistake { at, description });
    }
}

struct Node<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            self.0.at.push(Step::Index(list.len()));
            let item = items.next_element_seed(Node(self.0))?;
            self.0.at.pop();
            match item {
                Some(item) => list.push(item),
                None => return Ok(list.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.0.at.push(Step::Key(key.clone()));
            let value = entries.next_value_seed(Node(self.0))?;
            if object.insert(key, value).is_some() {
                self.0.note(TWICE.to_owned());
            }
            self.0.at.pop();
        }
        Ok(object.into())
    }
}

/// What is said of a field that is there twice.
pub(crate) const TWICE: &str = "is given more than once";

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields and what is wrong with them.
    fn mistakes(text: impl AsRef<[u8]>) -> Vec<(String, String)> {
        let order = orderflow_proto::descriptors()
            .get_message_by_name("orderflow.order.v1.CreateOrderRequest")
            .unwrap();
        let mistakes = parse(text.as_ref()).unwrap_err().into_iter();
        mistakes.map(|m| (m.field(&order), m.description)).collect()
    }

    fn one(text: impl AsRef<[u8]>) -> (String, String) {
        let mistakes = mistakes(text);
        let [one] = mistakes.as_slice() else {
            panic!("{mistakes:?}");
        };
        one.clone()
    }

    #[test]
    fn what_is_right_stays_as_it_is() {
        let text = r#"{"a": [1, -2, 1.5, true, null, "ç\n"], "b": {"a": 18446744073709551615}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse(text.as_bytes()).unwrap(), value);
    }

    #[test]
    fn the_field_of_a_mistake_is_known() {
        for (text, field, says) in [
            (
                &br#"{"lines": [{"productId": "p", "quantity": 1e400}]}"#[..],
                "lines[0].quantity",
                "out of range",
            ),
            (
                br#"{"lines": [{}, {"productId": "\ud800"}]}"#,
                "lines[1].product_id",
                "hex escape",
            ),
            (
                br#"{"requestId": "\ud800\u0041"}"#,
                "request_id",
                "hex escape",
            ),
            (b"{\"requestId\": \"\xff\"}", "request_id", "unicode"),
            (
                b"{\"requestId\": \"a\nb\"}",
                "request_id",
                "control character",
            ),
            (br#"{"requestId": nope}"#, "request_id", "expected"),
            (br#"{"requestId": "a"#, "request_id", "EOF"),
            (br#"{"lines": [01]}"#, "lines[0]", "number"),
            (br#"{"lines": [1,]}"#, "lines[1]", "trailing comma"),
            (br#"{"requestId": NaN}"#, "request_id", "expected"),
            // About no field of its own.
            (b"\xef\xbb\xbf{}", "", "expected value"),
            (b"{} {}", "", "trailing characters"),
            (b"", "", "EOF"),
            (b"{\"\xff\": 1}", "", "unicode"),
            (b"{'a': 1}", "", "key"),
        ] {
            let (at, description) = one(text);
            let text = String::from_utf8_lossy(text);
            assert_eq!(at, field, "{text}");
            assert!(description.contains(says), "{text}: {description}");
        }
    }

    #[test]
    fn every_key_that_is_there_twice_is_named() {
        let text = r#"{"lines": [{"quantity": 1, "quantity": 1}], "requestId": "a", "requestId": "b", "\u006cines": []}"#;
        let fields: Vec<_> = mistakes(text).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["lines[0].quantity", "request_id", "lines"]);
        assert_eq!(one(r#"{"a": {"b": 1, "b": 2}}"#).0, "a.b");
    }

    #[test]
    fn depth_has_an_end() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nested = |depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
            assert!(parse(nested(100).as_bytes()).is_ok());
            for text in [nested(10_000), open.repeat(100_000)] {
                let (field, description) = one(&text);
                assert!(description.contains("recursion limit"), "{description}");
                assert!(field.len() < 2 * MAX_PATH_BYTES, "{field}");
            }
        }
    }

    #[test]
    fn names_are_not_repeated_whole() {
        let key = "k".repeat(100_000);
        let text = format!(r#"{{"{key}": 1, "{key}": 2}}"#);
        assert!(one(text).0.len() < 100);
    }
}
