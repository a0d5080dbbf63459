//! What clients rely on beyond names, numbers and types, which `buf breaking` holds: the HTTP bindings, who may call, and what
//! fields may hold. docs/compatibility.md says what may change.

#![allow(clippy::unwrap_used, reason = "to panic is how a test fails")]
use std::{fs, path::Path};

use orderflow_proto::{
    descriptors, methods,
    options::v1::{Access, Auth, Field},
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value,
    prost::Message,
};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

fn released() -> DescriptorPool {
    DescriptorPool::decode(include_bytes!("../released/v1.binpb").as_slice()).unwrap()
}

#[test]
fn nothing_that_was_released_is_taken_back() {
    let broken = broken(&released(), descriptors());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_kind_of_break_is_seen() {
    const ORDERS: &str = "orderflow/order/v1/order_service.proto";
    const PRODUCTS: &str = "orderflow/catalog/v1/catalog_service.proto";
    for (file, from, to, seen) in [
        (
            ORDERS,
            "rpc GetOrder(",
            "rpc ReadOrder(",
            "OrderService.GetOrder is gone",
        ),
        (
            ORDERS,
            "post: \"/v1/orders\"",
            "post: \"/v1/order\"",
            "OrderService.CreateOrder: an HTTP binding",
        ),
        (
            PRODUCTS,
            "body: \"product\"",
            "body: \"*\"",
            "CatalogService.UpdateProduct: an HTTP binding",
        ),
        (
            PRODUCTS,
            "ACCESS_PUBLIC",
            "ACCESS_USER",
            "CatalogService.GetProduct: fewer may call",
        ),
        (
            ORDERS,
            "max_items: 100",
            "max_items: 99",
            "CreateOrderRequest.lines: max_items",
        ),
        (
            ORDERS,
            "max_length: 128",
            "max_length: 64",
            "CreateOrderRequest.request_id: max_length",
        ),
        (
            ORDERS,
            "^[!-~]*$",
            "^[0-9a-f-]*$",
            "CreateOrderRequest.request_id: pattern",
        ),
        (
            ORDERS,
            "max: 10000\n",
            "max: 9999\n",
            "CreateOrderLine.quantity: max",
        ),
        (
            ORDERS,
            "{min: 0}",
            "{min: 1}",
            "ListOrdersRequest.page_size: min",
        ),
        (
            ORDERS,
            "string page_token = 2;",
            "string page_token = 2 [(orderflow.options.v1.field) = {required: true}];",
            "ListOrdersRequest.page_token: required",
        ),
        (
            ORDERS,
            "string resume_token = 3;",
            "string resume = 3;",
            "WatchOrdersRequest.resume_token is gone",
        ),
    ] {
        let broken = broken(&released(), &changed(file, from, to));
        assert!(
            broken.iter().any(|line| line.ends_with(seen)),
            "{from} to {to}: {broken:?}"
        );
    }
}

#[test]
fn what_lets_more_through_breaks_nothing() {
    const ORDERS: &str = "orderflow/order/v1/order_service.proto";
    for (from, to) in [
        ("max_items: 100", "max_items: 200"),
        ("max_items: 100\n", "\n"),
        ("pattern: \"^[!-~]*$\"", ""),
        ("ACCESS_USER", "ACCESS_PUBLIC"),
        (
            "{get: \"/v1/orders\"}",
            "{get: \"/v1/orders\" additional_bindings: {get: \"/v1/orders:list\"}}",
        ),
        (
            "string resume_token = 3;",
            "string resume_token = 3;\n  int32 more = 4;",
        ),
    ] {
        let broken = broken(&released(), &changed(ORDERS, from, to));
        assert!(broken.is_empty(), "{from} to {to}: {broken:?}");
    }
}

/// What somebody who relies on `old` would miss in `new`.
fn broken(old: &DescriptorPool, new: &DescriptorPool) -> Vec<String> {
    let mut broken = Vec::new();
    for method in methods(old) {
        let name = method.full_name();
        let Some(now) = methods(new).find(|now| now.full_name() == name) else {
            broken.push(format!("{name} is gone"));
            continue;
        };
        let bindings = bindings(&now);
        if self::bindings(&method)
            .iter()
            .any(|binding| !bindings.contains(binding))
        {
            broken.push(format!("{name}: an HTTP binding"));
        }
        if !admits(&auth(&now), &auth(&method)) {
            broken.push(format!("{name}: fewer may call"));
        }
    }
    let ours = |message: &MessageDescriptor| message.full_name().starts_with("orderflow.");
    for message in old.all_messages().filter(ours) {
        let now = new.get_message_by_name(message.full_name());
        for field in message.fields() {
            let name = field.full_name();
            match now
                .as_ref()
                .and_then(|now| now.get_field_by_name(field.name()))
            {
                None => broken.push(format!("{name} is gone")),
                Some(now) => {
                    let narrower = narrower(&limits(&field), &limits(&now));
                    broken.extend(narrower.map(|limit| format!("{name}: {limit}")));
                }
            }
        }
    }
    broken
}

/// The limits of `new` that refuse what `old` let through.
fn narrower(old: &Field, new: &Field) -> impl Iterator<Item = &'static str> + use<> {
    fn below<T: PartialOrd>(new: Option<T>, old: Option<T>) -> bool {
        new.is_some_and(|new| old.is_none_or(|old| new < old))
    }
    fn above<T: PartialOrd>(new: Option<T>, old: Option<T>) -> bool {
        new.is_some_and(|new| old.is_none_or(|old| new > old))
    }
    let other = |new: &str, old: &str| !new.is_empty() && new != old;
    [
        ("required", new.required && !old.required),
        ("output_only", new.output_only && !old.output_only),
        ("min", above(new.min, old.min)),
        ("max", below(new.max, old.max)),
        ("min_length", above(new.min_length, old.min_length)),
        ("max_length", below(new.max_length, old.max_length)),
        ("min_bytes", above(new.min_bytes, old.min_bytes)),
        ("max_bytes", below(new.max_bytes, old.max_bytes)),
        ("min_items", above(new.min_items, old.min_items)),
        ("max_items", below(new.max_items, old.max_items)),
        ("pattern", other(&new.pattern, &old.pattern)),
        ("format", other(&new.format, &old.format)),
    ]
    .into_iter()
    .filter_map(|(limit, narrower)| narrower.then_some(limit))
}

/// Whether everybody whom `old` admits is admitted by `new`.
fn admits(new: &Auth, old: &Auth) -> bool {
    match (old.access(), new.access()) {
        (Access::Service, now) => now == Access::Service,
        (_, Access::Public) => true,
        (Access::User | Access::Role, Access::User) => true,
        (Access::Role, Access::Role) => old.roles.iter().all(|role| new.roles.contains(role)),
        _ => false,
    }
}

fn auth(method: &MethodDescriptor) -> Auth {
    let pool = method.parent_pool();
    option(&method.options(), pool, "orderflow.options.v1.auth").unwrap_or_default()
}

fn limits(field: &FieldDescriptor) -> Field {
    let pool = field.parent_pool();
    option(&field.options(), pool, "orderflow.options.v1.field").unwrap_or_default()
}

/// The ways to call a method over HTTP, each as its encoded `HttpRule`.
fn bindings(method: &MethodDescriptor) -> Vec<Vec<u8>> {
    let http = method
        .parent_pool()
        .get_extension_by_name("google.api.http")
        .unwrap();
    let options = method.options();
    if !options.has_extension(&http) {
        return Vec::new();
    }
    let mut rule = options.get_extension(&http).as_message().unwrap().clone();
    let more = rule
        .get_field_by_name("additional_bindings")
        .map(|more| more.into_owned());
    rule.clear_field_by_name("additional_bindings");
    let more = more
        .iter()
        .filter_map(Value::as_list)
        .flatten()
        .filter_map(Value::as_message);
    more.chain([&rule]).map(Message::encode_to_vec).collect()
}

fn option<T: Message + Default>(
    options: &DynamicMessage,
    pool: &DescriptorPool,
    name: &str,
) -> Option<T> {
    let extension = pool.get_extension_by_name(name)?;
    options.has_extension(&extension).then(|| {
        options
            .get_extension(&extension)
            .as_message()?
            .transcode_to()
            .ok()
    })?
}

/// The contract with one file changed.
fn changed(file: &str, from: &str, to: &str) -> DescriptorPool {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Changed {
        file: file.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    });
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    for file in released()
        .files()
        .filter(|file| file.name().starts_with("orderflow/"))
    {
        compiler.open_file(file.name()).unwrap();
    }
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

struct Changed {
    file: String,
    from: String,
    to: String,
}

impl FileResolver for Changed {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let mut source =
            fs::read_to_string(path).map_err(|_| protox::Error::file_not_found(name))?;
        if name == self.file {
            assert!(source.contains(&self.from), "{name} has no {}", self.from);
            source = source.replace(&self.from, &self.to);
        }
        File::from_source(name, &source)
    }
}
