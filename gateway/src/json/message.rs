//! What JSON means as a message.

use std::{collections::HashSet, iter::once};

use orderflow_contract::Invalid;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value as Json};

use super::{
    field::{FieldPath, is_well_known, message_in, named},
    text::{TWICE, join},
};

/// Takes all fields of an object into the message, and notes every one that it cannot have. `at` is the path of the message.
pub(crate) fn fill(
    message: &mut DynamicMessage,
    object: &Map<String, Json>,
    at: &str,
    invalid: &mut Invalid,
) {
    let descriptor = message.descriptor();
    // By number, since a field has two names; and of a oneof only one may be there.
    let (mut fields, mut oneofs) = (HashSet::new(), HashSet::new());
    for (key, json) in object {
        let Some(field) = named(&descriptor, key) else {
            invalid.add(join(at, key), "is unknown");
            continue;
        };
        let at = join(at, field.name());
        if !fields.insert(field.number()) {
            invalid.add(at, TWICE);
            continue;
        }
        // As if it were not there.
        if json.is_null() {
            continue;
        }
        let oneof = field.containing_oneof();
        if oneof.is_some_and(|oneof| !oneofs.insert(oneof.name().to_owned())) {
            invalid.add(
                at,
                "is there together with another one of which only one may be",
            );
            continue;
        }
        if let Some(value) = value(&field, json, &at, invalid) {
            message.set_field(&field, value);
        }
    }
}

fn value(field: &FieldDescriptor, json: &Json, at: &str, invalid: &mut Invalid) -> Option<Value> {
    if field.is_list() {
        let Json::Array(items) = json else {
            invalid.add(at, "must be a list");
            return None;
        };
        let items = items
            .iter()
            .enumerate()
            .filter_map(|(index, json)| single(field, json, &format!("{at}[{index}]"), invalid));
        Some(Value::List(items.collect()))
    } else {
        single(field, json, at, invalid)
    }
}

/// The value of a field, or one of many where it is a list.
fn single(field: &FieldDescriptor, json: &Json, at: &str, invalid: &mut Invalid) -> Option<Value> {
    match (field.kind(), json) {
        (Kind::Message(message), Json::Object(object))
            if !field.is_map() && !is_well_known(&message) =>
        {
            let mut message = DynamicMessage::new(message);
            fill(&mut message, object, at, invalid);
            Some(Value::Message(message))
        }
        _ => {
            let value = word(field, json);
            if value.is_none() {
                invalid.add(at, expected(field));
            }
            value
        }
    }
}

/// Sets a field to what a path or a query says: a list becomes longer.
pub(crate) fn set(
    message: &mut DynamicMessage,
    path: &FieldPath,
    text: &str,
) -> Result<(), String> {
    let field = path.field();
    if field.is_map() || (!field.is_list() && message_in(field).is_some()) {
        return Err("is no single value: set the fields within it".to_owned());
    }
    let json = match (field.kind(), text) {
        (Kind::Bool, "true") => Json::Bool(true),
        (Kind::Bool, "false") => Json::Bool(false),
        // By its number.
        (Kind::Enum(_), text) => text
            .parse::<i32>()
            .map_or_else(|_| text.into(), |number| number.into()),
        (_, text) => text.into(),
    };
    let value = word(field, &json).ok_or_else(|| expected(field))?;
    let mut message = message;
    for outer in &path.fields()[..path.fields().len() - 1] {
        message = message
            .get_field_mut(outer)
            .as_message_mut()
            .expect("all but the last are messages");
    }
    match message.get_field_mut(field).as_list_mut() {
        Some(list) => list.push(value),
        None => message.set_field(field, value),
    }
    Ok(())
}

/// What a field, or one of many, is in canonical proto JSON; `None` when it cannot be that. prost-reflect says no more of an
/// error than a sentence; with one value at a time it is known whose error it is.
fn word(field: &FieldDescriptor, json: &Json) -> Option<Value> {
    if is_rounded(field, json) || json.is_null() {
        return None;
    }
    let list = field.is_list().then(|| Json::Array(vec![json.clone()]));
    let alone = once((field.json_name(), list.as_ref().unwrap_or(json)));
    let message = DynamicMessage::deserialize(
        field.parent_message().clone(),
        MapDeserializer::<_, serde_json::Error>::new(alone),
    );
    let value = message.ok()?.get_field(field).into_owned();
    match value {
        Value::List(mut list) => list.pop(),
        value => Some(value),
    }
}

/// True for a whole number that came as a float and may have been another one in the text.
fn is_rounded(field: &FieldDescriptor, json: &Json) -> bool {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_float = matches!(field.kind(), Kind::Double | Kind::Float);
    !is_float && json.is_f64() && json.as_f64().is_some_and(|number| number.abs() >= EXACT)
}

fn expected(field: &FieldDescriptor) -> String {
    match field.kind() {
        _ if field.is_map() => "must be an object with values of one kind".to_owned(),
        Kind::Double | Kind::Float => "must be a number".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            format!("must be a whole number from {} to {}", i32::MIN, i32::MAX)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            format!("must be a whole number from {} to {}", i64::MIN, i64::MAX)
        }
        Kind::Uint32 | Kind::Fixed32 => format!("must be a whole number from 0 to {}", u32::MAX),
        Kind::Uint64 | Kind::Fixed64 => format!("must be a whole number from 0 to {}", u64::MAX),
        Kind::Bool => "must be true or false".to_owned(),
        Kind::String => "must be a string".to_owned(),
        Kind::Bytes => "must be a string in base64".to_owned(),
        Kind::Enum(of) => {
            let names: Vec<_> = of.values().map(|v| v.name().to_owned()).collect();
            format!("must be one of {}", names.join(", "))
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "must be a time like 2026-11-24T18:00:00Z".to_owned(),
            "google.protobuf.Duration" => "must be a duration like 1.5s".to_owned(),
            "google.protobuf.FieldMask" => {
                "must be names of fields in camelCase, with commas between them".to_owned()
            }
            name if is_well_known(&message) => format!("must be a {name}"),
            _ => "must be an object".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(name: &str) -> DynamicMessage {
        let descriptor = orderflow_proto::descriptors().get_message_by_name(name);
        DynamicMessage::new(descriptor.unwrap())
    }

    /// The fields that are wrong.
    fn wrong(name: &str, json: &Json) -> Vec<String> {
        let mut invalid = Invalid::new();
        fill(
            &mut message(name),
            json.as_object().unwrap(),
            "",
            &mut invalid,
        );
        let violations = invalid.violations().iter();
        violations.map(|v| v.field.clone()).collect()
    }

    const ORDER: &str = "orderflow.order.v1.CreateOrderRequest";
    const PRODUCT: &str = "orderflow.catalog.v1.Product";
    const PRODUCTS: &str = "orderflow.catalog.v1.ListProductsRequest";
    const ORDERS: &str = "orderflow.order.v1.ListOrdersRequest";

    #[test]
    fn what_is_right_is_what_prost_reflect_reads() {
        for (name, json) in [
            (
                ORDER,
                json!({"lines": [{"productId": "p", "quantity": 2}, {"product_id": "q", "quantity": "3",
                "expectedUnitPrice": {"currencyCode": "TRY", "minorUnits": "9007199254740993"}}], "requestId": "r"}),
            ),
            (
                PRODUCT,
                json!({"createTime": "2026-11-24T18:00:00.5+03:00", "stock": 7, "price": {}}),
            ),
            (
                PRODUCTS,
                json!({"inStock": false, "priceRange": {"minMinorUnits": 0}, "query": null}),
            ),
            (
                ORDERS,
                json!({"status": "ORDER_STATUS_SHIPPED", "side": 1, "pageSize": 5.0}),
            ),
            (
                "orderflow.catalog.v1.UpdateProductRequest",
                json!({"updateMask": "name,price.minorUnits"}),
            ),
            (
                "orderflow.catalog.v1.BatchGetProductsRequest",
                json!({"ids": ["a", "b"]}),
            ),
        ] {
            let mut invalid = Invalid::new();
            let mut ours = message(name);
            fill(&mut ours, json.as_object().unwrap(), "", &mut invalid);
            assert_eq!(invalid, Invalid::new());
            assert_eq!(
                ours,
                DynamicMessage::deserialize(ours.descriptor(), &json).unwrap()
            );
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let json = json!({"lines": [{"productId": 5, "quantity": 1.5}, 3, null, {"quantities": 1}, {"expectedUnitPrice": []}],
            "request_id": ["r"], "state": "SHIPPED"});
        assert_eq!(
            wrong(ORDER, &json),
            [
                "lines[0].product_id",
                "lines[0].quantity",
                "lines[1]",
                "lines[2]",
                "lines[3].quantities",
                "lines[4].expected_unit_price",
                "request_id",
                "state",
            ]
        );
    }

    #[test]
    fn wrong_types_and_numbers_are_refused() {
        for (name, field, values) in [
            (
                ORDERS,
                "page_size",
                vec![
                    json!(2_147_483_648_i64),
                    json!(-2_147_483_649_i64),
                    json!(1.5),
                    json!("x"),
                    json!(" 1"),
                    json!(""),
                    json!(true),
                    json!({}),
                    json!([1]),
                    json!(1e300),
                ],
            ),
            (
                PRODUCT,
                "stock",
                vec![
                    json!(9_223_372_036_854_775_808_u64),
                    json!(9_223_372_036_854_775_808.0),
                    json!(1e18),
                    json!(0.5),
                    json!("9223372036854775808"),
                    json!("1.5"),
                    json!("1e3"),
                    json!(false),
                ],
            ),
            (
                PRODUCT,
                "name",
                vec![json!(1), json!(true), json!([]), json!({})],
            ),
            (
                PRODUCT,
                "create_time",
                vec![
                    json!(0),
                    json!(""),
                    json!("now"),
                    json!("2026-13-01T00:00:00Z"),
                    json!("2026-11-24"),
                    json!("10000-01-01T00:00:00Z"),
                    json!({"seconds": 1}),
                ],
            ),
            (PRODUCT, "price", vec![json!(5), json!("5"), json!([])]),
            (
                PRODUCTS,
                "in_stock",
                vec![json!("true"), json!(1), json!({})],
            ),
            (
                ORDERS,
                "status",
                vec![
                    json!("SHIPPED"),
                    json!("order_status_shipped"),
                    json!(1.5),
                    json!(true),
                    json!(2_147_483_648_i64),
                ],
            ),
            (ORDER, "lines", vec![json!({}), json!("x"), json!(1)]),
            (
                "orderflow.catalog.v1.UpdateProductRequest",
                "update_mask",
                vec![
                    json!("unit_price"),
                    json!(["name"]),
                    json!({"paths": ["name"]}),
                ],
            ),
        ] {
            for value in values {
                assert_eq!(wrong(name, &json!({field: value})), [field], "{value}");
            }
        }
    }

    #[test]
    fn both_names_of_a_field_are_one_field() {
        assert_eq!(
            wrong(ORDER, &json!({"requestId": "a", "request_id": "a"})),
            ["request_id"]
        );
        assert_eq!(
            wrong(ORDER, &json!({"requestId": null, "request_id": "a"})),
            ["request_id"]
        );
    }

    #[test]
    fn words_are_taken_for_what_their_field_is() {
        let take = |name: &str, words: &[(&str, &str)]| {
            let mut message = message(name);
            for (field, word) in words {
                let path = FieldPath::resolve(&message.descriptor(), field).unwrap();
                set(&mut message, &path, word)?;
            }
            Ok::<_, String>(serde_json::to_value(&message).unwrap())
        };
        let right = take(
            PRODUCTS,
            &[
                ("priceRange.minMinorUnits", "5"),
                ("price_range.currency_code", "TRY"),
                ("inStock", "false"),
            ],
        );
        assert_eq!(
            right,
            Ok(
                json!({"priceRange": {"minMinorUnits": "5", "currencyCode": "TRY"}, "inStock": false})
            )
        );
        for status in ["ORDER_STATUS_SHIPPED", "2"] {
            let right = take(
                ORDERS,
                &[("status", status), ("startTime", "2026-11-24T18:00:00Z")],
            );
            assert_eq!(
                right,
                Ok(json!({"status": "ORDER_STATUS_SHIPPED", "startTime": "2026-11-24T18:00:00Z"}))
            );
        }
        let ids = take(
            "orderflow.catalog.v1.BatchGetProductsRequest",
            &[("ids", "a"), ("ids", "true"), ("ids", "1")],
        );
        assert_eq!(ids, Ok(json!({"ids": ["a", "true", "1"]})));

        for (name, field, word) in [
            (ORDERS, "pageSize", ""),
            (ORDERS, "pageSize", "5.5"),
            (ORDERS, "pageSize", "2147483648"),
            (ORDERS, "status", "shipped"),
            (ORDERS, "startTime", "yesterday"),
            (PRODUCTS, "inStock", "1"),
            (PRODUCTS, "inStock", "True"),
            (PRODUCTS, "priceRange", "{}"),
            (ORDER, "lines", "{}"),
        ] {
            assert!(take(name, &[(field, word)]).is_err(), "{field}={word}");
        }
    }
}
