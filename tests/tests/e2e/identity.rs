//! Who counts as whom: at the gateway, and at each service when it is called directly.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use orderflow_identity::{Claims, Signer, User, service::ServiceIdentity};
use orderflow_proto::{
    catalog::v1::{
        DeleteProductRequest, ReserveRequest, catalog_service_client::CatalogServiceClient,
        inventory_service_client::InventoryServiceClient,
    },
    order::v1::{ListOrdersRequest, order_service_client::OrderServiceClient},
    user::v1::{
        GetKeysRequest, GetMeRequest, identity_service_client::IdentityServiceClient,
        user_service_client::UserServiceClient,
    },
};
use orderflow_testkit::{Refusal, World};
use serde_json::{Value, json};
use tonic::{
    Code, Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

async fn connect(address: std::net::SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// What a request carries in its `authorization` headers, and anything else that pretends to be identity.
#[derive(Clone, Default)]
struct Headers(Vec<(&'static str, String)>);

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().append(*name, value.parse().unwrap());
        }
        Ok(request)
    }
}

/// One method that takes a user's token, at each place where it can be called.
async fn everywhere(world: &World, headers: Headers) -> Vec<(&'static str, Result<(), Status>)> {
    let system = &world.system;
    let at = async |address| InterceptedService::new(connect(address).await, headers.clone());
    let get_me = async |address| {
        let mut client = UserServiceClient::new(at(address).await);
        client.get_me(GetMeRequest {}).await.map(drop)
    };
    let delete = async |address| {
        let id = "0".repeat(32);
        let request = DeleteProductRequest {
            id,
            etag: String::new(),
        };
        match CatalogServiceClient::new(at(address).await)
            .delete_product(request)
            .await
        {
            // Let in, and there is no such product.
            Err(status) if status.code() == Code::NotFound => Ok(()),
            other => other.map(drop),
        }
    };
    let list = async |address| {
        let mut client = OrderServiceClient::new(at(address).await);
        client
            .list_orders(ListOrdersRequest::default())
            .await
            .map(drop)
    };
    vec![
        ("user by gateway", get_me(system.gateway).await),
        ("catalog by gateway", delete(system.gateway).await),
        ("order by gateway", list(system.gateway).await),
        ("user", get_me(system.user).await),
        ("catalog", delete(system.catalog).await),
        ("order", list(system.order).await),
    ]
}

fn bearer(token: &str) -> Headers {
    Headers(vec![("authorization", format!("Bearer {token}"))])
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_valid_user_token_is_let_in_anywhere() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    for (place, result) in everywhere(&world, bearer(&ada.token)).await {
        result.unwrap_or_else(|status| panic!("{place}: {status}"));
    }

    let signer = Signer::derive(&world.settings["SECRET_KEY"], "user").unwrap();
    let user = User {
        id: ada.id.parse().unwrap(),
        roles: Vec::new(),
        session_id: ada.id.parse().unwrap(),
    };
    let good = serde_json::to_value(Claims::user(&user, Duration::from_secs(60))).unwrap();
    let signed = |change: &dyn Fn(&mut Value)| {
        let mut claims = good.clone();
        change(&mut claims);
        serde_json::from_value::<Claims>(claims)
            .unwrap()
            .sign(&signer)
    };
    // The forger's own hand works where nothing is wrong.
    for (place, result) in everywhere(&world, bearer(&signed(&|_| {}))).await {
        result.unwrap_or_else(|status| panic!("{place}: {status}"));
    }

    let (_, payload) = ada.token.split_once('.').unwrap();
    let (payload, signature) = payload.split_once('.').unwrap();
    let kid = signer.public_key().kid();
    let header =
        |alg: &str| BASE64.encode(json!({"alg": alg, "typ": "JWT", "kid": kid}).to_string());
    let none = format!("{}.{payload}.", header("none"));
    let none_signed = format!("{}.{payload}.{signature}", header("none"));
    let hs256 = {
        let content = format!("{}.{payload}", header("HS256"));
        let public = BASE64.decode(signer.public_key().to_string()).unwrap();
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &public),
            content.as_bytes(),
        );
        format!("{content}.{}", BASE64.encode(tag))
    };
    let stranger = Signer::derive("a secret of somebody else, 32 bytes", "user").unwrap();
    let service = Claims::service("order", Duration::from_secs(60));
    let bad = [
        ("an empty token", bearer("")),
        ("no token of any kind", bearer("nonsense")),
        (
            "expired",
            bearer(&signed(&|c| c["exp"] = json!(now() - 120))),
        ),
        (
            "not yet valid",
            bearer(&signed(&|c| c["nbf"] = json!(now() + 120))),
        ),
        (
            "wrong audience",
            bearer(&signed(&|c| c["aud"] = json!("orderflow-services"))),
        ),
        (
            "wrong issuer",
            bearer(&signed(&|c| c["iss"] = json!("somebody"))),
        ),
        ("alg none", bearer(&none)),
        ("alg none with a signature", bearer(&none_signed)),
        ("HS256 with the public key", bearer(&hs256)),
        (
            "signed by a stranger",
            bearer(&Claims::user(&user, Duration::from_secs(60)).sign(&stranger)),
        ),
        ("a service's token", bearer(&service.sign(&signer))),
        ("no header", Headers::default()),
        (
            "Basic",
            Headers(vec![("authorization", "Basic YWRhOmFkYQ==".to_owned())]),
        ),
        (
            "two headers",
            Headers([bearer(&ada.token).0, bearer(&ada.token).0].concat()),
        ),
        (
            "headers that pretend",
            Headers(vec![
                ("x-user-id", ada.id.clone()),
                ("x-user-roles", "admin".to_owned()),
            ]),
        ),
    ];
    for (what, headers) in bad {
        for (place, result) in everywhere(&world, headers).await {
            let refusal = Refusal::of(result);
            assert_eq!(refusal.code, Code::Unauthenticated, "{what}, {place}");
        }
    }
}

#[tokio::test]
async fn headers_that_pretend_change_nothing() {
    let world = World::start().await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let mut headers = bearer(&ada.token);
    for name in [
        "x-user-id",
        "x-orderflow-user",
        "x-forwarded-user",
        "x-roles",
    ] {
        headers.0.push((name, bob.id.clone()));
    }
    let mut users = UserServiceClient::new(InterceptedService::new(world.gateway().await, headers));
    let me = users
        .get_me(GetMeRequest {})
        .await
        .unwrap()
        .into_inner()
        .user
        .unwrap();
    assert_eq!(me.id, ada.id);
}

#[tokio::test]
async fn internal_services_cannot_be_reached_through_the_gateway() {
    let world = World::start().await;
    let admin = world.admin().await;
    let order_service =
        ServiceIdentity::new("order", &world.settings["ORDER_SERVICE_KEY"]).unwrap();
    let gateway = world.gateway().await;

    let as_admin = InterceptedService::new(gateway.clone(), bearer(&admin.token));
    let refusal = Refusal::of(
        InventoryServiceClient::new(as_admin)
            .reserve(ReserveRequest::default())
            .await,
    );
    assert_eq!(refusal.code, Code::Unimplemented);

    let as_service = InterceptedService::new(gateway.clone(), order_service.clone());
    let refusal = Refusal::of(
        InventoryServiceClient::new(as_service)
            .reserve(ReserveRequest::default())
            .await,
    );
    assert_eq!(refusal.code, Code::Unimplemented);

    let mut keys = IdentityServiceClient::new(InterceptedService::new(
        gateway.clone(),
        order_service.clone(),
    ));
    assert_eq!(
        Refusal::of(keys.get_keys(GetKeysRequest {}).await).code,
        Code::Unimplemented
    );

    // Nor does a service's token open what is users' own.
    let mut users = UserServiceClient::new(InterceptedService::new(gateway, order_service));
    assert_eq!(
        Refusal::of(users.get_me(GetMeRequest {}).await).code,
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn the_inventory_takes_the_tokens_of_listed_services_only() {
    let world = World::start().await;
    let admin = world.admin().await;
    let catalog = connect(world.system.catalog).await;
    let reserve = async |client: Result<ServiceIdentity, Headers>| {
        let request = ReserveRequest::default();
        match client {
            Ok(service) => {
                let channel = InterceptedService::new(catalog.clone(), service);
                InventoryServiceClient::new(channel).reserve(request).await
            }
            Err(headers) => {
                let channel = InterceptedService::new(catalog.clone(), headers);
                InventoryServiceClient::new(channel).reserve(request).await
            }
        }
    };
    let service = |name, key: &str| Ok(ServiceIdentity::new(name, &world.settings[key]).unwrap());
    // Let in: an empty batch is an invalid one.
    let refusal = Refusal::of(reserve(service("order", "ORDER_SERVICE_KEY")).await);
    assert_eq!(refusal.code, Code::InvalidArgument);
    // The gateway's key is not on the catalog's list, whatever name it gives itself.
    let outsiders = [
        service("gateway", "GATEWAY_SERVICE_KEY"),
        service("order", "GATEWAY_SERVICE_KEY"),
        Err(bearer(&admin.token)),
        Err(Headers::default()),
    ];
    for outsider in outsiders {
        assert_eq!(
            Refusal::of(reserve(outsider).await).code,
            Code::Unauthenticated
        );
    }
}

#[tokio::test]
async fn a_rotation_of_keys_signs_nobody_out() {
    let world = World::start().await;
    let old = world.settings["SECRET_KEY"].clone();
    let ada = world.person("ada").await;
    // The next step of a rotation: the new key signs, the old one is still accepted.
    let rotated = World::builder()
        .setting(
            "SECRET_KEY",
            &format!("a new secret of more than 32 bytes,{old}"),
        )
        .start()
        .await;
    let headers = bearer(&ada.token);
    let channel = InterceptedService::new(rotated.gateway().await, headers);
    let listed = OrderServiceClient::new(channel)
        .list_orders(ListOrdersRequest::default())
        .await;
    assert!(listed.is_ok(), "{listed:?}");
    let bob = rotated.person("bob").await;
    assert!(
        bob.orders()
            .list_orders(ListOrdersRequest::default())
            .await
            .is_ok()
    );
}
