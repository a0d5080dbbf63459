//! The description of the HTTP/JSON API for programs, OpenAPI 3.1, from the same descriptors that the API is made of.

mod comments;
mod example;
mod operation;
mod responses;
mod schema;

use orderflow_proto::{is_internal, methods};
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use crate::json::{Body, Unsupported, bindings};
use schema::Schemas;

const INTRODUCTION: &str = "\
Accounts, a catalog with stock, and orders that never sell what is not there.

Register, log in, and give the `accessToken` of the answer to *Authorize*; it is good for the number of seconds in `expiresIn`. \
The same API is spoken here as gRPC and gRPC-Web.

What has no other code than 429, 499, 500, 503 or 504 may have happened: send the same request again, with the same \
`requestId` (or `Idempotency-Key`). Every answer names its trace in the header `trace-id`.";

/// The document, as JSON.
pub(crate) fn document(pool: &DescriptorPool) -> Result<String, Unsupported> {
    let mut bindings = bindings(pool)?;
    // In the order in which the contract has them; their own order is that of matching.
    let position =
        |method: &prost_reflect::MethodDescriptor| methods(pool).position(|other| other == *method);
    bindings.sort_by_cached_key(|binding| position(&binding.method));

    // Requests first: a message that is a part of one is strict wherever it is used.
    let mut schemas = Schemas::default();
    for binding in &bindings {
        if binding.body != Body::None {
            operation::body_schema(binding, &mut schemas);
        }
    }
    let mut paths = Map::new();
    for binding in &bindings {
        let path = operation::path(binding);
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        let verb = binding.verb.as_str().to_ascii_lowercase();
        operations[verb] = operation::of(binding, &mut schemas);
    }
    let public = |service: &prost_reflect::ServiceDescriptor| {
        service.methods().any(|method| !is_internal(&method))
    };
    let tags: Vec<_> = pool
        .services()
        .filter(public)
        .map(|service| json!({"name": service.name(), "description": comments::of_service(&service)}))
        .collect();
    let mut schemas = schemas.finish();
    schemas.extend(responses::schemas());
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "OrderFlow",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses::all(),
            "headers": responses::headers(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `accessToken` that logging in gives.",
                },
            },
        },
    });
    Ok(document.to_string())
}

/// A reference to a component.
fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read() -> Value {
        serde_json::from_str(&document(orderflow_proto::descriptors()).unwrap()).unwrap()
    }

    #[test]
    fn every_public_method_is_there_once_and_no_other() {
        let document = read();
        let mut ids = Vec::new();
        for operations in document["paths"].as_object().unwrap().values() {
            for operation in operations.as_object().unwrap().values() {
                ids.push(operation["operationId"].as_str().unwrap().to_owned());
            }
        }
        let mut methods = Vec::new();
        for service in orderflow_proto::descriptors().services() {
            for method in service.methods().filter(|method| !is_internal(method)) {
                methods.push(format!("{}_{}", service.name(), method.name()));
            }
        }
        ids.sort();
        methods.sort();
        let variable = |segment: &str| segment.starts_with('{');
        let shape = |path: &str| {
            let segments = path.split('/').map(|s| if variable(s) { "{}" } else { s });
            segments.collect::<Vec<_>>().join("/")
        };
        let mut shapes: Vec<_> = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .filter(|path| !path.contains("}:"))
            .map(|path| shape(path))
            .collect();
        let paths = shapes.len();
        shapes.sort();
        shapes.dedup();
        assert_eq!(shapes.len(), paths, "no two paths differ in names alone");
        assert_eq!(ids, methods);
        let text = document.to_string();
        for internal in ["InventoryService", "ReserveItem", "IdentityService"] {
            assert!(
                !text.contains(internal),
                "{internal} is no business of clients"
            );
        }
    }

    #[test]
    fn policy_is_security_and_streams_are_lines() {
        let document = read();
        let security = |path: &str, verb: &str| document["paths"][path][verb]["security"].clone();
        assert_eq!(security("/v1/users:login", "post"), json!([]));
        assert_eq!(security("/v1/orders", "post"), json!([{"bearer": []}]));
        let watch = &document["paths"]["/v1/orders:watch"]["get"]["responses"]["200"]["content"];
        let lines = &watch["application/x-ndjson"]["schema"]["anyOf"];
        assert_eq!(lines[0]["$ref"], "#/components/schemas/WatchOrdersResponse");
        let responses = &document["paths"]["/v1/products"]["get"]["responses"];
        assert!(responses["401"].is_null(), "everybody may list products");
        assert!(!document["paths"]["/v1/orders"]["get"]["responses"]["401"].is_null());
    }

    #[test]
    fn path_query_and_body_share_a_request_without_overlap() {
        let document = read();
        let update = &document["paths"]["/v1/products/{id}"]["patch"];
        let names: Vec<_> = update["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (p["in"].as_str().unwrap(), p["name"].as_str().unwrap()))
            .collect();
        assert_eq!(names, [("path", "id"), ("query", "updateMask")]);
        let body = &update["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(body["$ref"], "#/components/schemas/Product");

        let list = &document["paths"]["/v1/products"]["get"]["parameters"];
        let list = list.to_string();
        for nested in [
            "priceRange.currencyCode",
            "priceRange.minMinorUnits",
            "inStock",
        ] {
            assert!(list.contains(&format!("\"{nested}\"")), "{nested}");
        }
        let schemas = &document["components"]["schemas"];
        let status = &schemas["UpdateOrderStatusRequest"];
        assert!(status["properties"]["id"].is_null(), "it is in the path");
        assert_eq!(status["required"], json!(["status"]));
        assert_eq!(status["additionalProperties"], false);
    }

    #[test]
    fn schemas_are_canonical_json_with_the_limits_of_the_contract() {
        let document = read();
        let schemas = &document["components"]["schemas"];
        let product = &schemas["Product"]["properties"];
        assert_eq!(product["stock"]["type"], "string");
        assert_eq!(product["stock"]["format"], "int64");
        assert_eq!(product["createTime"]["format"], "date-time");
        assert_eq!(product["createTime"]["readOnly"], true);
        let create = &schemas["CreateOrderRequest"]["properties"]["lines"];
        assert_eq!(create["maxItems"], 100);
        assert_eq!(
            create["items"]["$ref"],
            "#/components/schemas/CreateOrderLine"
        );
        let quantity = &schemas["CreateOrderLine"]["properties"]["quantity"];
        assert_eq!(
            (&quantity["minimum"], &quantity["maximum"]),
            (&json!(1), &json!(10_000))
        );
        let price = &schemas["CreateProductRequest"]["properties"]["price"];
        let minor_units = &price["properties"]["minorUnits"];
        assert_eq!(minor_units["maximum"], json!(1_000_000_000_000_i64));
        let status = schemas["OrderStatus"]["enum"].as_array().unwrap();
        assert!(status.contains(&json!("ORDER_STATUS_PENDING")));
        let password = &schemas["RegisterRequest"]["properties"]["password"];
        // Of 8 bytes there may be 2 characters.
        assert_eq!(
            (&password["minLength"], &password["maxLength"]),
            (&json!(2), &json!(71))
        );
    }

    #[test]
    fn comments_and_examples_come_from_the_contract() {
        let document = read();
        let create = &document["paths"]["/v1/orders"]["post"];
        assert_eq!(
            create["summary"],
            "Places an order: all of its lines, or none."
        );
        assert!(
            create["description"]
                .as_str()
                .unwrap()
                .contains("requestId")
        );
        let text = document.to_string();
        assert!(!text.contains("page_size"), "JSON has another name for it");

        let login = &document["paths"]["/v1/users:login"]["post"];
        let example = &login["requestBody"]["content"]["application/json"]["example"];
        let known = json!({"email": "ada@example.com", "password": "correct horse"});
        assert_eq!(*example, known);
        let key = &create["parameters"][0];
        assert_eq!(
            (&key["in"], &key["name"]),
            (&json!("header"), &json!("Idempotency-Key"))
        );
    }
}
