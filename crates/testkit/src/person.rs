use std::net::SocketAddr;

use orderflow_contract::Id;
use orderflow_proto::{
    catalog::v1::{CreateProductRequest, Product, catalog_service_client::CatalogServiceClient},
    money::v1::Money,
    order::v1::{
        CreateOrderLine, CreateOrderRequest, Order, order_service_client::OrderServiceClient,
    },
    user::v1::{LoginRequest, RegisterRequest, user_service_client::UserServiceClient},
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::world::connect;

const PASSWORD: &str = "correct horse";

/// Somebody who is signed in.
pub struct Person {
    /// The user's id.
    pub id: String,
    /// The address they sign in with.
    pub email: String,
    /// Their access token.
    pub token: String,
    /// The connection they use.
    pub channel: Channel,
}

/// Sends an `authorization` header.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    /// With this token.
    pub fn new(token: &str) -> Self {
        Self(format!("Bearer {token}").parse().unwrap())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// So much in lira.
pub fn money(minor_units: i64) -> Money {
    Money {
        currency_code: "TRY".to_owned(),
        minor_units,
    }
}

impl Person {
    /// Registers somebody and signs them in.
    pub async fn register(channel: Channel, name: &str) -> Self {
        let email = format!("{name}-{}@example.com", Id::random());
        let request = RegisterRequest {
            name: name.to_owned(),
            email: email.clone(),
            password: PASSWORD.to_owned(),
        };
        let registered = UserServiceClient::new(channel.clone())
            .register(request)
            .await
            .unwrap();
        let person = Self {
            id: registered.into_inner().user.unwrap().id,
            email,
            token: String::new(),
            channel,
        };
        person.sign_in_again().await
    }

    /// The same person with a new token.
    pub async fn sign_in_again(mut self) -> Self {
        let request = LoginRequest {
            email: self.email.clone(),
            password: PASSWORD.to_owned(),
        };
        let login = UserServiceClient::new(self.channel.clone())
            .login(request)
            .await
            .unwrap();
        self.token = login.into_inner().access_token;
        self
    }

    /// The same person, by way of another gateway, or straight to a service.
    pub async fn by_way_of(&self, address: SocketAddr) -> Self {
        Self {
            id: self.id.clone(),
            email: self.email.clone(),
            token: self.token.clone(),
            channel: connect(address).await,
        }
    }

    fn intercepted(&self) -> InterceptedService<Channel, Bearer> {
        InterceptedService::new(self.channel.clone(), Bearer::new(&self.token))
    }

    /// `UserService`, as this person calls it.
    pub fn users(&self) -> UserServiceClient<InterceptedService<Channel, Bearer>> {
        UserServiceClient::new(self.intercepted())
    }

    /// `CatalogService`, as this person calls it.
    pub fn catalog(&self) -> CatalogServiceClient<InterceptedService<Channel, Bearer>> {
        CatalogServiceClient::new(self.intercepted())
    }

    /// `OrderService`, as this person calls it.
    pub fn orders(&self) -> OrderServiceClient<InterceptedService<Channel, Bearer>> {
        OrderServiceClient::new(self.intercepted())
    }

    /// A product to offer: a tea glass for 19.99, 10 of them.
    pub fn product(&self) -> ProductDraft<'_> {
        ProductDraft {
            owner: self,
            request: CreateProductRequest {
                name: "Tea glass".to_owned(),
                description: "For strong black tea.".to_owned(),
                price: Some(money(1_999)),
                stock: 10,
                request_id: String::new(),
            },
        }
    }

    /// An order without lines.
    pub fn order(&self) -> OrderDraft<'_> {
        OrderDraft {
            buyer: self,
            request: CreateOrderRequest::default(),
        }
    }
}

/// A product that is about to be offered.
pub struct ProductDraft<'a> {
    owner: &'a Person,
    /// What will be sent.
    pub request: CreateProductRequest,
}

impl ProductDraft<'_> {
    /// Another name.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.request.name);
        self
    }

    /// Another price, in lira.
    pub fn price(self, minor_units: i64) -> Self {
        self.money(money(minor_units))
    }

    /// Another price.
    pub fn money(mut self, price: Money) -> Self {
        self.request.price = Some(price);
        self
    }

    /// Another stock.
    pub fn stock(mut self, stock: i64) -> Self {
        self.request.stock = stock;
        self
    }

    /// Offers it.
    pub async fn create(self) -> Product {
        self.try_create().await.unwrap()
    }

    /// Tries to offer it.
    pub async fn try_create(self) -> Result<Product, Status> {
        let created = self.owner.catalog().create_product(self.request).await?;
        Ok(created.into_inner().product.unwrap())
    }
}

/// An order that is about to be placed.
pub struct OrderDraft<'a> {
    buyer: &'a Person,
    /// What will be sent.
    pub request: CreateOrderRequest,
}

impl OrderDraft<'_> {
    /// So many of a product.
    pub fn line(self, product: &Product, quantity: i32) -> Self {
        self.raw_line(&product.id, quantity)
    }

    /// So many of whatever has this id.
    pub fn raw_line(mut self, product_id: &str, quantity: i32) -> Self {
        self.request.lines.push(CreateOrderLine {
            product_id: product_id.to_owned(),
            quantity,
            expected_unit_price: None,
        });
        self
    }

    /// The last line, at this price only.
    pub fn at(mut self, price: Money) -> Self {
        self.request.lines.last_mut().unwrap().expected_unit_price = Some(price);
        self
    }

    /// With a request id.
    pub fn request_id(mut self, request_id: &str) -> Self {
        request_id.clone_into(&mut self.request.request_id);
        self
    }

    /// Places it.
    pub async fn place(self) -> Result<Order, Status> {
        let placed = self.buyer.orders().create_order(self.request).await?;
        Ok(placed.into_inner().order.unwrap())
    }
}
