//! One way to call a method, as an operation.

use orderflow_proto::options::v1::Access;
use prost_reflect::{FieldDescriptor, Kind, MethodDescriptor};
use serde_json::{Value, json};

use super::{comments, example, reference, responses, schema::Schemas};
use crate::json::{Binding, Body, FieldPath, Segment, is_well_known};

/// The path with its variables.
pub(super) fn path(binding: &Binding) -> String {
    let segments = binding.template.segments().iter();
    let mut path: String = segments
        .map(|segment| match segment {
            Segment::Literal(literal) => format!("/{literal}"),
            Segment::Variable(field) => format!("/{{{}}}", variable(binding, field)),
        })
        .collect();
    if let Some(verb) = binding.template.verb() {
        path = format!("{path}:{verb}");
    }
    path
}

/// The schema of the body of a binding that has one.
pub(super) fn body_schema(binding: &Binding, schemas: &mut Schemas) -> Value {
    match &binding.body {
        Body::Field(field) => match field.kind() {
            Kind::Message(message) => schemas.request(&message, |_| true),
            _ => schemas.field(field),
        },
        Body::None | Body::All => {
            let message = binding.method.input();
            schemas.request(&message, |field| !is_in_path(binding, field))
        }
    }
}

pub(super) fn of(binding: &Binding, schemas: &mut Schemas) -> Value {
    let method = &binding.method;
    let service = method.parent_service();
    let description = comments::of_method(method);
    let mut operation = json!({
        "operationId": format!("{}_{}", service.name(), method.name()),
        "tags": [service.name()],
        "summary": comments::summary(&description),
        "description": description,
        "security": security(method),
    });
    let parameters = parameters(binding, schemas);
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if binding.body != Body::None {
        operation["requestBody"] = body(binding, schemas);
    }
    let mut answers = json!({"200": success(method, schemas)});
    for (status, response) in responses::of(binding) {
        answers[status] = reference("responses", response);
    }
    operation["responses"] = answers;
    operation
}

fn security(method: &MethodDescriptor) -> Value {
    let auth = orderflow_proto::auth(method).unwrap_or_default();
    match auth.access() {
        Access::Public => json!([]),
        _ => json!([{"bearer": auth.roles}]),
    }
}

fn body(binding: &Binding, schemas: &mut Schemas) -> Value {
    let schema = body_schema(binding, schemas);
    let (message, example) = match &binding.body {
        Body::Field(field) => match field.kind() {
            Kind::Message(message) => (
                Some(message.clone()),
                example::of_message(&message, |_| true),
            ),
            _ => (None, None),
        },
        Body::None | Body::All => {
            let message = binding.method.input();
            let example = example::of_message(&message, |field| !is_in_path(binding, field));
            (Some(message), example)
        }
    };
    let is_required = message.is_some_and(|message| {
        let mut fields = message.fields();
        fields.any(|f| orderflow_proto::field(&f).required && !is_in_path(binding, &f))
    });
    let mut content = json!({"schema": schema});
    if let Some(example) = example {
        content["example"] = example;
    }
    json!({"required": is_required, "content": {"application/json": content}})
}

fn success(method: &MethodDescriptor, schemas: &mut Schemas) -> Value {
    let message = method.output();
    let mut description = comments::of_message(&message);
    let mut schema = schemas.response(&message);
    let content_type = match method.is_server_streaming() {
        true => "application/x-ndjson",
        false => "application/json",
    };
    if method.is_server_streaming() {
        description += "\n\nOne JSON object on each line. A failure in the middle of it is the last line: `{\"error\": ...}`.";
        let error = json!({
            "type": "object",
            "properties": {"error": reference("schemas", "Status")},
            "required": ["error"],
        });
        schema = json!({"anyOf": [schema, error]});
    }
    json!({
        "description": description,
        "headers": {"trace-id": reference("headers", "TraceId")},
        "content": {content_type: {"schema": schema}},
    })
}

fn parameters(binding: &Binding, schemas: &mut Schemas) -> Vec<Value> {
    let mut parameters = Vec::new();
    for field in binding.template.variables() {
        parameters.push(json!({
            "in": "path",
            "name": variable(binding, field),
            "required": true,
            "schema": schemas.field(field.field()),
        }));
    }
    let method = &binding.method;
    for field in method.input().fields() {
        let is_in_query = match &binding.body {
            Body::None => true,
            Body::All => false,
            Body::Field(body) => *body != field,
        };
        if is_in_query {
            query(binding, &mut vec![field], schemas, &mut parameters);
        }
    }
    if let Some(field) = method.input().get_field_by_name("request_id") {
        parameters.push(json!({
            "in": "header",
            "name": "Idempotency-Key",
            "description": "The same as `requestId`, for clients that would rather send it so.",
            "schema": schemas.field(&field),
        }));
    }
    for parameter in &mut parameters {
        // It says the same once.
        if let Some(description) = parameter["schema"]["description"].take().as_str() {
            let said = parameter["description"].as_str().unwrap_or(description);
            parameter["description"] = json!(said);
        }
        if let Some(schema) = parameter["schema"].as_object_mut() {
            schema.remove("description");
        }
    }
    parameters
}

/// The query parameters of a field: one, or one for each field within it.
fn query(
    binding: &Binding,
    path: &mut Vec<FieldDescriptor>,
    schemas: &mut Schemas,
    parameters: &mut Vec<Value>,
) {
    let field = path[path.len() - 1].clone();
    let is_taken = |variable: &FieldPath| variable.fields() == &path[..];
    if binding.template.variables().any(is_taken) {
        return;
    }
    match field.kind() {
        Kind::Message(message) if !is_well_known(&message) => {
            // Lists of messages cannot be written in a query.
            for inner in message
                .fields()
                .filter(|_| !field.is_list() && !field.is_map())
            {
                if path.contains(&inner) {
                    continue;
                }
                path.push(inner);
                query(binding, path, schemas, parameters);
                path.pop();
            }
        }
        _ => parameters.push(json!({
            "in": "query",
            "name": json_name(path),
            // What a message requires counts where there is one.
            "required": path.len() == 1 && orderflow_proto::field(&field).required,
            "schema": schemas.field(&field),
        })),
    }
}

fn json_name(path: &[FieldDescriptor]) -> String {
    let names: Vec<_> = path.iter().map(FieldDescriptor::json_name).collect();
    names.join(".")
}

/// What a variable of the path is called: as in JSON, without what it is in where it is the only one of its name. So all methods
/// of one path call it the same, as OpenAPI asks.
fn variable(binding: &Binding, path: &FieldPath) -> String {
    let name = |path: &FieldPath| path.field().json_name().to_owned();
    let same = binding
        .template
        .variables()
        .filter(|other| name(other) == name(path));
    match same.count() {
        1 => name(path),
        _ => json_name(path.fields()).replace('.', "_"),
    }
}

/// True for a field of the request, not of a message in it, that the path holds.
fn is_in_path(binding: &Binding, field: &FieldDescriptor) -> bool {
    let mut variables = binding.template.variables();
    variables.any(|variable| variable.fields() == std::slice::from_ref(field))
}
