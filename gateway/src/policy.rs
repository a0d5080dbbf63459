//! Who may call what, as the contract says.

use std::fmt::Write;

use orderflow_chassis::health;
use orderflow_identity::{Policy, Rule, Unprotected};
use orderflow_proto::{is_internal, methods, path};
use prost_reflect::DescriptorPool;

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

/// A page with a line for each method of the contract: its path, and who may call it.
pub(crate) fn page(pool: &DescriptorPool) -> Result<String, Unprotected> {
    let policy = Policy::read(pool, |_| true)?;
    let rows: Vec<_> = methods(pool)
        .map(|method| {
            let path = path(&method);
            let who = policy.rule(&path).map(who).unwrap_or_default();
            (format!("`{path}`"), who)
        })
        .collect();
    let width =
        |cells: &mut dyn Iterator<Item = &String>| cells.map(String::len).max().unwrap_or(0);
    let paths = width(&mut rows.iter().map(|(path, _)| path));
    let whos = width(&mut rows.iter().map(|(_, who)| who));
    let mut page = format!("{HEADING}\n| {:paths$} | {:whos$} |\n", "method", "who");
    let _ = writeln!(page, "|{:-<1$}|{2:-<3$}|", "", paths + 2, "", whos + 2);
    for (path, who) in rows {
        let _ = writeln!(page, "| {path:paths$} | {who:whos$} |");
    }
    Ok(page)
}

const HEADING: &str = "\
# Who may call what

As each method's `option (orderflow.options.v1.auth)` says. `orderflow-gateway policy` prints this page. Whose order or product it
is, the services judge by themselves.
";

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
        assert!(page(&pool).is_err());
    }

    #[test]
    fn the_page_says_who() {
        let page = page(orderflow_proto::descriptors()).unwrap();
        let who = |method: &str| {
            let line = page.lines().find(|line| line.contains(method)).unwrap();
            line.split('|').nth(2).unwrap().trim()
        };
        assert_eq!(who("UserService/Login"), "anybody");
        assert_eq!(who("OrderService/CreateOrder"), "any user");
        assert!(who("InventoryService/Reserve").starts_with("services only"));
    }

    #[test]
    fn what_is_documented_is_what_the_contract_says() {
        const HOW: &str = "cargo run -p orderflow-gateway -- policy > docs/policy.md";
        let page = page(orderflow_proto::descriptors()).unwrap();
        assert!(include_str!("../../docs/policy.md") == page, "{HOW}");
    }

    /// The README says in its own words whose the resources are; about tokens it says what the contract does.
    #[test]
    fn the_readme_names_every_public_method_and_whether_it_takes_a_token() {
        let rows = include_str!("../../README.md").lines().filter_map(|line| {
            let (methods, who) = line
                .strip_prefix("| `")?
                .strip_suffix(" |")?
                .split_once(" | ")?;
            let (service, methods) = methods.split_once("`: ")?;
            let package = service.strip_suffix("Service")?.to_lowercase();
            let service = format!("/orderflow.{package}.v1.{service}");
            Some((service, methods.split(", "), who))
        });
        let mut documented: Vec<_> = rows
            .flat_map(|(service, methods, who)| {
                methods.map(move |method| (format!("{service}/{method}"), who == "anybody"))
            })
            .collect();
        let own: Vec<_> = health::PATHS.into_iter().chain(REFLECTION).collect();
        let mut declared: Vec<_> = read(orderflow_proto::descriptors())
            .unwrap()
            .rules()
            .filter(|(path, _)| !own.contains(path))
            .map(|(path, rule)| (path.to_owned(), *rule == Rule::Public))
            .collect();
        documented.sort();
        declared.sort();
        assert_eq!(documented, declared);
    }
}
