//! HTTP/JSON, as `curl` speaks it.

use std::net::SocketAddr;

use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use orderflow_proto::descriptors;
use orderflow_testkit::{Person, World};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::{Value, json};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, StdError},
};

pub(crate) type Http = Client<HttpConnector, Full<Bytes>>;

/// Somebody with a client that knows nothing of gRPC.
struct Curl {
    gateway: SocketAddr,
    token: String,
    http: Http,
}

struct Answer {
    http: StatusCode,
    headers: HeaderMap,
    body: Value,
}

pub(crate) fn http() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

impl Curl {
    fn of(world: &World, person: &Person) -> Self {
        Self {
            gateway: world.system.gateway,
            token: person.token.clone(),
            http: http(),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.gateway))
            .header("authorization", format!("Bearer {}", self.token));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        send(&self.http, request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(Method::GET, path, None).await.ok()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, Some(body)).await.ok()
    }

    async fn patch(&self, path: &str, body: Value) -> Value {
        self.ask(Method::PATCH, path, Some(body)).await.ok()
    }
}

async fn send(http: &Http, request: http::Request<Full<Bytes>>) -> Answer {
    let (head, body) = http.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        http: head.status,
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap(),
    }
}

impl Answer {
    #[track_caller]
    fn ok(self) -> Value {
        assert_eq!(self.http, 200, "{}", self.body);
        self.body
    }

    fn detail(&self, name: &str) -> &Value {
        let url = format!("type.googleapis.com/google.rpc.{name}");
        let mut details = self.body["details"].as_array().unwrap().iter();
        details
            .find(|detail| detail["@type"] == url.as_str())
            .unwrap()
    }
}

#[tokio::test]
async fn products() {
    let world = World::start().await;
    let curl = Curl::of(&world, &world.person("ada").await);
    let new = json!({"name": "Çay bardağı", "price": {"currencyCode": "TRY", "minorUnits": "1999"}, "stock": 10});
    let product = curl.post("/v1/products", new).await["product"].clone();
    assert_eq!(product["stock"], "10");
    assert_eq!(product["description"], "");
    let id = product["id"].as_str().unwrap();
    let path = format!("/v1/products/{id}");

    assert_eq!(curl.get(&path).await["product"], product);
    let batch = curl
        .get(&format!("/v1/products:batchGet?ids={id}&ids={id}"))
        .await;
    assert_eq!(batch, json!({"products": [product], "missingIds": []}));
    let list = async |query: &str| {
        let list = curl.get(&format!("/v1/products?{query}")).await;
        list["products"].as_array().unwrap().len()
    };
    assert_eq!(
        list("query=%C3%A7ay+barda%C4%9F%C4%B1&inStock=true").await,
        1
    );
    assert_eq!(
        list("priceRange.currencyCode=TRY&priceRange.minMinorUnits=2000").await,
        0
    );
    assert_eq!(list("orderBy=price%20desc&pageSize=1").await, 1);

    // A change is what is sent, also to nothing, and only on what was seen.
    let described = curl.patch(&path, json!({"description": "For tea."})).await["product"].clone();
    assert_eq!(described["description"], "For tea.");
    assert_eq!(described["name"], product["name"]);
    let stale = json!({"name": "Glass", "etag": product["etag"]});
    let stale = curl.ask(Method::PATCH, &path, Some(stale)).await;
    assert_eq!(
        (stale.http.as_u16(), &stale.body["code"]),
        (409, &json!(10))
    );
    let fresh = json!({"description": "", "etag": described["etag"]});
    assert_eq!(curl.patch(&path, fresh).await["product"]["description"], "");

    let adjust = json!({"delta": -3, "reason": "broken"});
    let adjusted = curl.post(&format!("{path}:adjustStock"), adjust).await;
    assert_eq!(adjusted["product"]["stock"], "7");
    assert_eq!(adjusted["adjustment"]["delta"], "-3");

    let gone = curl.ask(Method::DELETE, &path, None).await;
    assert_eq!(gone.ok(), json!({}));
    let gone = curl.ask(Method::GET, &path, None).await;
    assert_eq!((gone.http.as_u16(), &gone.body["code"]), (404, &json!(5)));
    assert_eq!(gone.detail("ErrorInfo")["domain"], "orderflow");
}

#[tokio::test]
async fn orders() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let curl = Curl::of(&world, &ada);
    let product = ada.product().stock(3).create().await;

    let order = json!({"lines": [{"productId": product.id, "quantity": 2}]});
    let place = async |key: &str| {
        let request = http::Request::post(format!("http://{}/v1/orders", world.system.gateway))
            .header("authorization", format!("Bearer {}", ada.token))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        send(&curl.http, request.body(order.to_string().into()).unwrap()).await
    };
    let placed = place("one").await.ok()["order"].clone();
    assert_eq!(placed["requestId"], "one");
    assert_eq!(
        place("one").await.ok()["order"],
        placed,
        "the same key, the same order"
    );
    let refused = place("two").await;
    assert_eq!(
        (refused.http.as_u16(), &refused.body["code"]),
        (400, &json!(9))
    );
    let violation = &refused.detail("PreconditionFailure")["violations"][0];
    assert_eq!(violation["type"], "INSUFFICIENT_STOCK");
    let wrong = curl
        .ask(
            Method::POST,
            "/v1/orders",
            Some(json!({"lines": [{"quantity": 0}]})),
        )
        .await;
    assert_eq!(wrong.http, 400);
    let fields = wrong.detail("BadRequest")["fieldViolations"]
        .as_array()
        .unwrap();
    let fields: Vec<_> = fields.iter().map(|violation| &violation["field"]).collect();
    assert_eq!(fields, ["lines[0].product_id", "lines[0].quantity"]);

    let id = placed["id"].as_str().unwrap();
    let list = curl
        .get("/v1/orders?status=ORDER_STATUS_PENDING&startTime=2020-01-01T00:00:00Z")
        .await;
    assert_eq!(list["orders"], json!([placed]));
    assert_eq!(list["nextPageToken"], "");
    let stats = curl.get("/v1/orders:stats").await;
    assert_eq!(stats["days"][0]["orders"], "1");
    let cancelled = curl
        .ask(Method::POST, &format!("/v1/orders/{id}:cancel"), None)
        .await;
    assert_eq!(cancelled.ok()["order"]["status"], "ORDER_STATUS_CANCELLED");
    let status = format!("/v1/orders/{id}/status");
    let ship = json!({"status": "ORDER_STATUS_SHIPPED"});
    let shipped = curl.ask(Method::PATCH, &status, Some(ship)).await;
    assert_eq!(shipped.http, 400);

    // Somebody else's is as one that does not exist, and nobody's token opens nothing.
    let bob = Curl::of(&world, &world.person("bob").await);
    let path = format!("/v1/orders/{id}");
    assert_eq!(bob.ask(Method::GET, &path, None).await.http, 404);
    let nobody = Curl {
        token: String::new(),
        ..bob
    };
    let refused = nobody.ask(Method::GET, &path, None).await;
    assert_eq!(refused.http, 401);
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn accounts() {
    let world = World::start().await;
    let ada = world.person("ada").await;
    let curl = Curl::of(&world, &ada);
    assert_eq!(curl.get("/v1/me").await["user"]["roles"], json!([]));
    let renamed = curl
        .patch("/v1/me", json!({"user": {"name": "Ada L."}}))
        .await;
    assert_eq!(renamed["user"]["name"], "Ada L.");
    let again = json!({"name": "Ada", "email": ada.email, "password": "correct horse"});
    let again = curl
        .ask(Method::POST, "/v1/users:register", Some(again))
        .await;
    assert_eq!((again.http.as_u16(), &again.body["code"]), (409, &json!(6)));
    let wrong = json!({"email": ada.email, "password": "wrong horse"});
    let wrong = curl.ask(Method::POST, "/v1/users:login", Some(wrong)).await;
    assert_eq!(
        (wrong.http.as_u16(), &wrong.body["code"]),
        (401, &json!(16))
    );
}

/// Makes a call of gRPC over JSON, as the contract says it: what generated clients of other protocols do can be done over
/// this one too.
pub(crate) async fn call(request: http::Request<Body>) -> Result<http::Response<Body>, StdError> {
    let (head, body) = request.into_parts();
    let method = method(head.uri.path()).ok_or("no such method")?;
    let message = body.collect().await?.to_bytes().slice(5..);
    let message = DynamicMessage::decode(method.input(), message)?;

    let origin = format!("http://{}", head.uri.authority().ok_or("no authority")?);
    let (verb, path, body) = as_json(&method, serde_json::to_value(&message)?);
    let mut request = http::Request::builder()
        .method(verb.as_str())
        .uri(origin + &path);
    if let Some(token) = head.headers.get("authorization") {
        request = request.header("authorization", token);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let answer = send(&http(), request.body(body.into())?).await;
    if answer.http != 200 {
        let code = i32::try_from(answer.body["code"].as_i64().ok_or("no code")?)?;
        let message = answer.body["message"].as_str().unwrap_or_default();
        return Ok(Status::new(code.into(), message).into_http());
    }
    let message = DynamicMessage::deserialize(method.output(), answer.body)?.encode_to_vec();
    let length = u32::try_from(message.len())?.to_be_bytes();
    let frame = Bytes::from([&[0][..], &length, &message].concat());
    let trailers = HeaderMap::from_iter([("grpc-status".parse()?, "0".parse()?)]);
    let body = Full::from(frame).with_trailers(async { Some(Ok(trailers)) });
    let mut response = http::Response::new(Body::new(body));
    let kind = "application/grpc".parse()?;
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}

fn method(path: &str) -> Option<MethodDescriptor> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    let service = descriptors().get_service_by_name(service)?;
    service.methods().find(|method| method.name() == name)
}

/// The HTTP method, the path with its query, and the body.
fn as_json(method: &MethodDescriptor, mut message: Value) -> (String, String, Option<Value>) {
    let extension = descriptors()
        .get_extension_by_name("google.api.http")
        .unwrap();
    let options = method.options();
    let rule = options.get_extension(&extension).into_owned();
    let rule = rule.as_message().unwrap();
    let text = |name: &str| {
        rule.get_field_by_name(name)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    let verbs = ["get", "put", "post", "delete", "patch"];
    let verb = verbs
        .into_iter()
        .find(|verb| rule.has_field_by_name(verb))
        .unwrap();

    let mut path = text(verb);
    while let Some((before, rest)) = path.clone().split_once('{') {
        let (name, after) = rest.split_once('}').unwrap();
        let value = message.as_object_mut().unwrap().remove(name).unwrap();
        path = format!("{before}{}{after}", encoded(&value));
    }
    let body = match text("body").as_str() {
        "" => None,
        "*" => Some(message.take()),
        field => message.as_object_mut().unwrap().remove(field),
    };
    let query = message.as_object().into_iter().flatten();
    let query: Vec<_> = query
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    (
        verb.to_uppercase(),
        format!("{path}?{}", query.join("&")),
        body,
    )
}

fn encoded(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string()
}
