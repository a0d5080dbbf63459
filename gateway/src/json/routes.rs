//! Which method a path calls, as the contract says by `google.api.http`.

use std::collections::HashMap;

use http::Method;
use orderflow_proto::{is_internal, methods, path};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value,
};

use super::{
    field::{FieldPath, message_in},
    template::{Path, Template},
};

/// One way to call a method.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// The HTTP method.
    pub(crate) verb: Method,
    /// The path, with fields in it.
    pub(crate) template: Template,
    /// What the body holds.
    pub(crate) body: Body,
    /// What is called.
    pub(crate) method: MethodDescriptor,
}

/// What the body of a request holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    /// Nothing. What is not in the path is in the query.
    None,
    /// Everything that is not in the path.
    All,
    /// This message of the request. What is neither here nor in the path is in the query.
    Field(FieldDescriptor),
}

/// A rule of the contract that the gateway cannot keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the google.api.http rule of {method}: {reason}")]
pub struct Unsupported {
    /// Whose rule it is: `orderflow.order.v1.OrderService.CreateOrder`.
    pub method: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Every way to call a method that is not for services only, those first that win where a path matches several.
pub(crate) fn bindings(pool: &DescriptorPool) -> Result<Vec<Binding>, Unsupported> {
    let methods = methods(pool).filter(|method| !is_internal(method));
    let mut all = Vec::new();
    for method in methods {
        let bindings = of_method(&method).map_err(|reason| unsupported(&method, reason))?;
        all.extend(bindings);
    }
    all.sort_by_key(|binding: &Binding| binding.template.precedence());

    let mut known = HashMap::new();
    for Binding {
        verb,
        template,
        method,
        ..
    } in &all
    {
        if let Some(other) = known.insert((verb, template.shape()), method.full_name()) {
            let reason = format!("{verb} {template} already calls {other}");
            return Err(unsupported(method, reason));
        }
    }
    Ok(all)
}

fn unsupported(method: &MethodDescriptor, reason: String) -> Unsupported {
    Unsupported {
        method: method.full_name().to_owned(),
        reason,
    }
}

fn of_method(method: &MethodDescriptor) -> Result<Vec<Binding>, String> {
    if method.is_client_streaming() {
        return Err("a stream of requests cannot be sent in JSON".to_owned());
    }
    let rule = rule(method).ok_or("there is none")?;
    let mut bindings = vec![of_rule(method, &rule)?];
    for more in messages(&rule, "additional_bindings") {
        if messages(&more, "additional_bindings").next().is_some() {
            return Err("additional_bindings within additional_bindings".to_owned());
        }
        bindings.push(of_rule(method, &more)?);
    }
    Ok(bindings)
}

fn rule(method: &MethodDescriptor) -> Option<DynamicMessage> {
    let extension = method
        .parent_pool()
        .get_extension_by_name("google.api.http")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    options.get_extension(&extension).as_message().cloned()
}

fn of_rule(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Binding, String> {
    if let Some(feature) = ["custom", "selector", "response_body"]
        .into_iter()
        .find(|name| rule.has_field_by_name(name))
    {
        return Err(format!("{feature} is not supported"));
    }
    let verbs = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    let (verb, path) = verbs
        .into_iter()
        .find_map(|(name, verb)| Some((verb, text(rule, name)?)))
        .ok_or("it has no path")?;
    let request = method.input();
    let body = body(&text(rule, "body").unwrap_or_default(), &request)?;
    if body != Body::None && [Method::GET, Method::DELETE].contains(&verb) {
        return Err(format!("{verb} has no body"));
    }
    Ok(Binding {
        verb,
        template: Template::parse(&path, &request)?,
        body,
        method: method.clone(),
    })
}

fn body(name: &str, request: &MessageDescriptor) -> Result<Body, String> {
    match name {
        "" => Ok(Body::None),
        "*" => Ok(Body::All),
        name => request
            .get_field_by_name(name)
            .filter(|field| message_in(field).is_some())
            .map(Body::Field)
            .ok_or_else(|| format!("{name} is not a field that holds a message")),
    }
}

fn text(message: &DynamicMessage, name: &str) -> Option<String> {
    if !message.has_field_by_name(name) {
        return None;
    }
    Some(message.get_field_by_name(name)?.as_str()?.to_owned())
}

fn messages(message: &DynamicMessage, name: &str) -> impl Iterator<Item = DynamicMessage> {
    let list = match message.get_field_by_name(name).as_deref() {
        Some(Value::List(list)) => list.clone(),
        _ => Vec::new(),
    };
    list.into_iter()
        .filter_map(|value| value.as_message().cloned())
}

/// All bindings, to find the one that a request means.
pub(crate) struct Routes {
    bindings: Vec<Binding>,
}

/// What a request means.
#[derive(Debug)]
pub(crate) enum Found<'r, 'p> {
    /// This, with what the path says.
    Call(&'r Binding, Vec<(&'r FieldPath, &'p [u8])>),
    /// The path is known with other HTTP methods only: these.
    Other(Vec<&'r Method>),
    /// The path of a method as gRPC calls it.
    Grpc,
    /// Nothing.
    Nothing,
}

impl Routes {
    /// Reads the contract once.
    pub(crate) fn read(pool: &DescriptorPool) -> Result<Self, Unsupported> {
        Ok(Self {
            bindings: bindings(pool)?,
        })
    }

    /// The first binding that fits; HEAD is a GET without its body.
    pub(crate) fn find<'p>(&self, verb: &Method, raw: &str, path: &'p Path<'_>) -> Found<'_, 'p> {
        let verb = match verb {
            &Method::HEAD => &Method::GET,
            verb => verb,
        };
        let mut others = Vec::new();
        for binding in &self.bindings {
            match binding.template.captures(path) {
                Some(captures) if binding.verb == verb => return Found::Call(binding, captures),
                Some(_) if !others.contains(&&binding.verb) => others.push(&binding.verb),
                _ => {}
            }
        }
        match others.is_empty() {
            false => Found::Other(others),
            true if self.bindings.iter().any(|binding| binding.path() == raw) => Found::Grpc,
            true => Found::Nothing,
        }
    }
}

impl Binding {
    /// The path of the method as gRPC calls it.
    pub(crate) fn path(&self) -> String {
        path(&self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract of a test: options and messages, compiled in memory.
    fn contract(methods: &str) -> DescriptorPool {
        let text = format!(
            "syntax = \"proto3\"; package test;
            import \"google/api/annotations.proto\";
            message Inner {{ string id = 1; }}
            message M {{ string id = 1; Inner inner = 2; repeated string list = 3; }}
            service S {{ {methods} }}"
        );
        crate::json::contract::compile(&text)
    }

    fn reason(methods: &str) -> String {
        let Unsupported { method, reason } = bindings(&contract(methods)).unwrap_err();
        assert!(method.starts_with("test.S."), "{method}");
        reason
    }

    fn method(rule: &str) -> String {
        format!("rpc A(M) returns (M) {{ option (google.api.http) = {{ {rule} }}; }}")
    }

    fn found(routes: &Routes, verb: &Method, path: &str) -> String {
        match routes.find(verb, path, &Path::parse(path)) {
            Found::Call(binding, captures) => {
                let values = captures.iter().map(|(field, value)| {
                    format!(" {field}={}", std::str::from_utf8(value).unwrap())
                });
                binding.method.name().to_owned() + &values.collect::<String>()
            }
            Found::Other(verbs) => format!("{verbs:?}"),
            Found::Grpc => "gRPC".to_owned(),
            Found::Nothing => String::new(),
        }
    }

    #[test]
    fn every_public_method_has_a_path() {
        let pool = orderflow_proto::descriptors();
        let bindings = bindings(pool).unwrap();
        let bound = |method: &MethodDescriptor| bindings.iter().any(|b| b.method == *method);
        for service in pool.services() {
            for method in service.methods() {
                assert_eq!(
                    bound(&method),
                    !is_internal(&method),
                    "{}",
                    method.full_name()
                );
            }
        }
    }

    #[test]
    fn paths_call_methods() {
        let routes = Routes::read(orderflow_proto::descriptors()).unwrap();
        let found = |verb, path| found(&routes, &verb, path);
        assert_eq!(found(Method::GET, "/v1/products/p"), "GetProduct id=p");
        assert_eq!(found(Method::HEAD, "/v1/products/p"), "GetProduct id=p");
        assert_eq!(
            found(Method::PATCH, "/v1/products/p"),
            "UpdateProduct product.id=p"
        );
        assert_eq!(
            found(Method::POST, "/v1/products/p:adjustStock"),
            "AdjustStock product_id=p"
        );
        assert_eq!(
            found(Method::GET, "/v1/products:batchGet"),
            "BatchGetProducts"
        );
        assert_eq!(
            found(Method::POST, "/v1/orders/o:cancel"),
            "CancelOrder id=o"
        );
        assert_eq!(
            found(Method::PATCH, "/v1/orders/o/status"),
            "UpdateOrderStatus id=o"
        );
        assert_eq!(found(Method::GET, "/v1/orders:stats"), "GetOrderStats");

        assert_eq!(found(Method::PUT, "/v1/orders"), "[POST, GET]");
        assert_eq!(found(Method::GET, "/v1/orders/o:cancel"), "[POST]");
        assert_eq!(found(Method::GET, "/v1/orders/o:uncancel"), "");
        assert_eq!(found(Method::GET, "/v1/nothing"), "");
        let grpc = "/orderflow.order.v1.OrderService/GetOrder";
        assert_eq!(found(Method::GET, grpc), "gRPC");
        // What is for services only does not exist here.
        let internal = "/orderflow.catalog.v1.InventoryService/Reserve";
        assert_eq!(found(Method::POST, internal), "");
    }

    #[test]
    fn literals_win_over_variables() {
        let routes = Routes::read(&contract(
            r#"rpc Any(M) returns (M) { option (google.api.http) = {get: "/a/{id}"}; }
            rpc AnyVerb(M) returns (M) { option (google.api.http) = {get: "/a/{id}:go"}; }
            rpc One(M) returns (M) { option (google.api.http) = {
                get: "/a/one" additional_bindings {post: "/a/uno" body: "inner"} }; }
            rpc OneVerb(M) returns (M) { option (google.api.http) = {get: "/a/one:go"}; }"#,
        ))
        .unwrap();
        let get = |path| found(&routes, &Method::GET, path);
        assert_eq!(get("/a/one"), "One");
        assert_eq!(get("/a/two"), "Any id=two");
        assert_eq!(get("/a/one:go"), "OneVerb");
        assert_eq!(get("/a/two:go"), "AnyVerb id=two");
        // The literal is known with another method only.
        assert_eq!(get("/a/uno"), "Any id=uno");
        assert_eq!(found(&routes, &Method::POST, "/a/uno"), "One");
    }

    #[test]
    fn what_is_not_supported_keeps_the_gateway_from_starting() {
        for (rule, reason_has) in [
            (r#"custom {kind: "LIST" path: "/a"}"#, "custom"),
            (r#"get: "/a" selector: "b""#, "selector"),
            (r#"get: "/a" response_body: "id""#, "response_body"),
            (r#"get: "/a/**""#, "**"),
            (r#"get: "/a/{id=b/*}""#, "id=b"),
            (r#"get: "/a/{nothing}""#, "nothing"),
            (r#"get: "/a" body: "*""#, "GET has no body"),
            (r#"post: "/a" body: "id""#, "id"),
            (r#"post: "/a" body: "nothing""#, "nothing"),
            (r#"body: "*""#, "no path"),
            (
                r#"get: "/a" additional_bindings {get: "/b" additional_bindings {get: "/c"}}"#,
                "within",
            ),
        ] {
            let reason = reason(&method(rule));
            assert!(reason.contains(reason_has), "{rule}: {reason}");
        }
        assert_eq!(reason("rpc A(M) returns (M);"), "there is none");
        let streaming = method(r#"post: "/a""#).replace("A(M)", "A(stream M)");
        assert!(reason(&streaming).contains("stream"));
    }

    #[test]
    fn one_path_cannot_mean_two_methods() {
        let two = method(r#"get: "/a/{id}""#)
            + r#"rpc B(M) returns (M) { option (google.api.http) = {get: "/a/{inner.id}"}; }"#;
        assert!(reason(&two).contains("already calls test.S."));
        let by_verb = two.replace("get: \"/a/{inner", "delete: \"/a/{inner");
        assert_eq!(bindings(&contract(&by_verb)).unwrap().len(), 2);
    }
}
