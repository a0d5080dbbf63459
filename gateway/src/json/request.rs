//! A request of gRPC out of path, query, headers and body.

use http::{HeaderMap, HeaderName, Method};
use orderflow_contract::Invalid;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use serde_json::{Map, Value as Json};

use super::{
    field::{FieldPath, named},
    message, query,
    routes::{Binding, Body},
    text,
};

/// Under which a client sends a request again.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: &str = "request_id";
const UPDATE_MASK: &str = "update_mask";

/// The message that all of it means, or everything that is wrong with it.
pub(crate) fn read(
    binding: &Binding,
    captures: &[(&FieldPath, &[u8])],
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<DynamicMessage, Invalid> {
    let mut request = DynamicMessage::new(binding.method.input());
    let mut invalid = Invalid::new();

    let object = read_body(binding, body, &mut invalid);
    match (&binding.body, &object) {
        (Body::All, Some(object)) => message::fill(&mut request, object, "", &mut invalid),
        (Body::Field(field), Some(object)) => {
            if let Some(message) = request.get_field_mut(field).as_message_mut() {
                message::fill(message, object, field.name(), &mut invalid);
            }
        }
        _ => {}
    }
    for (path, value) in captures {
        let set = match std::str::from_utf8(value) {
            Ok(text) => set_once(&mut request, path, text),
            Err(_) => Err("is not UTF-8".to_owned()),
        };
        if let Err(wrong) = set {
            invalid.add(path.to_string(), wrong);
        }
    }
    query::fill(
        &mut request,
        query.unwrap_or_default(),
        binding,
        &mut invalid,
    );
    if let Some(field) = request.descriptor().get_field_by_name(REQUEST_ID)
        && is_text(&field)
    {
        let key = idempotency_key(&mut request, &field, headers);
        invalid.take(REQUEST_ID, key);
    }
    if let (&Method::PATCH, Body::Field(field), Some(object)) =
        (&binding.verb, &binding.body, &object)
    {
        imply_mask(&mut request, field, object, captures);
    }
    invalid.finish(|| Some(request))
}

/// The object in the body, if there should be one.
fn read_body(binding: &Binding, body: &[u8], invalid: &mut Invalid) -> Option<Map<String, Json>> {
    const BODY: &str = "body";
    let request = binding.method.input();
    let (at, descriptor) = match &binding.body {
        Body::None => {
            if !body.is_empty() {
                invalid.add(BODY, "is not taken here");
            }
            return None;
        }
        Body::All if body.is_empty() && says_all(binding) => return None,
        Body::All => (BODY, Some(request)),
        Body::Field(field) => (field.name(), field.kind().as_message().cloned()),
    };
    match text::parse(body) {
        Ok(Json::Object(object)) => return Some(object),
        Ok(_) => invalid.add(at, "must be an object in JSON"),
        Err(_) if body.is_empty() => {
            invalid.add(at, "must be an object in JSON, and nothing is there")
        }
        Err(mistakes) => {
            for mistake in mistakes {
                let within = descriptor
                    .as_ref()
                    .map(|of| mistake.field(of))
                    .unwrap_or_default();
                let field = match (&binding.body, within.as_str()) {
                    (_, "") => at.to_owned(),
                    (Body::Field(field), within) => format!("{}.{within}", field.name()),
                    (_, within) => within.to_owned(),
                };
                invalid.add(field, mistake.description);
            }
        }
    }
    None
}

/// True when the path says all there is to say.
fn says_all(binding: &Binding) -> bool {
    let in_path = |field: &FieldDescriptor| {
        let mut variables = binding.template.variables();
        variables.any(|path| path.fields() == std::slice::from_ref(field))
    };
    let request = binding.method.input();
    request
        .fields()
        .all(|field| field.name() == REQUEST_ID || in_path(&field))
}

/// Sets what the path says. The body may say it too, as when what was read is sent back, but nothing else.
fn set_once(request: &mut DynamicMessage, path: &FieldPath, text: &str) -> Result<(), String> {
    let before = get(request, path.fields());
    message::set(request, path, text)?;
    match before {
        Some(value) if Some(&value) != get(request, path.fields()).as_ref() => {
            Err("is another one in the path".to_owned())
        }
        _ => Ok(()),
    }
}

fn get(message: &DynamicMessage, path: &[FieldDescriptor]) -> Option<Value> {
    match path {
        [] => None,
        [field] if !message.has_field(field) => None,
        [field] => Some(message.get_field(field).into_owned()),
        [outer, path @ ..] => get(message.get_field(outer).as_message()?, path),
    }
}

/// What HTTP has a header for. A client that sends both may not mean two things.
fn idempotency_key(
    request: &mut DynamicMessage,
    field: &FieldDescriptor,
    headers: &HeaderMap,
) -> Result<(), &'static str> {
    let mut all = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let key = match (all.next(), all.next()) {
        (None, _) => return Ok(()),
        (Some(key), None) => key.to_str().map_err(|_| "Idempotency-Key is not ASCII")?,
        _ => return Err("there is more than one Idempotency-Key"),
    };
    // In quotes it is a string of a structured header (RFC 9651): the same key.
    let unquoted = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    let key = unquoted.unwrap_or(key);
    match request.get_field(field).as_str() {
        _ if key.is_empty() => return Err("Idempotency-Key is empty"),
        Some(id) if !id.is_empty() && id != key => return Err("is another one in Idempotency-Key"),
        _ => {}
    }
    request.set_field(field, Value::String(key.to_owned()));
    Ok(())
}

/// A PATCH without a mask changes what it has, and nothing else: also to nothing, which a message alone could not say.
fn imply_mask(
    request: &mut DynamicMessage,
    field: &FieldDescriptor,
    object: &Map<String, Json>,
    captures: &[(&FieldPath, &[u8])],
) {
    let is_mask = |field: &FieldDescriptor| {
        let kind = field.kind();
        let message = kind.as_message().map(|message| message.full_name());
        message == Some("google.protobuf.FieldMask")
    };
    let mask = request.descriptor().get_field_by_name(UPDATE_MASK);
    let (Some(mask), Some(resource)) = (mask.filter(is_mask), field.kind().as_message().cloned())
    else {
        return;
    };
    if request.has_field(&mask) {
        return;
    }
    let in_path = |inner: &FieldDescriptor| {
        let path = [field.clone(), inner.clone()];
        captures
            .iter()
            .any(|(captured, _)| captured.fields() == path)
    };
    let paths = object
        .keys()
        .filter_map(|key| named(&resource, key))
        .filter(|inner| !in_path(inner))
        .map(|inner| Value::String(inner.name().to_owned()))
        .collect();
    if let Some(mask) = request.get_field_mut(&mask).as_message_mut() {
        mask.set_field_by_name("paths", Value::List(paths));
    }
}

fn is_text(field: &FieldDescriptor) -> bool {
    field.kind() == Kind::String && !field.is_list()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};
    use serde_json::json;

    use prost_reflect::prost::Message;

    use super::*;
    use crate::json::{
        routes::{Found, Routes, bindings},
        template::Path,
    };
    use crate::message::framed;

    /// The message in JSON, or the fields that are wrong.
    fn ask(
        verb: &Method,
        uri: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Json, Vec<String>> {
        let routes = Routes::read(orderflow_proto::descriptors()).unwrap();
        let uri: http::Uri = uri.parse().unwrap();
        let path = Path::parse(uri.path());
        let Found::Call(binding, captures) = routes.find(verb, uri.path(), &path) else {
            panic!("{verb} {uri} calls nothing");
        };
        match read(binding, &captures, uri.query(), headers, body) {
            Ok(message) => Ok(serde_json::to_value(&message).unwrap()),
            Err(invalid) => {
                let violations = invalid.violations().iter();
                Err(violations.map(|v| v.field.clone()).collect())
            }
        }
    }

    fn plain(verb: Method, uri: &str, body: &str) -> Result<Json, Vec<String>> {
        ask(&verb, uri, &HeaderMap::new(), body.as_bytes())
    }

    fn wrong(field: &str) -> Result<Json, Vec<String>> {
        Err(vec![field.to_owned()])
    }

    #[test]
    fn path_query_and_body_come_together() {
        assert_eq!(
            plain(Method::GET, "/v1/products/p%2F1", ""),
            Ok(json!({"id": "p/1"}))
        );
        assert_eq!(
            plain(Method::DELETE, "/v1/products/p?etag=%22e%22", ""),
            Ok(json!({"id": "p", "etag": "\"e\""}))
        );
        assert_eq!(
            plain(
                Method::POST,
                "/v1/products/p:adjustStock",
                r#"{"delta": "-3", "reason": "broken"}"#
            ),
            Ok(json!({"productId": "p", "delta": "-3", "reason": "broken"}))
        );
        assert_eq!(
            plain(
                Method::PATCH,
                "/v1/products/p?updateMask=name",
                r#"{"name": "n", "stock": 5}"#
            ),
            Ok(json!({"product": {"id": "p", "name": "n", "stock": "5"}, "updateMask": "name"}))
        );
    }

    #[test]
    fn an_id_is_the_one_in_the_path() {
        let cancel = |body| plain(Method::POST, "/v1/orders/o:cancel", body);
        for same in ["", "{}", r#"{"id": "o"}"#, r#"{"id": null}"#] {
            assert_eq!(cancel(same), Ok(json!({"id": "o"})), "{same}");
        }
        assert_eq!(cancel(r#"{"id": "other"}"#), wrong("id"));
        let patch = |body| plain(Method::PATCH, "/v1/products/p?updateMask=name", body);
        assert_eq!(patch(r#"{"id": "other"}"#), wrong("product.id"));
        assert_eq!(plain(Method::GET, "/v1/orders/%FF", ""), wrong("id"));
    }

    #[test]
    fn a_patch_changes_what_it_has() {
        let mask = |uri, body| {
            let message = plain(Method::PATCH, uri, body).unwrap();
            message["updateMask"].as_str().unwrap_or("none").to_owned()
        };
        let product = "/v1/products/p";
        assert_eq!(mask(product, r#"{"name": "n"}"#), "name");
        assert_eq!(
            mask(
                product,
                r#"{"price": {"minorUnits": 5}, "description": ""}"#
            ),
            "price,description"
        );
        assert_eq!(mask(product, r#"{"description": null}"#), "description");
        assert_eq!(mask(product, r#"{"id": "p", "name": "n"}"#), "name");
        assert_eq!(
            mask(product, r#"{"create_time": "2026-11-24T18:00:00Z"}"#),
            "createTime"
        );
        assert_eq!(mask(product, "{}"), "");
        assert_eq!(
            mask("/v1/products/p?update_mask=price", r#"{"name": "n"}"#),
            "price"
        );
        assert_eq!(mask("/v1/products/p?updateMask=", r#"{"name": "n"}"#), "");
        // What takes its mask in the body gets none that is not there.
        assert_eq!(mask("/v1/me", r#"{"user": {"name": "n"}}"#), "none");
        assert_eq!(
            mask("/v1/me", r#"{"user": {"name": "n"}, "updateMask": "name"}"#),
            "name"
        );
    }

    #[test]
    fn a_body_is_an_object_where_one_is_taken() {
        for body in [
            "",
            " ",
            "null",
            "[]",
            "\"a\"",
            "1",
            "{",
            "{} {}",
            "\u{feff}{}",
        ] {
            assert_eq!(
                plain(Method::POST, "/v1/orders", body),
                wrong("body"),
                "{body}"
            );
            assert_eq!(
                plain(Method::PATCH, "/v1/products/p", body),
                wrong("product"),
                "{body}"
            );
        }
        assert_eq!(
            plain(Method::POST, "/v1/orders/o:cancel", "null"),
            wrong("body")
        );
        assert_eq!(plain(Method::GET, "/v1/orders/o", "{}"), wrong("body"));
        assert_eq!(plain(Method::POST, "/v1/orders", "{}"), Ok(json!({})));
    }

    #[test]
    fn mistakes_have_the_names_of_their_fields() {
        let patch = |body| plain(Method::PATCH, "/v1/products/p", body);
        assert_eq!(
            patch(r#"{"createTime": 1e999}"#),
            wrong("product.create_time")
        );
        assert_eq!(
            patch(r#"{"price": {"minorUnits": "x"}}"#),
            wrong("product.price.minor_units")
        );
        assert_eq!(
            patch(r#"{"name": "a", "name": "b"}"#),
            wrong("product.name")
        );
        assert_eq!(
            plain(
                Method::POST,
                "/v1/orders?dry=1",
                r#"{"lines": [{"quantity": "x"}], "user_id": "u"}"#
            ),
            Err(vec![
                "lines[0].quantity".to_owned(),
                "user_id".to_owned(),
                "dry".to_owned()
            ])
        );
    }

    #[test]
    fn an_idempotency_key_is_a_request_id() {
        let with = |uri, keys: &[&str], body: &str| {
            let keys = keys.iter().map(|key| {
                let value = HeaderValue::from_bytes(key.as_bytes()).unwrap();
                (IDEMPOTENCY_KEY.clone(), value)
            });
            ask(&Method::POST, uri, &keys.collect(), body.as_bytes())
        };
        let order = |keys: &[&str], body| with("/v1/orders", keys, body);
        let id = Ok(json!({"requestId": "k"}));
        assert_eq!(order(&["k"], "{}"), id);
        assert_eq!(order(&["\"k\""], "{}"), id);
        assert_eq!(order(&["k"], r#"{"requestId": "k"}"#), id);
        assert_eq!(order(&[], r#"{"requestId": "k"}"#), id);
        for (keys, body) in [
            (&["k"][..], r#"{"requestId": "other"}"#),
            (&["k", "k"], "{}"),
            (&[""], "{}"),
            (&["\"\""], "{}"),
            (&["ç"], "{}"),
        ] {
            assert_eq!(order(keys, body), wrong("request_id"), "{keys:?}");
        }
        // Nothing to what has no such field.
        assert_eq!(
            with("/v1/orders/o:cancel", &["k"], ""),
            Ok(json!({"id": "o"}))
        );
    }

    /// Whatever comes: a message, or a list of what is wrong.
    #[test]
    fn no_text_is_too_strange() {
        const PIECES: [&str; 40] = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\\",
            "\\ud800",
            "\\u0000",
            "1e400",
            "-0",
            "0.1",
            "9223372036854775808",
            "true",
            "null",
            "\"lines\":",
            "\"quantity\":",
            "\"productId\":",
            "\"expectedUnitPrice\":",
            "\"minorUnits\":",
            "\"createTime\":",
            "\"2026-11-24T18:00:60Z\"",
            "\"9999-12-31T23:59:59.9999999999+23:59\"",
            "\"0000-00-00T00:00:00Z\"",
            "\"status\":",
            "\"updateMask\":",
            "\"a,,b.c\"",
            "\"price\":",
            "\"inStock\":",
            "\"x\"",
            " ",
            "\u{feff}",
            "\u{0}",
            "ç",
            "1",
            "-1",
            "{}",
            "[]",
            "\"\"",
        ];
        let bindings = bindings(orderflow_proto::descriptors()).unwrap();
        // A congruential generator: the same texts in every run.
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..20_000 {
            let mut body: String = (0..random(24))
                .map(|_| PIECES[random(PIECES.len())])
                .collect();
            if random(2) == 0 {
                body = format!("{{{body}}}");
            }
            let mut bytes = body.into_bytes();
            if random(8) == 0 && !bytes.is_empty() {
                let at = random(bytes.len());
                bytes[at] = u8::try_from(random(256)).unwrap();
            }
            let binding = &bindings[random(bindings.len())];
            let captures: Vec<_> = binding
                .template
                .variables()
                .map(|v| (v, &bytes[..]))
                .collect();
            let query: String = String::from_utf8_lossy(&bytes)
                .chars()
                .filter(|c| *c != '#')
                .collect();
            let read = read(binding, &captures, Some(&query), &HeaderMap::new(), &bytes);
            if let Ok(message) = read {
                assert_eq!(framed(&message).len(), 5 + message.encoded_len());
            }
        }
    }
}
