//! Clients as they should be: who does not know what became of a request asks again, with the same key, until they do. Some go
//! away instead: what was begun for them must be finished all the same, with nobody to ask for it.

use std::{sync::Arc, time::Duration};

use futures::future::join;
use orderflow_chassis::Shutdown;
use orderflow_contract::Id;
use orderflow_proto::{
    catalog::v1::AdjustStockRequest,
    order::v1::{
        CancelOrderRequest, CreateOrderLine, CreateOrderRequest, GetOrderRequest, OrderStatus,
        UpdateOrderStatusRequest,
    },
};
use rand::{
    RngExt, SeedableRng,
    rngs::Xoshiro256PlusPlus,
    seq::{IndexedRandom, index},
};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status, transport::Channel};

use crate::{
    history::{Attempt, Call, History, Line, Outcome},
    shop::{ALL, HOT, SCARCE, Shop, Somebody, within},
};

/// Of the orders that a client knows, it looks at the last ones.
const REMEMBERED: usize = 100;

pub(crate) struct Client {
    number: usize,
    buyer: Somebody,
    seller: Somebody,
    shop: Arc<Shop>,
    history: Arc<History>,
    dice: Xoshiro256PlusPlus,
    keys: usize,
    /// What became of them is not known.
    open: Vec<Wish>,
    /// Placed, and acknowledged.
    orders: Vec<Wish>,
}

/// What is asked for until it is known what became of it: an order, or stock.
#[derive(Clone)]
struct Wish {
    subject: Id,
    call: Call,
}

/// What became of a wish.
enum Fate {
    Made,
    Refused,
}

impl Client {
    pub(crate) fn new(
        number: usize,
        gateways: &[Channel],
        shop: Arc<Shop>,
        history: Arc<History>,
        seed: u64,
    ) -> Self {
        let buyer = &shop.buyers[number % shop.buyers.len()].0[0];
        Self {
            number,
            buyer: Somebody::by_way_of(gateways, buyer),
            seller: Somebody::by_way_of(gateways, &shop.seller.0[0]),
            shop,
            history,
            dice: Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(number as u64)),
            keys: 0,
            open: Vec::new(),
            orders: Vec::new(),
        }
    }

    /// Calls until it is over.
    pub(crate) async fn run(mut self, over: Shutdown) -> Self {
        while !over.is_cancelled() {
            match self.dice.random_range(0..100) {
                0..60 => self.place_something().await,
                60..70 => self.ask_again().await,
                70..78 => self.look_at_one(Call::Cancel).await,
                78..84 => self.look_at_one(Call::Move(OrderStatus::Shipped)).await,
                84..87 => self.look_at_one(Call::Move(OrderStatus::Delivered)).await,
                87..95 => self.look_at_one(Call::Get).await,
                95..98 => self.adjust_something().await,
                _ => self.place_otherwise().await,
            }
        }
        self
    }

    /// Asks for what is not known, until it is.
    pub(crate) async fn settle(mut self, patience: Duration) {
        let until = Instant::now() + patience;
        while let Some(wish) = self.open.pop() {
            while self.attempt(&wish).await.is_none() && Instant::now() < until {
                self.pause().await;
            }
        }
    }

    /// What is not known.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("{}-{}", self.number, self.keys)
    }

    async fn place_something(&mut self) {
        let key = self.key();
        let lines = self.lines();
        let user = self.buyer.0[0].id.as_bytes();
        let wish = Wish {
            subject: Id::derived(&[user, key.as_bytes()]),
            call: Call::Place { key, lines },
        };
        self.pursue(wish).await;
    }

    /// One to three products, the hot ones often.
    fn lines(&mut self) -> Vec<Line> {
        let among = match self.dice.random_range(0..10) {
            0..4 => HOT,
            4..6 => SCARCE,
            _ => ALL,
        };
        let number = self.dice.random_range(1..=3);
        // In any sequence.
        let chosen = index::sample(&mut self.dice, among.len(), number);
        let line = |n| (among.start + n, self.dice.random_range(1..=3));
        chosen.into_iter().map(line).collect()
    }

    /// Few of the scarce ones more, or some of a hot one more or less: never so that it is refused.
    async fn adjust_something(&mut self) {
        let (product, delta) = match self.dice.random() {
            true => (
                self.dice.random_range(SCARCE),
                self.dice.random_range(1..=20),
            ),
            false => (self.dice.random_range(HOT), self.dice.random_range(-5..=5)),
        };
        if delta != 0 {
            let wish = Wish {
                subject: self.shop.products[product],
                call: Call::Adjust {
                    key: self.key(),
                    delta,
                },
            };
            self.pursue(wish).await;
        }
    }

    /// Asks again for something that was left open, or that is known.
    async fn ask_again(&mut self) {
        if self.open.is_empty() {
            if let Some(wish) = self.orders.choose(&mut self.dice).cloned() {
                self.attempt(&wish).await;
            }
        } else {
            let n = self.dice.random_range(0..self.open.len());
            let wish = self.open.swap_remove(n);
            self.pursue(wish).await;
        }
    }

    /// Uses the key of another order.
    async fn place_otherwise(&mut self) {
        let known = self.orders.choose(&mut self.dice).cloned();
        if let Some(mut wish) = known
            && let Call::Place { lines, .. } = &mut wish.call
        {
            lines[0].1 += 1;
            self.attempt(&wish).await;
        }
    }

    async fn look_at_one(&mut self, call: Call) {
        if let Some(order) = self.orders.choose(&mut self.dice) {
            let wish = Wish {
                subject: order.subject,
                call,
            };
            self.attempt(&wish).await;
        }
    }

    /// Asks some times; what is not known then is left for later, or, at any time, for good.
    async fn pursue(&mut self, wish: Wish) {
        let is_order = matches!(wish.call, Call::Place { .. });
        let times = self.dice.random_range(1..=6);
        for _ in 0..times {
            match self.attempt(&wish).await {
                Some(Fate::Made) if is_order => {
                    self.orders.push(wish);
                    if self.orders.len() > REMEMBERED {
                        self.orders.swap_remove(0);
                    }
                    return;
                }
                Some(_) => return,
                // What becomes of an adjustment must be known, for the books.
                None if is_order && self.dice.random_ratio(1, 5) => return,
                None => self.pause().await,
            }
        }
        self.open.push(wish);
    }

    async fn pause(&mut self) {
        let pause = self.dice.random_range(20..400);
        sleep(Duration::from_millis(pause)).await;
    }

    /// Asks once, or, at times, by both gateways at once. `None` if it is not known what became of it.
    async fn attempt(&mut self, wish: &Wish) -> Option<Fate> {
        let patience = Duration::from_millis(self.dice.random_range(500..5_000));
        let first = self.dice.random_range(0..self.buyer.0.len());
        let twice = self.dice.random_ratio(1, 12);
        let this = &*self;
        let one = this.ask(wish, first, patience);
        let outcomes = if twice {
            let other = this.ask(wish, (first + 1) % this.buyer.0.len(), patience);
            let (one, other) = join(one, other).await;
            vec![one, other]
        } else {
            vec![one.await]
        };
        outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Order(_) | Outcome::Adjusted => Some(Fate::Made),
            // Turned away at the door: asked for again like one that is not known.
            Outcome::Definite(Code::ResourceExhausted, _) | Outcome::Unknown(..) => None,
            Outcome::Definite(..) => Some(Fate::Refused),
        })
    }

    async fn ask(&self, wish: &Wish, gateway: usize, patience: Duration) -> Outcome {
        let began = self.history.now();
        let outcome = self.answer(wish, gateway, patience).await;
        let outcome = outcome.unwrap_or_else(|status| Outcome::of_error(&status));
        self.history.add(Attempt {
            client: self.number,
            gateway: gateway + 1,
            subject: wish.subject,
            call: wish.call.clone(),
            began,
            ended: self.history.now(),
            outcome: outcome.clone(),
        });
        outcome
    }

    async fn answer(
        &self,
        wish: &Wish,
        gateway: usize,
        patience: Duration,
    ) -> Result<Outcome, Status> {
        let (buyer, seller) = (&self.buyer.0[gateway], &self.seller.0[gateway]);
        let id = wish.subject.to_string();
        let order = match &wish.call {
            Call::Place { key, lines } => {
                let create = within(patience, self.create_order(key, lines));
                let created = buyer.orders().create_order(create).await?;
                created.into_inner().order
            }
            Call::Cancel => {
                let cancel = within(patience, CancelOrderRequest { id });
                buyer
                    .orders()
                    .cancel_order(cancel)
                    .await?
                    .into_inner()
                    .order
            }
            Call::Move(to) => {
                let status = (*to).into();
                let update = within(patience, UpdateOrderStatusRequest { id, status });
                let updated = seller.orders().update_order_status(update).await?;
                updated.into_inner().order
            }
            Call::Get | Call::List => {
                let get = within(patience, GetOrderRequest { id });
                buyer.orders().get_order(get).await?.into_inner().order
            }
            Call::Adjust { key, delta } => {
                let adjust = AdjustStockRequest {
                    product_id: id,
                    delta: *delta,
                    reason: "delivery".to_owned(),
                    request_id: key.clone(),
                };
                seller
                    .catalog()
                    .adjust_stock(within(patience, adjust))
                    .await?;
                return Ok(Outcome::Adjusted);
            }
        };
        self.shop.seen(order).map(Outcome::Order)
    }

    fn create_order(&self, key: &str, lines: &[Line]) -> CreateOrderRequest {
        let line = |(product, quantity): &Line| CreateOrderLine {
            product_id: self.shop.products[*product].to_string(),
            quantity: *quantity,
            expected_unit_price: None,
        };
        CreateOrderRequest {
            lines: lines.iter().map(line).collect(),
            request_id: key.to_owned(),
        }
    }
}
