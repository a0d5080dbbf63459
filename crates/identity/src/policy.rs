use std::collections::HashMap;

use orderflow_proto::{auth, methods, options::v1::Access, path};
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::Caller;

/// Who may call a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Anybody.
    Public,
    /// Any user.
    User,
    /// A user with one of these roles.
    Role(Vec<String>),
    /// Another service.
    Service,
}

/// The rule of every method, by its path: `/orderflow.order.v1.OrderService/CreateOrder`.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: HashMap<String, Rule>,
}

/// Methods that do not say who may call them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no option (orderflow.options.v1.auth) on {}", .0.join(", "))]
pub struct Unprotected(pub Vec<String>);

/// Why a call may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There is no such method here.
    Unknown,
    /// It takes a token, and none that counts was there.
    Unauthenticated,
    /// The caller is known and may not.
    Forbidden,
    /// It takes a token, and there is no key yet to verify one with.
    NotYet,
}

impl Policy {
    /// The rules of all methods in the pool that `include` keeps. Deny by default: what is left out cannot be called, and a
    /// method without a rule is an error.
    pub fn read(
        pool: &DescriptorPool,
        include: impl Fn(&MethodDescriptor) -> bool,
    ) -> Result<Self, Unprotected> {
        let mut rules = HashMap::new();
        let mut unprotected = Vec::new();
        for method in methods(pool).filter(include) {
            let name = method.full_name().to_owned();
            match rule(&method) {
                Some(rule) => _ = rules.insert(path(&method), rule),
                None => unprotected.push(name),
            }
        }
        if unprotected.is_empty() {
            Ok(Self { rules })
        } else {
            Err(Unprotected(unprotected))
        }
    }

    /// Lets everybody call these paths too: those of gRPC's own services.
    pub fn and_public(mut self, paths: impl IntoIterator<Item = &'static str>) -> Self {
        let public = paths
            .into_iter()
            .map(|path| (path.to_owned(), Rule::Public));
        self.rules.extend(public);
        self
    }

    /// Every path with its rule.
    pub fn rules(&self) -> impl Iterator<Item = (&str, &Rule)> {
        self.rules.iter().map(|(path, rule)| (path.as_str(), rule))
    }

    /// The rule of a path.
    pub fn rule(&self, path: &str) -> Option<&Rule> {
        self.rules.get(path)
    }
}

impl Rule {
    /// Whether this caller may.
    pub fn admits(&self, caller: Option<&Caller>) -> Result<(), Denied> {
        match (self, caller) {
            (Self::Public, _)
            | (Self::User, Some(Caller::User(_)))
            | (Self::Service, Some(Caller::Service(_))) => Ok(()),
            (Self::Role(roles), Some(Caller::User(user))) => {
                let has_one = roles.iter().any(|role| user.roles.contains(role));
                has_one.then_some(()).ok_or(Denied::Forbidden)
            }
            _ => Err(Denied::Unauthenticated),
        }
    }
}

fn rule(method: &MethodDescriptor) -> Option<Rule> {
    let auth = auth(method)?;
    match auth.access() {
        Access::Unspecified => None,
        Access::Public => Some(Rule::Public),
        Access::User => Some(Rule::User),
        Access::Role if auth.roles.is_empty() => None,
        Access::Role => Some(Rule::Role(auth.roles)),
        Access::Service => Some(Rule::Service),
    }
}

#[cfg(test)]
mod tests {
    use orderflow_contract::Id;
    use orderflow_proto::descriptors;

    use super::*;
    use crate::User;

    fn user(roles: &[&str]) -> Caller {
        Caller::User(User {
            id: Id::random(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            session_id: Id::random(),
        })
    }

    #[test]
    fn rules_come_from_the_contract() {
        let policy = Policy::read(descriptors(), |_| true).unwrap();
        let rule = |path| policy.rule(path).cloned();
        assert_eq!(
            rule("/orderflow.user.v1.UserService/Login"),
            Some(Rule::Public)
        );
        assert_eq!(
            rule("/orderflow.order.v1.OrderService/CreateOrder"),
            Some(Rule::User)
        );
        assert_eq!(
            rule("/orderflow.catalog.v1.InventoryService/Reserve"),
            Some(Rule::Service)
        );
        assert_eq!(rule("/orderflow.order.v1.OrderService/Nothing"), None);
    }

    #[test]
    fn a_method_without_a_rule_is_an_error() {
        // gRPC's own health service knows nothing of our options.
        let set = tonic::codegen::Bytes::from_static(UNPROTECTED);
        let pool = DescriptorPool::decode(set).unwrap();
        let Unprotected(methods) = Policy::read(&pool, |_| true).unwrap_err();
        assert_eq!(methods, ["S.M"]);
    }

    /// `syntax = "proto3"; message E {} service S { rpc M(E) returns (E); }`
    const UNPROTECTED: &[u8] =
        b"\x0a\x24\x0a\x01f\x22\x03\x0a\x01E\x32\x12\x0a\x01S\x12\x0d\x0a\x01M\
        \x12\x02.E\x1a\x02.E\x22\x00\x62\x06proto3";

    #[test]
    fn each_rule_admits_its_own() {
        let service = Caller::Service("order".to_owned());
        let ops = Rule::Role(vec!["admin".to_owned(), "ops".to_owned()]);
        assert_eq!(Rule::Public.admits(None), Ok(()));
        assert_eq!(Rule::User.admits(None), Err(Denied::Unauthenticated));
        assert_eq!(Rule::User.admits(Some(&user(&[]))), Ok(()));
        assert_eq!(
            Rule::User.admits(Some(&service)),
            Err(Denied::Unauthenticated)
        );
        assert_eq!(ops.admits(Some(&user(&["ops"]))), Ok(()));
        assert_eq!(ops.admits(Some(&user(&[]))), Err(Denied::Forbidden));
        assert_eq!(Rule::Service.admits(Some(&service)), Ok(()));
        assert_eq!(
            Rule::Service.admits(Some(&user(&["admin"]))),
            Err(Denied::Unauthenticated)
        );
    }
}
