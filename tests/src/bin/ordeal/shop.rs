//! Who buys, and what there is to buy.

use std::{collections::HashMap, ops::Range, time::Duration};

use orderflow_contract::Id;
use orderflow_proto::{
    catalog::v1::GetProductRequest,
    order::v1::{ListOrdersRequest, Order, OrderSide},
};
use orderflow_testkit::Person;
use tonic::{Request, Status, transport::Channel};

use crate::{
    Problem,
    history::{Attempt, Call, History, Outcome, Seen},
};

pub(crate) const BUYERS: usize = 8;
/// Everybody wants these.
pub(crate) const HOT: Range<usize> = 0..3;
/// There are few of these.
pub(crate) const SCARCE: Range<usize> = 3..13;
pub(crate) const ALL: Range<usize> = 0..200;

const PLENTY: i64 = 1_000_000_000;
const FEW: i64 = 30;

/// How long somebody waits for what is asked when all is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody, by way of each gateway.
pub(crate) struct Somebody(pub(crate) Vec<Person>);

pub(crate) struct Shop {
    pub(crate) products: Vec<Id>,
    numbers: HashMap<String, usize>,
    pub(crate) seller: Somebody,
    pub(crate) buyers: Vec<Somebody>,
}

impl Somebody {
    async fn register(gateways: &[Channel], name: &str) -> Self {
        let person = Person::register(gateways[0].clone(), name).await;
        Self::by_way_of(gateways, &person)
    }

    /// The same person on other connections.
    pub(crate) fn by_way_of(gateways: &[Channel], person: &Person) -> Self {
        let by = |channel: &Channel| Person {
            id: person.id.clone(),
            email: person.email.clone(),
            token: person.token.clone(),
            channel: channel.clone(),
        };
        Self(gateways.iter().map(by).collect())
    }
}

/// First stock.
pub(crate) fn initial(product: usize) -> i64 {
    if SCARCE.contains(&product) {
        FEW
    } else {
        PLENTY
    }
}

impl Shop {
    /// Registers people and offers products.
    pub(crate) async fn open(gateways: &[Channel]) -> Result<Self, Problem> {
        let seller = Somebody::register(gateways, "seller").await;
        let mut buyers = Vec::new();
        for n in 0..BUYERS {
            buyers.push(Somebody::register(gateways, &format!("buyer{n}")).await);
        }
        let (mut products, mut numbers) = (Vec::new(), HashMap::new());
        for n in ALL {
            let draft = seller.0[0].product().name(&format!("p{n}"));
            let product = draft.stock(initial(n)).try_create().await?;
            products.push(product.id.parse().map_err(|_| no_id())?);
            numbers.insert(product.id, n);
        }
        Ok(Self {
            products,
            numbers,
            seller,
            buyers,
        })
    }

    /// An order in an answer.
    pub(crate) fn seen(&self, order: Option<Order>) -> Result<Seen, Status> {
        let order = order.ok_or_else(no_id)?;
        let number = |id: &String| self.numbers.get(id).copied().unwrap_or(usize::MAX);
        let lines = order.lines.iter();
        let mut lines: Vec<_> = lines.map(|l| (number(&l.product_id), l.quantity)).collect();
        lines.sort_unstable();
        Ok(Seen {
            id: order.id.parse().map_err(|_| no_id())?,
            status: order.status(),
            lines,
        })
    }

    /// Every buyer lists their orders, to the end.
    pub(crate) async fn list_all(&self, history: &History) -> Result<(), Problem> {
        for (client, buyer) in self.buyers.iter().enumerate() {
            let buyer = &buyer.0[0];
            let mut page_token = String::new();
            loop {
                let began = history.now();
                let list = ListOrdersRequest {
                    page_size: 500,
                    page_token,
                    side: OrderSide::Buyer.into(),
                    ..ListOrdersRequest::default()
                };
                let page = buyer.orders().list_orders(within(PATIENCE, list)).await?;
                let page = page.into_inner();
                for order in page.orders {
                    let seen = self.seen(Some(order))?;
                    history.add(Attempt {
                        client,
                        gateway: 1,
                        subject: seen.id,
                        call: Call::List,
                        began,
                        ended: history.now(),
                        outcome: Outcome::Order(seen),
                    });
                }
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What there is of each product.
    pub(crate) async fn stocks(&self) -> Result<Vec<i64>, Problem> {
        let mut stocks = Vec::new();
        for id in &self.products {
            let get = within(PATIENCE, GetProductRequest { id: id.to_string() });
            let got = self.seller.0[0].catalog().get_product(get).await?;
            stocks.push(got.into_inner().product.ok_or_else(no_id)?.stock);
        }
        Ok(stocks)
    }
}

/// A request whose caller waits for so long.
pub(crate) fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

fn no_id() -> Status {
    Status::internal("an answer without what was asked for")
}
