//! Tokens made to be taken for something that they are not. None of them is, at the gateway or at any service, and nothing that
//! they point to is fetched.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD as BASE64},
};
use futures::poll;
use http::HeaderValue;
use orderflow_contract::Id;
use orderflow_identity::{Claims, User};
use orderflow_testkit::{Person, Refusal, World};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::Code;

use crate::{
    forger::{Forger, content},
    wire::{ADMITTED, Caller, Headers, MALFORMED, Place, bearer, in_http, methods},
};

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// What a user's token is tried on, where it is tried.
fn path(place: Place) -> &'static str {
    match place {
        Place::Gateway(_) | Place::Service("order") => {
            "/orderflow.order.v1.OrderService/ListOrders"
        }
        Place::Service("user") => "/orderflow.user.v1.UserService/GetMe",
        Place::Service(_) => "/orderflow.catalog.v1.CatalogService/CreateProduct",
    }
}

/// The tokens of one person, genuine and other.
struct Workshop {
    ours: Forger,
    stranger: Forger,
    claims: Value,
}

impl Workshop {
    fn new(world: &World, person: &Person) -> Self {
        let user = User {
            id: person.id.parse().unwrap(),
            roles: vec!["admin".to_owned()],
            session_id: Id::random(),
        };
        Self {
            ours: Forger::new(&world.settings["SECRET_KEY"], "user"),
            stranger: Forger::new("a secret of somebody else, 32 bytes", "user"),
            claims: serde_json::to_value(Claims::user(&user, HOUR)).unwrap(),
        }
    }

    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "JWT", "kid": self.ours.kid})
    }

    /// Signed by us, with a changed header.
    fn with_header(&self, name: &str, value: Value) -> String {
        let mut header = self.header();
        header[name] = value;
        self.ours
            .sign(&header.to_string(), &self.claims.to_string())
    }

    /// Signed by us, with a changed claim; without it where there is no value.
    fn with_claim(&self, name: &str, value: Option<Value>) -> String {
        let mut claims = self.claims.clone();
        match value {
            Some(value) => claims[name] = value,
            None => _ = claims.as_object_mut().unwrap().remove(name),
        }
        self.ours
            .sign(&self.header().to_string(), &claims.to_string())
    }

    fn genuine(&self) -> String {
        self.ours
            .sign(&self.header().to_string(), &self.claims.to_string())
    }

    /// No signature, in all spellings.
    fn unsigned(&self) -> Vec<(String, String)> {
        let genuine = self.genuine();
        let signature = genuine.rsplit_once('.').unwrap().1;
        let mut tokens = Vec::new();
        for alg in [
            json!("none"),
            json!("None"),
            json!("NONE"),
            json!("nOnE"),
            json!("none "),
            json!(""),
            json!(null),
            json!(["none"]),
            json!(0),
        ] {
            let mut header = self.header();
            header["alg"] = alg.clone();
            let content = content(&header.to_string(), &self.claims.to_string());
            tokens.push((format!("alg {alg}, no signature"), format!("{content}.")));
            tokens.push((format!("alg {alg}, signature cut off"), content.clone()));
            tokens.push((
                format!("alg {alg}, signed"),
                format!("{content}.{signature}"),
            ));
        }
        let (content, _) = genuine.rsplit_once('.').unwrap();
        tokens.push(("an empty signature".into(), format!("{content}.")));
        tokens.push(("no signature".into(), content.into()));
        tokens.push((
            "zeros for a signature".into(),
            format!("{content}.{}", BASE64.encode([0; 64])),
        ));
        let signature = BASE64.decode(signature).unwrap();
        tokens.push((
            "half a signature".into(),
            format!("{content}.{}", BASE64.encode(&signature[..32])),
        ));
        tokens.push((
            "a longer signature".into(),
            format!(
                "{content}.{}",
                BASE64.encode([&signature[..], &[0]].concat())
            ),
        ));
        for bit in [0, 255, 256, 511] {
            let mut flipped = signature.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            tokens.push((
                format!("bit {bit} flipped"),
                format!("{content}.{}", BASE64.encode(flipped)),
            ));
        }
        tokens.push((
            "the same signature, another way to write it".into(),
            format!("{content}.{}", BASE64.encode(plus_order(&signature))),
        ));
        tokens
    }

    /// Algorithms other than the one that there is.
    fn confused(&self) -> Vec<(String, String)> {
        let key = self.ours.public_key();
        let x = BASE64.encode(key);
        let der = [
            &[
                0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
            ][..],
            key,
        ]
        .concat();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            BASE64_STANDARD.encode(&der)
        );
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.ours.kid, "x": x});
        let secrets = [
            ("nothing", Vec::new()),
            ("the raw key", key.to_vec()),
            ("its base64", x.clone().into_bytes()),
            ("its DER", der),
            ("its PEM", pem.clone().into_bytes()),
            (
                "its PEM without the last line break",
                pem.trim_end().as_bytes().to_vec(),
            ),
            ("its JWK", jwk.to_string().into_bytes()),
            (
                "the key set",
                json!({"keys": [jwk]}).to_string().into_bytes(),
            ),
            ("the kid", self.ours.kid.clone().into_bytes()),
        ];
        let mut tokens = Vec::new();
        for (alg, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            for (what, secret) in &secrets {
                let mut header = self.header();
                header["alg"] = json!(alg);
                let content = content(&header.to_string(), &self.claims.to_string());
                let tag = hmac::sign(&hmac::Key::new(algorithm, secret), content.as_bytes());
                tokens.push((
                    format!("{alg} keyed with {what}"),
                    format!("{content}.{}", BASE64.encode(tag)),
                ));
            }
        }
        for alg in [
            "RS256", "PS256", "ES256", "ES384", "HS256", "eddsa", "EDDSA", "Ed448", "dir",
            "RSA-OAEP",
        ] {
            tokens.push((
                format!("{alg} over our signature"),
                self.with_header("alg", json!(alg)),
            ));
        }
        tokens
    }

    /// Keys that the token brings along, or says where to find.
    fn bring_your_own(&self, url: &str) -> Vec<(String, String)> {
        let x = BASE64.encode(self.stranger.public_key());
        let own = |kid: &str| json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x});
        let mut tokens = Vec::new();
        for kid in [&self.ours.kid, &self.stranger.kid] {
            let extras = [
                json!({}),
                json!({"jwk": own(kid)}),
                json!({"jku": format!("{url}/jwks.json")}),
                json!({"x5u": format!("{url}/cert.pem")}),
                json!({"x5c": [x]}),
                json!({"x5t": x, "x5t#S256": x}),
                json!({"iss": url, "jwks_uri": url, "jwk": own(kid), "jku": url, "x5u": url}),
            ];
            for extra in extras {
                let mut header = json!({"alg": "EdDSA", "typ": "JWT", "kid": kid});
                header
                    .as_object_mut()
                    .unwrap()
                    .extend(extra.as_object().unwrap().clone());
                let token = self
                    .stranger
                    .sign(&header.to_string(), &self.claims.to_string());
                tokens.push((format!("signed by a stranger, {extra}"), token));
            }
        }
        for kid in [
            json!(""),
            json!(null),
            json!(0),
            json!([self.ours.kid]),
            json!({"$ne": null}),
            json!(format!("{}\0", self.ours.kid)),
            json!(format!(" {} ", self.ours.kid)),
            json!("../../../../../../dev/null"),
            json!("/proc/self/environ"),
            json!("' OR '1'='1' --"),
            json!("x' UNION SELECT 'key"),
            json!(format!("{url}/key.pem")),
            json!(format!("file://{url}")),
            json!("|/bin/true"),
            json!("${jndi:ldap://127.0.0.1/a}"),
            json!("k".repeat(2_000)),
        ] {
            let mut header = self.header();
            header["kid"] = kid.clone();
            for (who, forger) in [("us", &self.ours), ("a stranger", &self.stranger)] {
                let token = forger.sign(&header.to_string(), &self.claims.to_string());
                tokens.push((format!("kid {kid}, signed by {who}"), token));
            }
            // As if the file behind it were the key.
            header["alg"] = json!("HS256");
            let content = content(&header.to_string(), &self.claims.to_string());
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b""), content.as_bytes());
            tokens.push((
                format!("kid {kid}, empty key"),
                format!("{content}.{}", BASE64.encode(tag)),
            ));
        }
        tokens
    }

    /// Signed by us, and still not valid.
    fn claims_that_do_not_count(&self) -> Vec<(String, String)> {
        let mut tokens = Vec::new();
        let mut claim = |name: &str, value: Option<Value>| {
            let what = value
                .as_ref()
                .map_or("missing".to_owned(), Value::to_string);
            tokens.push((format!("{name} {what}"), self.with_claim(name, value)));
        };
        for name in ["exp", "nbf", "iat", "iss", "aud", "sub", "sid", "jti"] {
            for wrong in [
                json!(null),
                json!(true),
                json!({}),
                json!([]),
                json!(""),
                json!(-1),
                json!("x"),
            ] {
                claim(name, Some(wrong));
            }
            claim(name, None);
        }
        for exp in [
            json!(0),
            json!(now() - 120),
            json!((now() + 600).to_string()),
            json!((now() + 600) as f64 + 0.5),
            json!([now() + 600]),
            json!(1e300),
        ] {
            claim("exp", Some(exp));
        }
        for nbf in [
            json!(now() + 120),
            json!(u64::MAX),
            json!((now() - 600).to_string()),
        ] {
            claim("nbf", Some(nbf));
        }
        for name in ["iss", "aud"] {
            for value in [
                json!("orderflow-services"),
                json!("Orderflow"),
                json!("orderflow "),
                json!(["orderflow"]),
                json!(["orderflow", "x"]),
                json!({"orderflow": 1}),
            ] {
                claim(name, Some(value));
            }
        }
        for sub in [
            json!("admin"),
            json!(self.claims["sub"].as_str().unwrap().to_uppercase()),
            json!([self.claims["sub"]]),
            json!({"$gt": ""}),
        ] {
            claim("sub", Some(sub));
        }
        claim("roles", Some(json!("admin")));
        claim("roles", Some(json!({"admin": true})));

        for crit in [
            json!(["exp"]),
            json!(["b64"]),
            json!(["x-unknown"]),
            json!([]),
            json!("exp"),
            json!([1]),
        ] {
            tokens.push((format!("crit {crit}"), self.with_header("crit", crit)));
        }
        let raw = |header: &str, payload: &str| self.ours.sign(header, payload);
        let (header, payload) = (self.header().to_string(), self.claims.to_string());
        let twice = |text: &str, first: &str| format!("{{{first},{}", &text[1..]);
        for first in [
            r#""sub":"0""#,
            r#""exp":1"#,
            r#""exp":99999999999"#,
            r#""aud":"x""#,
            r#""roles":[]"#,
        ] {
            tokens.push((
                format!("{first} and again"),
                raw(&header, &twice(&payload, first)),
            ));
        }
        for first in [
            r#""alg":"none""#,
            r#""alg":"EdDSA""#,
            r#""kid":"x""#,
            r#""crit":["x"]"#,
        ] {
            tokens.push((
                format!("{first} and again"),
                raw(&twice(&header, first), &payload),
            ));
        }
        let huge_exp = payload.replace(&self.claims["exp"].to_string(), "1e400");
        let (header, payload) = (&*header, &*payload);
        for (what, header, payload) in [
            ("exp 1e400", header, &*huge_exp),
            ("an array for claims", header, "[]"),
            ("a text for claims", header, "\"admin\""),
            ("no claims", header, ""),
            ("no JSON", header, "{"),
            ("more behind the claims", header, &*format!("{payload}{{}}")),
            ("an array for a header", "[]", payload),
            ("no header", "", payload),
            (
                "a mark of byte order",
                &*format!("\u{feff}{header}"),
                payload,
            ),
        ] {
            tokens.push((what.to_owned(), raw(header, payload)));
        }
        // Longer than any token of ours.
        for length in [5_000, 10_000] {
            tokens.push((
                format!("{length} bytes more"),
                self.with_claim("more", Some(json!("x".repeat(length)))),
            ));
        }
        tokens
    }

    /// The right parts in wrong shapes.
    fn misshapen(&self) -> Vec<(String, String)> {
        let genuine = self.genuine();
        let parts: Vec<_> = genuine.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            panic!("{genuine}")
        };
        let in_other_base64 = |engine: &dyn Fn(&[u8]) -> String| {
            let parts =
                [header, payload, signature].map(|part| engine(&BASE64.decode(part).unwrap()));
            parts.join(".")
        };
        let mut tokens = vec![
            ("nothing", String::new()),
            ("dots", "..".into()),
            ("many dots", ".".repeat(1_000)),
            ("no token of any kind", "nonsense".into()),
            ("four parts", format!("{genuine}.{signature}")),
            ("a part in front", format!(".{genuine}")),
            ("an encrypted token", format!("{}.{payload}.{signature}.{signature}.{signature}", BASE64.encode(r#"{"alg":"dir","enc":"A256GCM"}"#))),
            ("five parts", format!("{header}.{payload}.{signature}.{payload}.{signature}")),
            ("JSON form", json!({"protected": header, "payload": payload, "signature": signature}).to_string()),
            ("JSON form of many", json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}).to_string()),
            ("a detached payload", format!("{header}..{signature}")),
            ("blanks between the parts", genuine.replace('.', ". ")),
            ("a tab within", genuine.replacen('.', ".\t", 1)),
            ("two tokens", format!("{genuine}, {genuine}")),
            ("two tokens with a scheme each", format!("{genuine}, Bearer {genuine}")),
            ("Bearer twice", format!("Bearer {genuine}")),
            ("quoted", format!("\"{genuine}\"")),
            ("a parameter", format!("token={genuine}")),
            ("signature first", format!("{signature}.{header}.{payload}")),
        ];
        let padded = in_other_base64(&|bytes| BASE64_URL_SAFE.encode(bytes));
        if padded != genuine {
            tokens.push(("padded base64", padded));
        }
        let standard = in_other_base64(&|bytes| BASE64_STANDARD.encode(bytes));
        if standard != genuine {
            tokens.push(("the other base64", standard));
        }
        tokens
            .into_iter()
            .map(|(what, token)| (what.to_owned(), token))
            .collect()
    }

    /// A good token where it does not belong, or not alone.
    fn elsewhere(&self) -> Vec<(String, Headers)> {
        let token = self.genuine();
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let good = || ("authorization", value(&format!("Bearer {token}")));
        let authorization =
            |text: &[u8]| vec![("authorization", HeaderValue::from_bytes(text).unwrap())];
        vec![
            ("no header".into(), Headers::new()),
            ("an empty header".into(), authorization(b"")),
            ("two headers".into(), vec![good(), good()]),
            (
                "two headers, the first empty".into(),
                vec![("authorization", value("")), good()],
            ),
            (
                "two headers, one of another scheme".into(),
                vec![good(), ("authorization", value("Basic eDp5"))],
            ),
            ("a scheme alone".into(), authorization(b"Bearer")),
            ("a token alone".into(), authorization(token.as_bytes())),
            ("Basic".into(), authorization(b"Basic YWRhOmFkYQ==")),
            (
                "Basic with a token".into(),
                authorization(format!("Basic {token}").as_bytes()),
            ),
            (
                "another scheme".into(),
                authorization(format!("Token {token}").as_bytes()),
            ),
            (
                "a colon".into(),
                authorization(format!("Bearer:{token}").as_bytes()),
            ),
            (
                "a tab".into(),
                authorization(format!("Bearer\t{token}").as_bytes()),
            ),
            (
                "bytes that are no text".into(),
                authorization(b"Bearer \xff\xfe"),
            ),
            (
                "other headers".into(),
                vec![
                    ("x-authorization", value(&format!("Bearer {token}"))),
                    ("proxy-authorization", value(&format!("Bearer {token}"))),
                    (
                        "cookie",
                        value(&format!(
                            "access_token={token}; authorization=Bearer {token}"
                        )),
                    ),
                    ("x-access-token", value(&token)),
                    ("x-user-id", value(self.claims["sub"].as_str().unwrap())),
                    ("x-user-roles", value("admin")),
                ],
            ),
        ]
    }
}

/// The same number modulo the order of the group, which a careless verifier takes for another valid signature.
fn plus_order(signature: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut sum = signature.to_vec();
    let mut carry = 0;
    for (byte, order) in sum[32..].iter_mut().zip(ORDER) {
        let total = u16::from(*byte) + u16::from(order) + carry;
        *byte = u8::try_from(total & 0xff).unwrap();
        carry = total >> 8;
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_token_is_taken_for_a_users_and_nothing_is_fetched() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let workshop = Workshop::new(&world, &ada);
    let caller = Caller::new(&world);
    let call = async |place: Place, headers: &Headers| {
        Refusal::from(&caller.call(place, path(place), headers, MALFORMED).await)
    };
    // The forger's own hand works where nothing is wrong, and where the clocks differ a little.
    for good in [
        workshop.genuine(),
        workshop.with_claim("exp", Some(json!(now() - 30))),
        workshop.with_claim("nbf", Some(json!(now() + 30))),
        workshop.with_header("jku", json!("http://127.0.0.1:1/")),
    ] {
        for place in Place::ALL {
            assert_eq!(
                call(place, &bearer(&good)).await.reason,
                ADMITTED,
                "{place:?}"
            );
        }
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = Forger::new(&world.settings["ORDER_SERVICE_KEY"], "service");
    let service_claims = serde_json::to_string(&Claims::service("order", HOUR)).unwrap();
    let service_header = json!({"alg": "EdDSA", "typ": "JWT", "kid": service.kid}).to_string();
    let services = [
        (
            "a service's token".to_owned(),
            service.sign(&service_header, &service_claims),
        ),
        (
            "a service's claims, signed as a user's".to_owned(),
            workshop
                .ours
                .sign(&workshop.header().to_string(), &service_claims),
        ),
        (
            "a user's claims, signed by a service".to_owned(),
            service.sign(&service_header, &workshop.claims.to_string()),
        ),
    ];
    let tokens = [
        workshop.unsigned(),
        workshop.confused(),
        workshop.bring_your_own(&url),
        workshop.claims_that_do_not_count(),
        workshop.misshapen(),
        services.into(),
    ];
    let tokens = tokens.into_iter().flatten();
    let mut attacks: Vec<_> = tokens.map(|(what, token)| (what, bearer(&token))).collect();
    attacks.extend(workshop.elsewhere());
    assert!(attacks.len() > 200);

    let get_me = methods()
        .into_iter()
        .find(|method| method.name() == "GetMe")
        .unwrap();
    let get_me = in_http(&get_me).unwrap();
    assert_eq!(
        caller
            .call_in_http(&get_me, &bearer(&workshop.genuine()))
            .await
            .0,
        200
    );

    let mut let_in = Vec::new();
    for (what, headers) in &attacks {
        for place in Place::ALL {
            let refusal = call(place, headers).await;
            // All alike: how far a forgery came is nobody's business.
            if (refusal.code, refusal.reason.as_str()) != (Code::Unauthenticated, "TOKEN_REQUIRED")
            {
                let_in.push(format!("{what}, {place:?}: {refusal:?}"));
            }
        }
    }
    for (what, headers) in &attacks {
        let answer = caller.call_in_http(&get_me, headers).await;
        if answer != (401, "TOKEN_REQUIRED".to_owned()) {
            let_in.push(format!("{what}, in JSON: {answer:?}"));
        }
    }
    assert!(let_in.is_empty(), "{}", let_in.join("\n"));
    let fetched = poll!(std::pin::pin!(listener.accept()));
    assert!(fetched.is_pending(), "something was fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_query_is_none() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let caller = Caller::new(&world);
    for place in Place::ALL {
        let path = format!("{}?access_token={}", path(place), ada.token);
        let status = caller.call(place, &path, &Headers::new(), MALFORMED).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{place:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_token_is_taken_for_a_services() {
    const RESERVE: &str = "/orderflow.catalog.v1.InventoryService/Reserve";
    const GET_KEYS: &str = "/orderflow.user.v1.IdentityService/GetKeys";
    let world = World::start().await;
    let ada = world.person("ada").await;
    let user = Workshop::new(&world, &ada);
    let order = Workshop {
        ours: Forger::new(&world.settings["ORDER_SERVICE_KEY"], "service"),
        stranger: Forger::new("a secret of somebody else, 32 bytes", "service"),
        claims: serde_json::to_value(Claims::service("order", HOUR)).unwrap(),
    };
    let caller = Caller::new(&world);
    let call = async |service, path, headers: &Headers| {
        Refusal::from(
            &caller
                .call(Place::Service(service), path, headers, MALFORMED)
                .await,
        )
    };
    for (service, path) in [("catalog", RESERVE), ("user", GET_KEYS)] {
        let refusal = call(service, path, &bearer(&order.genuine())).await;
        assert_eq!(refusal.reason, ADMITTED, "{service}");
    }

    let of_users = [
        ("a user's token".to_owned(), ada.token.clone()),
        ("an admin's token".to_owned(), user.genuine()),
        (
            "a user's claims, signed by a service".to_owned(),
            order
                .ours
                .sign(&order.header().to_string(), &user.claims.to_string()),
        ),
        (
            "a service's claims, signed as a user's".to_owned(),
            user.ours
                .sign(&user.header().to_string(), &order.claims.to_string()),
        ),
        (
            "expired".to_owned(),
            order.with_claim("exp", Some(json!(now() - 120))),
        ),
        (
            "of another audience".to_owned(),
            order.with_claim("aud", Some(json!("orderflow"))),
        ),
        (
            "by another issuer".to_owned(),
            order.with_claim("iss", Some(json!("orderflow"))),
        ),
    ];
    let tokens = [
        order.unsigned(),
        order.confused(),
        order.bring_your_own("http://127.0.0.1:1"),
        order.misshapen(),
        of_users.into(),
    ];
    let tokens = tokens
        .into_iter()
        .flatten()
        .map(|(what, token)| (what, bearer(&token)));
    for (what, headers) in tokens.chain(order.elsewhere()) {
        for (service, path) in [("catalog", RESERVE), ("user", GET_KEYS)] {
            let refusal = call(service, path, &headers).await;
            assert_eq!(refusal.code, Code::Unauthenticated, "{what}, {service}");
        }
    }
}
