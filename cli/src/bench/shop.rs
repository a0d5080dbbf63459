//! Who buys, and what there is to buy.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use mongodb::{
    Database,
    bson::{Document, doc},
};
use orderflow_chassis::channel::Tls;
use orderflow_contract::{Id, status::is_definite};
use orderflow_proto::{
    catalog::v1::{
        CreateProductRequest, GetProductRequest, catalog_service_client::CatalogServiceClient,
    },
    money::v1::Money,
    order::v1::{CreateOrderLine, CreateOrderRequest, order_service_client::OrderServiceClient},
    user::v1::{LoginRequest, RegisterRequest, user_service_client::UserServiceClient},
};
use orderflow_upstream::Connection;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
};

use super::load::Client;
use crate::{audit::History, demo::Error};

const PASSWORD: &str = "a password for the benchmark";
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How many products are created at once.
const AT_ONCE: usize = 32;
/// More than any run can buy.
const STOCK: i64 = 1_000_000_000;

/// A shop with buyers.
pub(super) struct Shop {
    run: Id,
    connections: Vec<Connection>,
    buyers: Vec<Person>,
    seller: Person,
    products: Arc<[String]>,
}

/// Somebody who is signed in.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) id: Id,
    pub(super) bearer: MetadataValue<Ascii>,
}

/// What a shop is to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) connections: usize,
    pub(super) buyers: usize,
    pub(super) products: usize,
}

impl Shop {
    /// Registers people and offers products, all of them new.
    pub(super) async fn open(gateways: &[String], size: Size) -> Result<Self, Error> {
        let mut connections = Vec::with_capacity(size.connections);
        for gateway in gateways
            .iter()
            .cycle()
            .take(size.connections.max(gateways.len()))
        {
            connections.push(connect(gateway).await?);
        }
        let run = Id::random();
        let sign_up = |n: usize| {
            let email = format!("bench-{run}-{n}@bench.example");
            sign_up(connections[n % connections.len()].clone(), email)
        };
        let mut people = Vec::with_capacity(size.buyers + 1);
        for n in 0..=size.buyers {
            people.push(sign_up(n).await?);
        }
        let seller = people.pop().expect("there is one more than buyers");
        let products: Vec<_> = stream::iter(0..size.products)
            .map(|n| {
                offer(
                    connections[n % connections.len()].clone(),
                    seller.bearer.clone(),
                    n,
                )
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(Self {
            run,
            connections,
            buyers: people,
            seller,
            products: products.into(),
        })
    }

    /// Registers an admin, which somebody becomes by being written down as one.
    pub(super) async fn admin(&self, users: &Database) -> Result<Person, super::Error> {
        let connection = &self.connections[0];
        let email = format!("bench-{}-admin@bench.example", self.run);
        let admin = sign_up(connection.clone(), email.clone()).await?;
        let make_admin = doc! { "$set": { "roles": ["admin"] } };
        users
            .collection::<Document>("users")
            .update_one(doc! { "_id": admin.id.to_string() }, make_admin)
            .await?;
        let bearer = sign_in(connection.clone(), email).await?;
        Ok(Person { bearer, ..admin })
    }

    pub(super) fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// One of those who buy.
    pub(super) fn buyer(&self) -> &Person {
        &self.buyers[0]
    }

    /// Whose products they are.
    pub(super) fn seller(&self) -> &Person {
        &self.seller
    }

    /// Clients that place orders of `lines` lines, of the first `products` products.
    pub(super) fn order_clients(
        &self,
        clients: usize,
        lines: usize,
        products: usize,
    ) -> Vec<OrderClient> {
        let client = |n: usize| OrderClient {
            orders: OrderServiceClient::new(self.connections[n % self.connections.len()].clone()),
            buyer: self.buyers[n % self.buyers.len()].clone(),
            products: self.products.clone(),
            lines,
            among: products.min(self.products.len()),
            history: History::default(),
        };
        (0..clients).map(client).collect()
    }

    /// Clients that read products.
    pub(super) fn read_clients(&self, clients: usize, products: usize) -> Vec<ReadClient> {
        let client = |n: usize| ReadClient {
            catalog: CatalogServiceClient::new(
                self.connections[n % self.connections.len()].clone(),
            ),
            bearer: self.buyers[n % self.buyers.len()].bearer.clone(),
            products: self.products.clone(),
            among: products.min(self.products.len()),
        };
        (0..clients).map(client).collect()
    }

    /// The ids of its products.
    pub(super) fn products(&self) -> &[String] {
        &self.products
    }
}

/// What the services have among themselves: on the cores of those whom it measures, a load must not cost more than it has to.
async fn connect(gateway: &str) -> Result<Connection, Error> {
    let no_gateway = || Error::NoGateway(gateway.to_owned());
    let address = gateway.parse().map_err(|_| no_gateway())?;
    let url = format!("http://{gateway}")
        .parse()
        .map_err(|_| no_gateway())?;
    Connection::connect(address, &url, &Tls::default(), CONNECT)
        .await
        .map_err(|_| no_gateway())
}

async fn sign_up(connection: Connection, email: String) -> Result<Person, Error> {
    let mut users = UserServiceClient::new(connection.clone());
    let register = RegisterRequest {
        name: "Bench".to_owned(),
        email: email.clone(),
        password: PASSWORD.to_owned(),
    };
    let registered = users
        .register(register)
        .await
        .map_err(|s| failed("Register", &s))?;
    let user = registered.into_inner().user.unwrap_or_default();
    let no_id = |_| failed("Register", &Status::internal("no user id"));
    Ok(Person {
        id: user.id.parse().map_err(no_id)?,
        bearer: sign_in(connection, email).await?,
    })
}

async fn sign_in(connection: Connection, email: String) -> Result<MetadataValue<Ascii>, Error> {
    let login = LoginRequest {
        email,
        password: PASSWORD.to_owned(),
    };
    let login = UserServiceClient::new(connection).login(login).await;
    let login = login.map_err(|status| failed("Login", &status))?;
    let bearer = format!("Bearer {}", login.into_inner().access_token);
    Ok(bearer.parse().expect("a token is ASCII"))
}

async fn offer(
    connection: Connection,
    bearer: MetadataValue<Ascii>,
    n: usize,
) -> Result<String, Error> {
    let mut request = Request::new(CreateProductRequest {
        name: format!("Benchmark product {n}"),
        description: "It is bought very often.".to_owned(),
        price: Some(Money {
            currency_code: "TRY".to_owned(),
            minor_units: 100 + n as i64 % 900,
        }),
        stock: STOCK,
        request_id: String::new(),
    });
    request.metadata_mut().insert("authorization", bearer);
    let created = CatalogServiceClient::new(connection)
        .create_product(request)
        .await;
    let created = created.map_err(|status| failed("CreateProduct", &status))?;
    Ok(created.into_inner().product.unwrap_or_default().id)
}

pub(super) fn failed(what: &'static str, status: &Status) -> Error {
    Error::Call {
        what,
        code: status.code(),
        message: status.message().to_owned(),
    }
}

/// Somebody who orders, each time something else.
pub(super) struct OrderClient {
    orders: OrderServiceClient<Connection>,
    buyer: Person,
    products: Arc<[String]>,
    lines: usize,
    among: usize,
    pub(super) history: History,
}

impl Client for OrderClient {
    async fn call(&mut self) -> Result<(), String> {
        let first = rand::random_range(0..self.among);
        let line = |n: usize| CreateOrderLine {
            product_id: self.products[(first + n) % self.among].clone(),
            quantity: 1,
            expected_unit_price: None,
        };
        let request_id = Id::random().to_string();
        let mut request = Request::new(CreateOrderRequest {
            lines: (0..self.lines).map(line).collect(),
            request_id: request_id.clone(),
        });
        request
            .metadata_mut()
            .insert("authorization", self.buyer.bearer.clone());
        match self.orders.create_order(request).await {
            Ok(created) => {
                let order = created.into_inner().order.unwrap_or_default();
                let id = order.id.parse().map_err(|_| "no order id".to_owned())?;
                self.history.acknowledged.push(id);
                Ok(())
            }
            Err(status) => {
                if is_definite(status.code()) {
                    let user_id = self.buyer.id.to_string();
                    let id = Id::derived(&[user_id.as_bytes(), request_id.as_bytes()]);
                    self.history.refused.push(id);
                }
                Err(format!("{:?}", status.code()))
            }
        }
    }
}

/// Somebody who looks at products.
pub(super) struct ReadClient {
    catalog: CatalogServiceClient<Connection>,
    bearer: MetadataValue<Ascii>,
    products: Arc<[String]>,
    among: usize,
}

impl Client for ReadClient {
    async fn call(&mut self) -> Result<(), String> {
        let id = self.products[rand::random_range(0..self.among)].clone();
        let mut request = Request::new(GetProductRequest { id });
        request
            .metadata_mut()
            .insert("authorization", self.bearer.clone());
        let found = self.catalog.get_product(request).await;
        found
            .map(drop)
            .map_err(|status| format!("{:?}", status.code()))
    }
}
