//! What answers besides success: errors as `google.rpc.Status`.

use orderflow_proto::options::v1::Access;
use serde_json::{Map, Value, json};

use super::{comments, reference};
use crate::json::{Binding, Body};

type Example = (i32, &'static str, &'static str);

/// Each with its HTTP status, its name, what it means, and an example: code, reason and message.
const ERRORS: [(&str, &str, &str, Example); 12] = [
    (
        "400",
        "BadRequest",
        "`INVALID_ARGUMENT`: the request is wrong, and a `BadRequest` names each wrong field. `FAILED_PRECONDITION`: it is \
         right, but things are not so that it can be done; a `PreconditionFailure` names each thing that stands in the way.",
        (3, "INVALID_REQUEST", "invalid lines[0].quantity"),
    ),
    (
        "401",
        "Unauthenticated",
        "`UNAUTHENTICATED`: no token that counts, or wrong credentials.",
        (16, "TOKEN_REQUIRED", "a valid access token is required"),
    ),
    (
        "403",
        "PermissionDenied",
        "`PERMISSION_DENIED`: the caller is known and may not do this.",
        (7, "NOT_OWNER", "the product is somebody else's"),
    ),
    (
        "404",
        "NotFound",
        "`NOT_FOUND`: there is no such thing, or it is not the caller's to see.",
        (5, "PRODUCT_NOT_FOUND", "no such product"),
    ),
    (
        "409",
        "Conflict",
        "`ALREADY_EXISTS`: it is there already, or the request id was used for something else. `ABORTED`: somebody else was \
         faster; read again.",
        (
            6,
            "REQUEST_ID_REUSED",
            "the request id was used for something else",
        ),
    ),
    (
        "413",
        "ContentTooLarge",
        "`RESOURCE_EXHAUSTED`: the body has more than 1 MiB.",
        (8, "MESSAGE_TOO_LARGE", "a body may have 1048576 bytes"),
    ),
    (
        "415",
        "UnsupportedMediaType",
        "`INVALID_ARGUMENT`: the body is not `application/json`.",
        (
            3,
            "UNSUPPORTED_MEDIA_TYPE",
            "the content type must be application/json",
        ),
    ),
    (
        "429",
        "TooManyRequests",
        "`RESOURCE_EXHAUSTED`: too much at the moment, and nothing was done.",
        (8, "BUSY", "too much at the moment"),
    ),
    (
        "499",
        "Cancelled",
        "`CANCELLED`: the call was given up. It may have taken effect.",
        (1, "CANCELLED", "the call was given up"),
    ),
    (
        "500",
        "Internal",
        "`INTERNAL` or `UNKNOWN`: something broke; the trace id leads to its cause. It may have taken effect.",
        (13, "INTERNAL", "internal error"),
    ),
    (
        "503",
        "Unavailable",
        "`UNAVAILABLE`: try again. It may have taken effect.",
        (14, "DATABASE_UNAVAILABLE", "the database is out of reach"),
    ),
    (
        "504",
        "DeadlineExceeded",
        "`DEADLINE_EXCEEDED`: the time for the call was over. It may have taken effect.",
        (4, "DEADLINE_EXCEEDED", "the time for this call is over"),
    ),
];

/// The errors that an operation may answer with. What only some have, the contract names.
pub(super) fn of(binding: &Binding) -> impl Iterator<Item = (&'static str, &'static str)> {
    let method = &binding.method;
    let input = method.input();
    let mut said = comments::of_method(method);
    said.extend(input.fields().map(|field| comments::of_field(&field)));
    let is_public = orderflow_proto::auth(method).is_some_and(|a| a.access() == Access::Public);
    let has_body = binding.body != Body::None;
    let has_variable = binding.template.variables().next().is_some();
    ERRORS
        .into_iter()
        .filter(move |(status, ..)| match *status {
            "401" => !is_public || said.contains("UNAUTHENTICATED"),
            "403" => !is_public,
            "404" => has_variable || said.contains("NOT_FOUND"),
            "409" => said.contains("ALREADY_EXISTS") || said.contains("ABORTED"),
            "413" | "415" => has_body,
            _ => true,
        })
        .map(|(status, name, ..)| (status, name))
}

/// The components that [`of`] names.
pub(super) fn all() -> Map<String, Value> {
    let response = |(status, name, description, (code, reason, message)): (
        &str,
        &str,
        &str,
        Example,
    )| {
        let example = json!({
            "code": code,
            "message": message,
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason,
                "domain": orderflow_contract::status::DOMAIN,
            }],
        });
        let mut headers = json!({"trace-id": reference("headers", "TraceId")});
        match status {
            "401" => headers["WWW-Authenticate"] = reference("headers", "WwwAuthenticate"),
            "429" | "503" => headers["Retry-After"] = reference("headers", "RetryAfter"),
            _ => {}
        }
        let response = json!({
            "description": description,
            "headers": headers,
            "content": {"application/json": {"schema": reference("schemas", "Status"), "example": example}},
        });
        (name.to_owned(), response)
    };
    ERRORS.into_iter().map(response).collect()
}

pub(super) fn headers() -> Value {
    json!({
        "TraceId": {
            "description": "The trace under which everything that the call caused is logged.",
            "required": true,
            "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        },
        "RetryAfter": {
            "description": "Seconds after which the same request may be sent again.",
            "schema": {"type": "integer", "minimum": 0},
        },
        "WwwAuthenticate": {
            "description": "That a bearer token is asked for.",
            "schema": {"type": "string"},
        },
    })
}

/// `google.rpc.Status`, as canonical JSON has it.
pub(super) fn schemas() -> Map<String, Value> {
    let status = json!({
        "type": "object",
        "description": "An error: `google.rpc.Status`.",
        "properties": {
            "code": {
                "type": "integer",
                "format": "int32",
                "description": "The code of gRPC.",
                "minimum": 1,
                "maximum": 16,
            },
            "message": {"type": "string", "description": "For developers, in English."},
            "details": {
                "type": "array",
                "description": "An `ErrorInfo` with a reason, and what else there is to say.",
                "items": reference("schemas", "ErrorDetail"),
            },
        },
        "required": ["code", "message"],
    });
    let detail = json!({
        "type": "object",
        "description": "One of the messages of `google.rpc` for details: `ErrorInfo`, `BadRequest`, `PreconditionFailure`, \
            `RetryInfo`.",
        "properties": {
            "@type": {"type": "string", "description": "Which one, as in `type.googleapis.com/google.rpc.ErrorInfo`."},
        },
        "required": ["@type"],
    });
    Map::from_iter([
        ("Status".to_owned(), status),
        ("ErrorDetail".to_owned(), detail),
    ])
}
