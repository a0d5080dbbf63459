//! Who may call what, as the contract says.

use std::fmt::Write;

use orderflow_chassis::health;
use orderflow_identity::{Policy, Rule, Unprotected};
use orderflow_proto::is_internal;
use prost_reflect::{DescriptorPool, MethodDescriptor};

/// Public, like health.
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The policy of the edge. Methods for services only are left out: from here they look as if they did not exist.
pub(crate) fn read(pool: &DescriptorPool) -> Result<Policy, Unprotected> {
    let own = health::PATHS.into_iter().chain(REFLECTION);
    Ok(Policy::read(pool, |method| !is_internal(method))?.and_public(own))
}

/// The services with at least one method that can be called from outside.
pub(crate) fn public_services(pool: &DescriptorPool) -> impl Iterator<Item = String> {
    pool.services()
        .filter(|service| service.methods().any(|method| !is_internal(&method)))
        .map(|service| service.full_name().to_owned())
}

/// A line for each method of the contract: its path, and who may call it.
pub(crate) fn table(pool: &DescriptorPool) -> Result<String, Unprotected> {
    let policy = Policy::read(pool, |_| true)?;
    let path = |m: MethodDescriptor| format!("/{}/{}", m.parent_service().full_name(), m.name());
    let paths: Vec<_> = pool
        .services()
        .flat_map(|service| service.methods().map(path).collect::<Vec<_>>())
        .collect();
    let width = paths.iter().map(String::len).max().unwrap_or(0);
    let mut table = String::new();
    for path in paths {
        let who = policy.rule(&path).map(who).unwrap_or_default();
        let _ = writeln!(table, "{path:width$}  {who}");
    }
    Ok(table)
}

fn who(rule: &Rule) -> String {
    match rule {
        Rule::Public => "anybody".to_owned(),
        Rule::User => "any user".to_owned(),
        Rule::Role(roles) => format!("users who are {}", roles.join(" or ")),
        Rule::Service => "services only, not through the gateway".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_methods_do_not_exist_here() {
        let policy = read(orderflow_proto::descriptors()).unwrap();
        let known = |path| policy.rule(path).is_some();
        assert!(known("/orderflow.order.v1.OrderService/CreateOrder"));
        assert!(!known("/orderflow.catalog.v1.InventoryService/Reserve"));
        assert!(!known("/orderflow.user.v1.IdentityService/GetKeys"));

        let services: Vec<_> = public_services(orderflow_proto::descriptors()).collect();
        assert!(services.contains(&"orderflow.user.v1.UserService".to_owned()));
        assert!(!services.contains(&"orderflow.user.v1.IdentityService".to_owned()));
    }

    #[test]
    fn a_method_without_a_policy_keeps_the_gateway_from_starting() {
        // gRPC's own health service knows nothing of our options.
        let pool = DescriptorPool::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        let crate::Error::Policy(Unprotected(methods)) = read(&pool).unwrap_err().into() else {
            panic!("another error");
        };
        assert!(methods.contains(&"grpc.health.v1.Health.Check".to_owned()));
        assert!(table(&pool).is_err());
    }

    #[test]
    fn the_table_says_who() {
        let table = table(orderflow_proto::descriptors()).unwrap();
        let who = |method: &str| {
            let line = table.lines().find(|line| line.contains(method)).unwrap();
            line.split_once("  ").unwrap().1.trim()
        };
        assert_eq!(who("UserService/Login"), "anybody");
        assert_eq!(who("OrderService/CreateOrder"), "any user");
        assert!(who("InventoryService/Reserve").starts_with("services only"));
    }
}
