//! Lists and statistics, and who asks for them.

use std::{fmt, time::Duration};

use mongodb::bson::{Document, doc};
use orderflow_proto::order::v1::{
    GetOrderStatsRequest, ListOrdersRequest, OrderSide, order_service_client::OrderServiceClient,
};
use orderflow_upstream::Connection;
use tokio::time::Instant;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
};

use super::{
    Error,
    history::Length,
    load::Client,
    raw,
    shop::{Person, Shop, failed},
    target::Target,
};

/// How many orders a page has.
const PAGE: i32 = 50;
/// How many it may have, on the way to a deep one.
const LARGEST_PAGE: usize = 500;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// For what they placed.
    Buyer,
    /// For what they sell.
    Seller,
    /// For everything.
    Admin,
}

/// What somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// A page of orders, newest first.
    FirstPage(Who),
    /// The page behind half of them.
    DeepPage(Who),
    /// The sales of the last 30 days.
    Stats(Who),
}

impl Question {
    /// About lists.
    pub(super) const LISTS: [Self; 6] = [
        Self::FirstPage(Who::Buyer),
        Self::DeepPage(Who::Buyer),
        Self::FirstPage(Who::Seller),
        Self::DeepPage(Who::Seller),
        Self::FirstPage(Who::Admin),
        Self::DeepPage(Who::Admin),
    ];
    /// About statistics.
    pub(super) const STATS: [Self; 2] = [Self::Stats(Who::Seller), Self::Stats(Who::Admin)];
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, who, page) = match self {
            Self::FirstPage(who) => ("list", who, ", first page"),
            Self::DeepPage(who) => ("list", who, ", deep page"),
            Self::Stats(who) => ("stats", who, ""),
        };
        let who = match who {
            Who::Buyer => "buyer",
            Who::Seller => "seller",
            Who::Admin => "admin",
        };
        write!(f, "{what} as {who}{page}")
    }
}

/// The people who ask.
pub(super) struct People {
    connections: Vec<Connection>,
    buyer: Asker,
    seller: Asker,
    admin: Asker,
}

struct Asker {
    bearer: MetadataValue<Ascii>,
    /// The token of the page behind half of their orders.
    deep: String,
}

impl People {
    /// Those of a shop, and a new admin.
    pub(super) async fn of(target: &Target, shop: &Shop, length: Length) -> Result<Self, Error> {
        let mongodb = raw::connect(target.mongo_url()?, 1).await?;
        let admin = shop.admin(&target.database(&mongodb, "user")).await?;
        let mut people = Self {
            connections: shop.connections().to_vec(),
            buyer: Asker::of(shop.buyer()),
            seller: Asker::of(shop.seller()),
            admin: Asker::of(&admin),
        };
        people.buyer.deep = people.page_behind(Who::Buyer, length.own / 2).await?;
        people.seller.deep = people.page_behind(Who::Seller, length.own / 2).await?;
        people.admin.deep = people.page_behind(Who::Admin, length.all / 2).await?;
        Ok(people)
    }

    fn asker(&self, who: Who) -> &Asker {
        match who {
            Who::Buyer => &self.buyer,
            Who::Seller => &self.seller,
            Who::Admin => &self.admin,
        }
    }

    /// The token of the page behind so many orders, found as anybody finds it: page by page.
    async fn page_behind(&self, who: Who, orders: usize) -> Result<String, Error> {
        let mut client = self.client(Question::FirstPage(who), 0);
        let mut token = String::new();
        for first in (0..orders).step_by(LARGEST_PAGE) {
            let request = ListOrdersRequest {
                page_size: LARGEST_PAGE.min(orders - first) as i32,
                page_token: token,
                ..list(who)
            };
            let request = client.signed(request);
            let page = client.orders.list_orders(request).await;
            token = page
                .map_err(|status| failed("ListOrders", &status))?
                .into_inner()
                .next_page_token;
            // Else it would be the first page that is measured.
            if token.is_empty() {
                return Err(Error::NoDeepPage);
            }
        }
        Ok(token)
    }

    pub(super) fn clients(&self, question: Question, number: usize) -> Vec<AskingClient> {
        (0..number).map(|n| self.client(question, n)).collect()
    }

    fn client(&self, question: Question, n: usize) -> AskingClient {
        let (who, asked) = match question {
            Question::FirstPage(who) => (who, Asked::List(list(who))),
            Question::DeepPage(who) => {
                let page_token = self.asker(who).deep.clone();
                (
                    who,
                    Asked::List(ListOrdersRequest {
                        page_token,
                        ..list(who)
                    }),
                )
            }
            Question::Stats(who) => (who, Asked::Stats(GetOrderStatsRequest::default())),
        };
        AskingClient {
            orders: OrderServiceClient::new(self.connections[n % self.connections.len()].clone()),
            bearer: self.asker(who).bearer.clone(),
            asked,
        }
    }

    /// How long statistics take of which nothing was kept. What is measured afterwards finds it kept.
    pub(super) async fn first_answer(
        &self,
        target: &Target,
        question: Question,
    ) -> Result<Duration, Error> {
        let mongodb = raw::connect(target.mongo_url()?, 1).await?;
        let orders = target.database(&mongodb, "order");
        let kept = orders.collection::<Document>("order_stats");
        kept.delete_many(doc! {}).await?;
        let begin = Instant::now();
        let mut client = self.client(question, 0);
        client.call().await.map_err(Error::FirstAnswer)?;
        Ok(begin.elapsed())
    }
}

impl Asker {
    fn of(person: &Person) -> Self {
        Self {
            bearer: person.bearer.clone(),
            deep: String::new(),
        }
    }
}

fn list(who: Who) -> ListOrdersRequest {
    let side = match who {
        Who::Seller => OrderSide::Seller,
        Who::Buyer | Who::Admin => OrderSide::Unspecified,
    };
    ListOrdersRequest {
        page_size: PAGE,
        side: side.into(),
        ..Default::default()
    }
}

/// Somebody who asks the same again and again.
pub(super) struct AskingClient {
    orders: OrderServiceClient<Connection>,
    bearer: MetadataValue<Ascii>,
    asked: Asked,
}

enum Asked {
    List(ListOrdersRequest),
    Stats(GetOrderStatsRequest),
}

impl AskingClient {
    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.bearer.clone());
        request
    }

    /// How much the answer holds.
    async fn ask(&mut self) -> Result<usize, Status> {
        Ok(match &self.asked {
            Asked::List(request) => {
                let request = self.signed(request.clone());
                let page = self.orders.list_orders(request).await?;
                page.get_ref().orders.len()
            }
            Asked::Stats(request) => {
                let request = self.signed(request.clone());
                let stats = self.orders.get_order_stats(request).await?;
                stats.get_ref().days.len()
            }
        })
    }
}

impl Client for AskingClient {
    async fn call(&mut self) -> Result<(), String> {
        match self.ask().await {
            // Nothing is found quickly.
            Ok(0) => Err("Empty".to_owned()),
            Ok(_) => Ok(()),
            Err(status) => Err(format!("{:?}", status.code())),
        }
    }
}

#[cfg(test)]
mod tests {
    use orderflow_chassis::channel::Tls;

    use super::*;

    fn token(name: &str) -> String {
        format!("behind half of {name}")
    }

    #[tokio::test]
    async fn a_deep_page_is_another_one_and_each_side_its_own() {
        let asker = |name: &str| Asker {
            bearer: name.parse().unwrap(),
            deep: token(name),
        };
        let nobody = Connection::lazy(
            ([127, 0, 0, 1], 1).into(),
            &"http://127.0.0.1:1".parse().unwrap(),
            &Tls::default(),
            Duration::ZERO,
        );
        let people = People {
            connections: vec![nobody],
            buyer: asker("buyer"),
            seller: asker("seller"),
            admin: asker("admin"),
        };
        let mut seen = Vec::new();
        for question in Question::LISTS {
            let client = people.clients(question, 1).remove(0);
            let Asked::List(request) = client.asked else {
                panic!("no list");
            };
            let bearer = client.bearer.to_str().unwrap().to_owned();
            let expected = match question {
                Question::DeepPage(_) => token(&bearer),
                _ => String::new(),
            };
            assert_eq!(request.page_token, expected);
            assert_eq!(request.page_size, PAGE);
            let is_seller = request.side() == OrderSide::Seller;
            assert_eq!(is_seller, bearer == "seller");
            seen.push(bearer);
        }
        seen.dedup();
        assert_eq!(seen, ["buyer", "seller", "admin"]);
    }
}
