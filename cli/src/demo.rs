//! A shop to play with.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use orderflow_proto::{
    catalog::v1::{CreateProductRequest, catalog_service_client::CatalogServiceClient},
    money::v1::Money,
    user::v1::{LoginRequest, RegisterRequest, user_service_client::UserServiceClient},
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

/// How many products are created at once.
const AT_ONCE: usize = 16;

/// Which shop to fill.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The gateway of a running system
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub gateway: String,
    /// How many products
    #[arg(long, default_value_t = 1000)]
    pub products: u32,
}

/// Why the shop was not filled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is there.
    #[error("no gateway at {0}: start one with `orderflow up`, or name another with --gateway")]
    NoGateway(String),
    /// A call failed.
    #[error("{what} failed: {code}: {message}")]
    Call {
        /// Which call.
        what: &'static str,
        /// Its status.
        code: Code,
        /// And text.
        message: String,
    },
}

const PASSWORD: &str = "demo-demo";
const SELLER: &str = "seller@demo.example";
const BUYER: &str = "buyer@demo.example";

/// Registers a seller and a buyer, and offers products. Run again, it finds what is there.
pub async fn demo(args: Args) -> Result<(), Error> {
    let no_gateway = || Error::NoGateway(args.gateway.clone());
    let channel = Endpoint::from_shared(format!("http://{}", args.gateway))
        .map_err(|_| no_gateway())?
        .connect_timeout(Duration::from_secs(2))
        .connect()
        .await
        .map_err(|_| no_gateway())?;
    let mut users = UserServiceClient::new(channel.clone());
    register(&mut users, "Seller", SELLER).await?;
    register(&mut users, "Buyer", BUYER).await?;
    let login = LoginRequest {
        email: SELLER.to_owned(),
        password: PASSWORD.to_owned(),
    };
    let login = users
        .login(login)
        .await
        .map_err(|status| failed("Login", &status))?;
    let bearer: MetadataValue<Ascii> = format!("Bearer {}", login.get_ref().access_token)
        .parse()
        .expect("a token is ASCII");

    let bar = ProgressBar::new(args.products.into());
    bar.set_style(
        ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}").expect("the template is valid"),
    );
    bar.set_message("products");
    stream::iter(0..args.products)
        .map(|n| create(channel.clone(), bearer.clone(), n, &bar))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    bar.finish_and_clear();

    println!(
        "The shop has {} products of {SELLER}; {BUYER} can order them. Both sign in with {PASSWORD:?}.\n",
        args.products
    );
    println!(
        "The whole way of an order, ready to paste:\n\n{}",
        steps(&args.gateway)
    );
    Ok(())
}

async fn register(
    users: &mut UserServiceClient<Channel>,
    name: &str,
    email: &str,
) -> Result<(), Error> {
    let request = RegisterRequest {
        name: name.to_owned(),
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
    };
    match users.register(request).await {
        Err(status) if status.code() != Code::AlreadyExists => Err(failed("Register", &status)),
        _ => Ok(()),
    }
}

async fn create(
    channel: Channel,
    bearer: MetadataValue<Ascii>,
    n: u32,
    bar: &ProgressBar,
) -> Result<(), Error> {
    let mut request = Request::new(product(n));
    request.metadata_mut().insert("authorization", bearer);
    let created = CatalogServiceClient::new(channel)
        .create_product(request)
        .await;
    created.map_err(|status| failed("CreateProduct", &status))?;
    bar.inc(1);
    Ok(())
}

fn failed(what: &'static str, status: &Status) -> Error {
    Error::Call {
        what,
        code: status.code(),
        message: status.message().to_owned(),
    }
}

/// The nth product: always the same, so that a second run creates nothing new.
fn product(n: u32) -> CreateProductRequest {
    const MAKES: [&str; 10] = [
        "Linen",
        "Walnut",
        "Copper",
        "Wool",
        "Glass",
        "Leather",
        "Bamboo",
        "Steel",
        "Clay",
        "Olive wood",
    ];
    const KINDS: [(&str, &str, i64); 20] = [
        ("tea glass", "for strong black tea", 450),
        ("coffee pot", "for two small cups", 3_900),
        ("cutting board", "oiled by hand", 5_400),
        ("bread knife", "with a long serrated blade", 4_800),
        ("lamp", "with a warm light", 12_900),
        ("chair", "for the kitchen table", 28_500),
        ("rug", "woven on a hand loom", 64_000),
        ("blanket", "for cold evenings", 17_900),
        ("notebook", "192 pages, dotted", 1_490),
        ("pencil case", "with a brass zip", 2_250),
        ("backpack", "18 litres, for every day", 15_900),
        ("wallet", "for eight cards", 6_700),
        ("vase", "for a single branch", 3_300),
        ("bowl", "for soup or olives", 2_100),
        ("tray", "with two handles", 4_100),
        ("mirror", "round, 40 cm", 9_900),
        ("shelf", "three boards, no screws to be seen", 22_400),
        ("clock", "silent", 7_800),
        ("apron", "with deep pockets", 3_600),
        ("towel", "dries fast", 1_950),
    ];
    let (make, (kind, what_for, base_price)) =
        (MAKES[n as usize % 10], KINDS[n as usize / 10 % 20]);
    let (edition, make_factor) = (n / 200 + 1, i64::from(n % 10) + 6);
    CreateProductRequest {
        name: format!("{make} {kind} No. {edition}"),
        description: format!("A {} {kind}, {what_for}.", make.to_lowercase()),
        price: Some(Money {
            currency_code: "TRY".to_owned(),
            minor_units: base_price * make_factor * 10 / 100 * 10 + 90,
        }),
        stock: i64::from(n * 37 % 400) + 5,
        request_id: format!("demo-{n}"),
    }
}

/// Register, login, authorize, create a product, create an order, list orders, update the status, see it updated.
pub fn steps(gateway: &str) -> String {
    let call = r#"grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d"#;
    format!(
        r#"EMAIL="ada-$RANDOM@example.com"
grpcurl -plaintext -d '{{"name": "Ada", "email": "'$EMAIL'", "password": "correct horse"}}' \
  {gateway} orderflow.user.v1.UserService/Register

TOKEN=$(grpcurl -plaintext -d '{{"email": "'$EMAIL'", "password": "correct horse"}}' \
  {gateway} orderflow.user.v1.UserService/Login | sed -n 's/.*"accessToken": "\(.*\)".*/\1/p')

grpcurl -plaintext -H "authorization: Bearer $TOKEN" {gateway} orderflow.user.v1.UserService/GetMe

PRODUCT=$({call} '{{"name": "Tea glass", "price": {{"currency_code": "TRY", "minor_units": 1999}}, "stock": 10}}' \
  {gateway} orderflow.catalog.v1.CatalogService/CreateProduct | sed -n '/"id"/{{s/.*: "\(.*\)".*/\1/p;q}}'); echo "product $PRODUCT"

ORDER=$({call} '{{"lines": [{{"product_id": "'$PRODUCT'", "quantity": 2}}], "request_id": "first-order"}}' \
  {gateway} orderflow.order.v1.OrderService/CreateOrder | sed -n '/"id"/{{s/.*: "\(.*\)".*/\1/p;q}}'); echo "order $ORDER"

{call} '{{"order_by": "create_time desc"}}' \
  {gateway} orderflow.order.v1.OrderService/ListOrders

{call} '{{"id": "'$ORDER'", "status": "ORDER_STATUS_SHIPPED"}}' \
  {gateway} orderflow.order.v1.OrderService/UpdateOrderStatus

{call} '{{"id": "'$ORDER'"}}' \
  {gateway} orderflow.order.v1.OrderService/GetOrder
"#
    )
}
