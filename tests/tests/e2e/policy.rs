//! Every method of the contract, called by every kind of caller, at every place: who is let in is what the contract says. A new
//! method is in it as soon as it is declared.

use std::{collections::BTreeSet, time::Duration};

use orderflow_contract::Id;
use orderflow_identity::{Claims, Signer, User};
use orderflow_proto::{
    auth,
    options::v1::{Access, Auth},
};
use orderflow_testkit::{Refusal, World};
use serde_json::json;
use tonic::Code;

use crate::{
    forger::Forger,
    wire::{ADMITTED, Caller, Headers, MALFORMED, Place, Wire, bearer, in_http, methods, path},
};

/// Who calls.
enum Who {
    /// Nobody, or somebody whose token is worth nothing.
    Nobody,
    /// A user with these roles.
    User(Vec<String>),
    /// Another service, on the lists of those that have one.
    Service,
}

/// How it must end: the code, and the reason.
fn expected(auth: &Auth, who: &Who, place: Place, is_here: bool) -> (Code, &'static str) {
    const LET_IN: (Code, &str) = (Code::InvalidArgument, ADMITTED);
    const NO_TOKEN: (Code, &str) = (Code::Unauthenticated, "TOKEN_REQUIRED");
    const UNKNOWN: (Code, &str) = (Code::Unimplemented, "UNKNOWN_METHOD");
    const WRONG_ROLE: (Code, &str) = (Code::PermissionDenied, "ROLE_REQUIRED");
    if !is_here {
        return UNKNOWN;
    }
    match (auth.access(), who) {
        (Access::Unspecified, _) => panic!("a method without a policy"),
        (Access::Public, _) => LET_IN,
        (Access::Service, _) if matches!(place, Place::Gateway(_)) => UNKNOWN,
        (Access::Service, Who::Service) => LET_IN,
        (Access::User, Who::User(_)) => LET_IN,
        (Access::Role, Who::User(roles)) => {
            match auth.roles.iter().any(|role| roles.contains(role)) {
                true => LET_IN,
                false => WRONG_ROLE,
            }
        }
        _ => NO_TOKEN,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_admits_whom_the_contract_says_and_nobody_else() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let secret = &world.settings["SECRET_KEY"];
    let signer = Signer::derive(secret, "user").unwrap();
    let token = |roles: &[&str]| {
        let user = User {
            id: ada.id.parse().unwrap(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            session_id: Id::random(),
        };
        Claims::user(&user, Duration::from_secs(600)).sign(&signer)
    };
    let expired = {
        let user = User {
            id: ada.id.parse().unwrap(),
            roles: vec!["admin".to_owned()],
            session_id: Id::random(),
        };
        let mut claims =
            serde_json::to_value(Claims::user(&user, Duration::from_secs(600))).unwrap();
        claims["exp"] = json!(claims["iat"].as_u64().unwrap() - 120);
        serde_json::from_value::<Claims>(claims)
            .unwrap()
            .sign(&signer)
    };
    let forged = {
        let stranger = Forger::new("a secret of somebody else, 32 bytes", "user");
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": Forger::new(secret, "user").kid});
        let claims =
            serde_json::to_string(&Claims::service("order", Duration::from_secs(600))).unwrap();
        stranger.sign(&header.to_string(), &claims)
    };
    let service = {
        let signer = Signer::derive(&world.settings["ORDER_SERVICE_KEY"], "service").unwrap();
        Claims::service("order", Duration::from_secs(600)).sign(&signer)
    };

    let mut callers: Vec<(String, Who, Headers)> = vec![
        (
            "nobody, without a token".to_owned(),
            Who::Nobody,
            Headers::new(),
        ),
        (
            "nobody, with an expired token".to_owned(),
            Who::Nobody,
            bearer(&expired),
        ),
        (
            "nobody, with a forged token".to_owned(),
            Who::Nobody,
            bearer(&forged),
        ),
        ("a service".to_owned(), Who::Service, bearer(&service)),
        ("a user".to_owned(), Who::User(vec![]), bearer(&ada.token)),
    ];
    let declared = methods()
        .into_iter()
        .flat_map(|method| auth(&method).unwrap_or_default().roles);
    let roles: BTreeSet<_> = declared
        .chain(["admin".to_owned(), "nobody-knows".to_owned()])
        .collect();
    callers.extend(roles.into_iter().map(|role| {
        let headers = bearer(&token(&[&role]));
        (
            format!("a user who is {role}"),
            Who::User(vec![role]),
            headers,
        )
    }));

    let caller = Caller::new(&world);
    for method in methods() {
        let auth = auth(&method).unwrap_or_default();
        for place in Place::ALL {
            for (name, who, headers) in &callers {
                let status = caller.call(place, &path(&method), headers, MALFORMED).await;
                let refusal = Refusal::from(&status);
                assert_eq!(
                    (refusal.code, refusal.reason.as_str()),
                    expected(&auth, who, place, place.has(&method)),
                    "{} by {name} at {place:?}",
                    method.full_name()
                );
            }
        }
        // In JSON nothing that is malformed comes as far as the policy. What is refused by it is told by the reason.
        let Some(call) = in_http(&method) else {
            assert_eq!(auth.access(), Access::Service, "{}", method.full_name());
            continue;
        };
        for (name, who, headers) in &callers {
            let gateway = Place::Gateway(Wire::Grpc);
            let refused = match expected(&auth, who, gateway, true) {
                (Code::InvalidArgument, _) => None,
                (Code::Unauthenticated, reason) => Some((401, reason.to_owned())),
                (_, reason) => Some((403, reason.to_owned())),
            };
            let answer = caller.call_in_http(&call, headers).await;
            let by_policy = [
                "TOKEN_REQUIRED",
                "ROLE_REQUIRED",
                "UNKNOWN_PATH",
                "UNKNOWN_METHOD",
            ];
            let is_refused = by_policy.contains(&answer.1.as_str());
            assert_eq!(
                is_refused.then_some(answer),
                refused,
                "{} by {name} in JSON",
                method.full_name()
            );
        }
    }
}
