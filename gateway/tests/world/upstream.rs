//! Servers that stand in for the services: real gRPC servers with short scripts for methods.

use std::{
    future::pending,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use futures::{Stream, StreamExt, stream};
use http::HeaderMap;
use orderflow_chassis::{
    Shutdown,
    health::Health,
    serve::{Options, serve},
};
use orderflow_contract::status;
use orderflow_identity::KeySet;
use orderflow_proto::{
    catalog::v1::{
        BatchGetProductsRequest, BatchGetProductsResponse, GetProductRequest, GetProductResponse,
        Product,
    },
    order::v1::{
        CreateOrderRequest, CreateOrderResponse, GetOrderRequest, GetOrderResponse,
        ListOrdersRequest, ListOrdersResponse, Order,
    },
    user::v1::{
        GetKeysRequest, GetKeysResponse,
        identity_service_server::{IdentityService, IdentityServiceServer},
    },
};
use prost::Message;
use tokio::{net::TcpListener, runtime, runtime::Runtime, sync::Notify};
use tonic::{Status, metadata::MetadataValue, server::Grpc, service::Routes};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::client::{BATCH_GET, GET_PRODUCT, framed};

/// A server in a runtime of its own: it can be killed as a process is, with all its connections.
/// Named after the service that it stands in for; every other name gets no more than health.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    name: &'static str,
    runtime: Option<Runtime>,
}

/// What a server saw, and what it waits for.
#[derive(Default)]
pub(crate) struct Seen {
    calls: AtomicUsize,
    /// Those of them that were for products.
    asked: Mutex<Vec<Asked>>,
    /// "GetOrder" and "BatchGetProducts" answer UNAVAILABLE.
    pub(crate) failing: AtomicBool,
    /// "BatchGetProducts" does not answer.
    pub(crate) hanging: AtomicBool,
    headers: Mutex<HeaderMap>,
    /// A call has come.
    pub(crate) arrived: Notify,
    /// Lets "wait" go on.
    pub(crate) go_on: Notify,
    /// The caller of a call that never ends has left.
    pub(crate) left: Notify,
}

/// A call for products.
#[derive(Clone)]
pub(crate) enum Asked {
    ForOne,
    /// With these ids.
    ForSeveral(Vec<String>),
}

impl Seen {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// The calls for products, in their order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many calls were for several products.
    pub(crate) fn batches(&self) -> usize {
        let is_batch = |asked: &&Asked| matches!(asked, Asked::ForSeveral(_));
        self.asked.lock().unwrap().iter().filter(is_batch).count()
    }

    /// Those of the last call.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.headers.lock().unwrap().clone()
    }

    fn note(&self, request: &Request) {
        *self.headers.lock().unwrap() = request.headers().clone();
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.arrived.notify_one();
    }
}

impl Upstream {
    pub(crate) async fn start(name: &'static str) -> Self {
        let mut upstream = Self {
            address: "127.0.0.1:0".parse().unwrap(),
            seen: Arc::default(),
            name,
            runtime: None,
        };
        upstream.restart().await;
        upstream
    }

    /// On the address that it had before, if it had one.
    pub(crate) async fn restart(&mut self) {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (address, name, seen) = (self.address, self.name, self.seen.clone());
        let started = runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (health, health_server) = Health::starting([]).await;
            health.set("", true).await;
            let routes = match name {
                "user" => Routes::new(IdentityServiceServer::new(Keys)),
                "order" => Routes::from(order(seen)),
                "catalog" => Routes::from(catalog(seen)),
                _ => Routes::default(),
            };
            let routes = routes.add_service(health_server);
            tokio::spawn(async move {
                let _health = health;
                serve(name, Options::inside(), listener, routes, Shutdown::new()).await
            });
            address
        });
        self.address = started.await.unwrap();
        self.runtime = Some(runtime);
    }

    /// Takes all of it away at once, like `kill -9`.
    pub(crate) async fn kill(&mut self) {
        let runtime = self.runtime.take().expect("it runs");
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(super::PATIENCE))
            .await
            .unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Keys;

#[tonic::async_trait]
impl IdentityService for Keys {
    async fn get_keys(
        &self,
        _: tonic::Request<GetKeysRequest>,
    ) -> Result<tonic::Response<GetKeysResponse>, Status> {
        let keys = KeySet::new([super::signer().public_key().clone()]);
        Ok(tonic::Response::new(GetKeysResponse {
            jwks: keys.to_json(),
        }))
    }
}

/// `GetOrder` answers at once, `ListOrders` with a stream (what the contract says of it is nothing to a gateway that decodes
/// no messages), `CreateOrder` never or, with the request id "break", by breaking its stream off.
fn order(seen: Arc<Seen>) -> Router {
    let path = |method: &str| format!("/orderflow.order.v1.OrderService/{method}");
    Router::new()
        .route(&path("GetOrder"), any(get_order))
        .route(&path("ListOrders"), any(list_orders))
        .route(&path("CreateOrder"), any(create_order))
        .with_state(seen)
}

/// `GetProduct` and `BatchGetProducts` answer at once, and nothing else is there.
fn catalog(seen: Arc<Seen>) -> Router {
    Routes::default()
        .into_axum_router()
        .route(GET_PRODUCT, any(get_product).with_state(seen.clone()))
        .route(BATCH_GET, any(batch_get_products).with_state(seen))
}

/// By its id: those that end with a digit are there.
fn product(id: &str) -> Option<Product> {
    let is_there = !id.ends_with(|digit: char| digit.is_ascii_alphabetic());
    is_there.then(|| Product {
        id: id.to_owned(),
        ..Product::default()
    })
}

async fn get_product(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    seen.note(&request);
    seen.asked.lock().unwrap().push(Asked::ForOne);
    let get = |request: tonic::Request<GetProductRequest>| async move {
        match product(&request.get_ref().id) {
            None => Err(status::not_found("PRODUCT_NOT_FOUND", "no such product")),
            product => Ok(tonic::Response::new(GetProductResponse { product })),
        }
    };
    let mut grpc = Grpc::new(ProstCodec::default());
    grpc.unary(service_fn(get), request).await.map(Body::new)
}

async fn batch_get_products(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    seen.note(&request);
    let is_told_to = |trouble: &AtomicBool| trouble.load(Ordering::SeqCst);
    let (is_hanging, is_failing) = (is_told_to(&seen.hanging), is_told_to(&seen.failing));
    let get = |request: tonic::Request<BatchGetProductsRequest>| {
        let ids = request.into_inner().ids;
        let products = ids.iter().filter_map(|id| product(id)).collect();
        seen.asked.lock().unwrap().push(Asked::ForSeveral(ids));
        // Once more, for those who wait for what it asks.
        seen.arrived.notify_one();
        async move {
            if is_hanging {
                pending::<()>().await;
            }
            if is_failing {
                return Err(told_to());
            }
            Ok(tonic::Response::new(BatchGetProductsResponse {
                products,
                missing_ids: Vec::new(),
            }))
        }
    };
    let mut grpc = Grpc::new(ProstCodec::default());
    grpc.unary(service_fn(get), request).await.map(Body::new)
}

async fn get_order(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    seen.note(&request);
    let is_failing = seen.failing.load(Ordering::SeqCst);
    let get = |request: tonic::Request<GetOrderRequest>| async move {
        let id = request.into_inner().id;
        if is_failing {
            return Err(told_to());
        }
        if id == "missing" {
            return Err(missing());
        }
        let order = Some(Order {
            id,
            ..Order::default()
        });
        let answer = GetOrderResponse { order };
        // As a server may that knows it. With what gRPC-Web adds it is no longer true.
        let length = framed(&answer.encode_to_vec()).len().into();
        let mut response = tonic::Response::new(answer);
        let metadata = response.metadata_mut();
        metadata.insert("content-length", length);
        metadata.insert("x-upstream", MetadataValue::from_static("order"));
        Ok(response)
    };
    let mut grpc = Grpc::new(ProstCodec::default());
    grpc.unary(service_fn(get), request).await.map(Body::new)
}

async fn list_orders(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    seen.note(&request);
    let list = |request: tonic::Request<ListOrdersRequest>| {
        let seen = seen.clone();
        async move { Ok(tonic::Response::new(pages(request.into_inner(), seen))) }
    };
    let mut grpc = Grpc::new(ProstCodec::default());
    let answer = grpc.server_streaming(service_fn(list), request).await;
    answer.map(Body::new)
}

type Pages = Pin<Box<dyn Stream<Item = Result<ListOrdersResponse, Status>> + Send>>;

fn pages(request: ListOrdersRequest, seen: Arc<Seen>) -> Pages {
    let page = |n: i32| {
        Ok(ListOrdersResponse {
            next_page_token: n.to_string(),
            orders: Vec::new(),
        })
    };
    let first = stream::iter([page(1)]);
    match request.page_token.as_str() {
        "wait" => Box::pin(first.chain(stream::once(async move {
            seen.go_on.notified().await;
            page(2)
        }))),
        "fail" => Box::pin(first.chain(stream::iter([Err(missing())]))),
        "hang" => Box::pin(first.chain(stream::once(hang(seen)))),
        _ => Box::pin(stream::iter((1..=request.page_size).map(page))),
    }
}

async fn create_order(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    seen.note(&request);
    let create = |request: tonic::Request<CreateOrderRequest>| {
        let seen = seen.clone();
        async move {
            if request.into_inner().request_id == "break" {
                // A panic, but one that does not go to the log.
                std::panic::resume_unwind(Box::new(()))
            }
            hang::<Result<tonic::Response<CreateOrderResponse>, Status>>(seen).await
        }
    };
    let mut grpc = Grpc::new(ProstCodec::default());
    grpc.unary(service_fn(create), request).await.map(Body::new)
}

async fn hang<T>(seen: Arc<Seen>) -> T {
    struct Left(Arc<Seen>);
    impl Drop for Left {
        fn drop(&mut self) {
            self.0.left.notify_one();
        }
    }
    let _left = Left(seen);
    pending().await
}

fn told_to() -> Status {
    status::unavailable("DATABASE_UNAVAILABLE", "as it was told to")
}

fn missing() -> Status {
    status::not_found("ORDER_NOT_FOUND", "no such order: ça n’existe pas")
}
