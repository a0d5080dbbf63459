//! The way of a first order, over each protocol.

use orderflow_proto::{
    catalog::v1::{CreateProductRequest, catalog_service_client::CatalogServiceClient},
    order::v1::{
        CreateOrderLine, CreateOrderRequest, GetOrderRequest, ListOrdersRequest, OrderStatus,
        UpdateOrderStatusRequest, order_service_client::OrderServiceClient,
    },
    user::v1::{
        GetMeRequest, LoginRequest, RegisterRequest, user_service_client::UserServiceClient,
    },
};
use orderflow_testkit::{Bearer, World, money};
use tonic::{
    body::Body,
    codegen::{Bytes, StdError},
    service::interceptor::InterceptedService,
};
use tower::{Service, ServiceExt, util::BoxCloneService};

/// Any way of making HTTP calls.
pub(crate) type Transport = BoxCloneService<http::Request<Body>, http::Response<Body>, StdError>;

pub(crate) fn transport<S, B>(service: S) -> Transport
where
    S: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Error: Into<StdError>,
    S::Future: Send,
    B: tonic::transport::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let service = service.map_err(Into::into);
    BoxCloneService::new(service.map_response(|response| response.map(Body::new)))
}

#[tokio::test]
async fn over_grpc() {
    let world = World::start().await;
    let origin = format!("http://{}", world.system.gateway);
    eight_steps(transport(world.gateway().await), origin.parse().unwrap()).await;
}

#[tokio::test]
async fn over_grpc_web() {
    let world = World::start().await;
    let (origin, transport) = web(&world);
    eight_steps(transport, origin).await;
}

/// gRPC-Web as a browser speaks it: by HTTP/1.1 to a server in clear text.
pub(crate) fn web(world: &World) -> (http::Uri, Transport) {
    let executor = hyper_util::rt::TokioExecutor::new();
    let client = hyper_util::client::legacy::Client::builder(executor).build_http();
    let layers = tower::ServiceBuilder::new().layer(tonic_web::GrpcWebClientLayer::new());
    let origin = format!("http://{}", world.system.gateway);
    (origin.parse().unwrap(), transport(layers.service(client)))
}

#[tokio::test]
async fn over_json() {
    let world = World::start().await;
    let origin = format!("http://{}", world.system.gateway);
    let client = tower::service_fn(crate::json::call);
    eight_steps(transport(client), origin.parse().unwrap()).await;
}

async fn eight_steps(transport: Transport, origin: http::Uri) {
    let mut users = UserServiceClient::with_origin(transport.clone(), origin.clone());

    // Register, log in, authorize.
    let register = RegisterRequest {
        name: "Ada".to_owned(),
        email: "ada@example.com".to_owned(),
        password: "correct horse".to_owned(),
    };
    let user = users
        .register(register)
        .await
        .unwrap()
        .into_inner()
        .user
        .unwrap();
    let login = LoginRequest {
        email: "ada@example.com".to_owned(),
        password: "correct horse".to_owned(),
    };
    let login = users.login(login).await.unwrap().into_inner();
    assert_eq!(login.token_type, "bearer");
    assert_eq!(login.expires_in, 3_600);
    let authorized = InterceptedService::new(transport, Bearer::new(&login.access_token));
    let mut users = UserServiceClient::with_origin(authorized.clone(), origin.clone());
    let me = users
        .get_me(GetMeRequest {})
        .await
        .unwrap()
        .into_inner()
        .user
        .unwrap();
    assert_eq!(me, user);

    // Create a product.
    let mut catalog = CatalogServiceClient::with_origin(authorized.clone(), origin.clone());
    let create = CreateProductRequest {
        name: "Tea glass".to_owned(),
        description: "For strong black tea.".to_owned(),
        price: Some(money(1_999)),
        stock: 10,
        request_id: String::new(),
    };
    let created = catalog.create_product(create).await.unwrap();
    let product = created.into_inner().product.unwrap();
    assert_eq!(product.owner_id, user.id);

    // Create an order.
    let mut orders = OrderServiceClient::with_origin(authorized, origin);
    let create = CreateOrderRequest {
        lines: vec![CreateOrderLine {
            product_id: product.id.clone(),
            quantity: 2,
            expected_unit_price: None,
        }],
        request_id: "first".to_owned(),
    };
    let order = orders
        .create_order(create)
        .await
        .unwrap()
        .into_inner()
        .order
        .unwrap();
    assert_eq!(order.total_price, Some(money(3_998)));
    assert_eq!(order.status(), OrderStatus::Pending);

    // List orders.
    let listed = orders
        .list_orders(ListOrdersRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.into_inner().orders, [order.clone()]);

    // Update the status, and see it updated.
    let ship = UpdateOrderStatusRequest {
        id: order.id.clone(),
        status: OrderStatus::Shipped.into(),
    };
    orders.update_order_status(ship).await.unwrap();
    let seen = orders
        .get_order(GetOrderRequest { id: order.id })
        .await
        .unwrap();
    assert_eq!(
        seen.into_inner().order.unwrap().status(),
        OrderStatus::Shipped
    );
}
