#![doc = include_str!("../README.md")]

use std::sync::LazyLock;

use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, FileDescriptor, MethodDescriptor,
    prost::Message,
};

/// Generated code, one module a proto package.
#[allow(missing_docs, unreachable_pub, clippy::all)]
mod generated {
    pub mod options {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/orderflow.options.v1.rs"));
        }
    }
    pub mod money {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/orderflow.money.v1.rs"));
        }
    }
    pub mod user {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/orderflow.user.v1.rs"));
        }
    }
    pub mod catalog {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/orderflow.catalog.v1.rs"));
        }
    }
    pub mod order {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/orderflow.order.v1.rs"));
        }
    }
}

pub use generated::{catalog, money, options, order, user};

/// The encoded `FileDescriptorSet` of the whole contract, with comments and custom options.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTOR_SET).expect("the build wrote a valid descriptor set")
});

/// The contract, to be read at run time.
pub fn descriptors() -> &'static DescriptorPool {
    &POOL
}

/// The policy that a method declares by `option (orderflow.options.v1.auth)`; `None` if it declares none.
pub fn auth(method: &MethodDescriptor) -> Option<options::v1::Auth> {
    option(&method.options(), "orderflow.options.v1.auth")
}

/// What a field may hold, by `option (orderflow.options.v1.field)`; nothing in particular if it says nothing.
pub fn field(field: &FieldDescriptor) -> options::v1::Field {
    option(&field.options(), "orderflow.options.v1.field").unwrap_or_default()
}

/// The method of the same service that asks for several of what this one asks for, by
/// `option (orderflow.options.v1.batched_by)`.
pub fn batched_by(method: &MethodDescriptor) -> Option<String> {
    let extension = descriptors().get_extension_by_name("orderflow.options.v1.batched_by")?;
    let options = method.options();
    let name = options.get_extension(&extension).as_str()?.to_owned();
    Some(name).filter(|name| !name.is_empty())
}

fn option<T: Message + Default>(options: &DynamicMessage, name: &str) -> Option<T> {
    let extension = descriptors().get_extension_by_name(name)?;
    if !options.has_extension(&extension) {
        return None;
    }
    options
        .get_extension(&extension)
        .as_message()?
        .transcode_to()
        .ok()
}

/// True for a method that only services may call.
pub fn is_internal(method: &MethodDescriptor) -> bool {
    auth(method).is_some_and(|auth| auth.access() == options::v1::Access::Service)
}

/// True for a method that may be called again without doing more than the first call did.
pub fn is_idempotent(method: &MethodDescriptor) -> bool {
    idempotency_level(method) != IdempotencyLevel::IdempotencyUnknown
}

/// True for a method that only looks something up.
pub fn has_no_side_effects(method: &MethodDescriptor) -> bool {
    idempotency_level(method) == IdempotencyLevel::NoSideEffects
}

fn idempotency_level(method: &MethodDescriptor) -> IdempotencyLevel {
    let options = method.method_descriptor_proto().options.as_ref();
    options.map_or(IdempotencyLevel::IdempotencyUnknown, |options| {
        options.idempotency_level()
    })
}

/// All methods, service by service.
pub fn methods(pool: &DescriptorPool) -> impl Iterator<Item = MethodDescriptor> {
    let services = pool.services();
    services.flat_map(|service| service.methods().collect::<Vec<_>>())
}

/// What a method is called by in gRPC: `/orderflow.order.v1.OrderService/GetOrder`.
pub fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// The encoded `FileDescriptorSet` that the world may see: every file but those whose methods are all for services only.
/// Leaving the file out is what hides it: reflection answers for every symbol of a file that it holds.
pub fn public_descriptor_set() -> Vec<u8> {
    let internal = |file: &FileDescriptor| {
        let mut methods = file
            .services()
            .flat_map(|s| s.methods().collect::<Vec<_>>());
        file.services().len() > 0 && methods.all(|m| is_internal(&m))
    };
    let mut set = Vec::new();
    for file in descriptors().files().filter(|file| !internal(file)) {
        // `FileDescriptorSet.file`, field 1, by hand: prost's own types would drop the custom options.
        let bytes = file.encode_to_vec();
        prost_reflect::prost::encoding::bytes::encode(1, &bytes, &mut set);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use options::v1::Access;

    #[test]
    fn options_and_comments_survive_the_build() {
        let service = descriptors()
            .get_service_by_name("orderflow.order.v1.OrderService")
            .unwrap();
        let method = service
            .methods()
            .find(|m| m.name() == "CreateOrder")
            .unwrap();
        assert_eq!(auth(&method).unwrap().access(), Access::User);
        let lines = method.input().get_field_by_name("lines").unwrap();
        assert_eq!(field(&lines).max_items, Some(100));

        let file = service.parent_file();
        let comments: Vec<_> = file
            .file_descriptor_proto()
            .source_code_info
            .iter()
            .flat_map(|info| &info.location)
            .filter_map(|location| location.leading_comments.as_deref())
            .collect();
        assert!(comments.iter().any(|c| c.contains("Places an order")));
    }

    #[test]
    fn what_may_be_called_again_says_so() {
        let is_idempotent = |service: &str, method: &str| {
            let service = descriptors().get_service_by_name(service).unwrap();
            let method = service.methods().find(|m| m.name() == method);
            is_idempotent(&method.unwrap())
        };
        assert!(is_idempotent("orderflow.order.v1.OrderService", "GetOrder"));
        assert!(is_idempotent(
            "orderflow.order.v1.OrderService",
            "CancelOrder"
        ));
        assert!(!is_idempotent(
            "orderflow.order.v1.OrderService",
            "CreateOrder"
        ));
        assert!(!is_idempotent("orderflow.user.v1.UserService", "Register"));
    }

    #[test]
    fn every_method_declares_its_policy() {
        for method in methods(descriptors()) {
            let access = auth(&method).map(|auth| auth.access());
            assert!(
                access.is_some_and(|a| a != Access::Unspecified),
                "{} has no policy",
                method.full_name()
            );
        }
    }

    #[test]
    fn the_public_set_hides_internal_files_and_keeps_options() {
        let set = public_descriptor_set();
        let pool = DescriptorPool::decode(set.as_slice()).unwrap();
        assert!(
            pool.get_service_by_name("orderflow.catalog.v1.InventoryService")
                .is_none()
        );
        assert!(
            pool.get_message_by_name("orderflow.catalog.v1.Reservation")
                .is_none()
        );
        assert!(
            pool.get_service_by_name("orderflow.user.v1.IdentityService")
                .is_none()
        );

        let create = pool
            .get_service_by_name("orderflow.order.v1.OrderService")
            .unwrap();
        let extension = pool
            .get_extension_by_name("orderflow.options.v1.auth")
            .unwrap();
        assert!(
            create
                .methods()
                .all(|m| m.options().has_extension(&extension))
        );
    }
}
