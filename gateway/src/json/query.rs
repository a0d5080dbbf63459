//! What the query of a request says.

use std::{borrow::Cow, collections::HashSet};

use orderflow_contract::Invalid;
use percent_encoding::percent_decode;
use prost_reflect::{DynamicMessage, ReflectMessage};

use super::{
    field::FieldPath,
    message,
    routes::{Binding, Body},
    text::{TWICE, join},
};

/// Sets the fields that the query names, each by its path, `priceRange.minMinorUnits=100`, and notes every one that does not
/// belong there.
pub(crate) fn fill(
    request: &mut DynamicMessage,
    query: &str,
    binding: &Binding,
    invalid: &mut Invalid,
) {
    let mut seen = HashSet::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), value) = (decoded(name), decoded(value)) else {
            invalid.add(join("", name), NOT_UTF_8);
            continue;
        };
        let Some(path) = FieldPath::resolve(&request.descriptor(), &name) else {
            invalid.add(join("", &name), "is unknown");
            continue;
        };
        let name = path.to_string();
        let set = if binding.template.variables().any(|field| *field == path) {
            Err("is in the path already".to_owned())
        } else if is_in_body(&path, &binding.body) {
            Err("belongs in the body".to_owned())
        } else if !path.field().is_list() && !seen.insert(name.clone()) {
            Err(TWICE.to_owned())
        } else {
            let value = value.ok_or_else(|| NOT_UTF_8.to_owned());
            value.and_then(|value| message::set(request, &path, &value))
        };
        if let Err(wrong) = set {
            invalid.add(name, wrong);
        }
    }
}

const NOT_UTF_8: &str = "is not UTF-8";

fn is_in_body(path: &FieldPath, body: &Body) -> bool {
    match body {
        Body::None => false,
        Body::All => true,
        Body::Field(field) => path.fields().first() == Some(field),
    }
}

/// As in a form: a plus is a blank.
fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode(text.as_bytes()).decode_utf8();
    decoded.ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use super::*;
    use crate::json::routes::bindings;

    fn read(verb: &Method, path: &str, query: &str) -> Result<Value, Vec<String>> {
        let binding = bindings(orderflow_proto::descriptors())
            .unwrap()
            .into_iter()
            .find(|b| b.verb == verb && b.template.to_string() == path)
            .unwrap();
        let mut request = DynamicMessage::new(binding.method.input());
        let mut invalid = Invalid::new();
        fill(&mut request, query, &binding, &mut invalid);
        let violations = invalid.violations().iter();
        let wrong: Vec<_> = violations.map(|v| v.field.clone()).collect();
        match wrong.is_empty() {
            true => Ok(serde_json::to_value(&request).unwrap()),
            false => Err(wrong),
        }
    }

    fn products(query: &str) -> Result<Value, Vec<String>> {
        read(&Method::GET, "/v1/products", query)
    }

    #[test]
    fn parameters_are_fields() {
        assert_eq!(products(""), Ok(json!({})));
        assert_eq!(
            products(
                "query=strong+tea%20%C3%A7ay%2B&page_size=5&&priceRange.currencyCode=TRY&in_stock=true&orderBy=price+desc"
            ),
            Ok(
                json!({"query": "strong tea çay+", "pageSize": 5, "priceRange": {"currencyCode": "TRY"}, "inStock": true,
                "orderBy": "price desc"})
            )
        );
        assert_eq!(
            read(&Method::GET, "/v1/products:batchGet", "ids=a&ids=b"),
            Ok(json!({"ids": ["a", "b"]}))
        );
        assert_eq!(
            read(
                &Method::GET,
                "/v1/orders",
                "status=ORDER_STATUS_PENDING&side=2&startTime=2026-11-24T00:00:00%2B03:00"
            ),
            Ok(
                json!({"status": "ORDER_STATUS_PENDING", "side": "ORDER_SIDE_SELLER", "startTime": "2026-11-23T21:00:00Z"})
            )
        );
        assert_eq!(
            read(
                &Method::PATCH,
                "/v1/products/{product.id}",
                "updateMask=name,price"
            ),
            Ok(json!({"updateMask": "name,price"}))
        );
        // There, and empty.
        assert_eq!(products("query="), Ok(json!({})));
        assert_eq!(products("query"), Ok(json!({})));
    }

    #[test]
    fn every_wrong_one_is_named() {
        for (query, wrong) in [
            ("nothing=1", "nothing"),
            ("nothing", "nothing"),
            ("%F0%9F%92%A3=1", "💣"),
            ("priceRange.nothing=1", "priceRange.nothing"),
            ("priceRange=1", "price_range"),
            ("pageSize=1&page_size=1", "page_size"),
            ("pageSize=many", "page_size"),
            ("pageSize", "page_size"),
            ("inStock=yes", "in_stock"),
            ("query=%FF", "query"),
            ("query%FF=a", "query%FF"),
        ] {
            assert_eq!(products(query), Err(vec![wrong.to_owned()]), "{query}");
        }
        let both = products("pageSize=x&nothing=1");
        assert_eq!(
            both,
            Err(vec!["page_size".to_owned(), "nothing".to_owned()])
        );
    }

    #[test]
    fn what_is_elsewhere_is_not_in_the_query() {
        for (verb, path, query, wrong) in [
            (Method::GET, "/v1/products/{id}", "id=p", "id"),
            (
                Method::PATCH,
                "/v1/products/{product.id}",
                "product.id=p",
                "product.id",
            ),
            (
                Method::PATCH,
                "/v1/products/{product.id}",
                "product.name=n",
                "product.name",
            ),
            (Method::POST, "/v1/orders", "requestId=r", "request_id"),
        ] {
            assert_eq!(
                read(&verb, path, query),
                Err(vec![wrong.to_owned()]),
                "{path}?{query}"
            );
        }
    }
}
