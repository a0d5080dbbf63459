//! The rows of the table: which there are, and how each is measured.

use std::{fmt, time::Duration};

use futures::future::join;
use tokio::time::sleep;

use super::{
    Args, Error, System,
    load::{Client, Load, Measured, Mixed, drive},
    profile::Profile,
    questions::Question,
    raw::{self, FindClient, InsertClient, Inserts},
    target::Target,
};

/// What the clients of a row do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Order,
    Read,
    Mix,
    Ask(Question),
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order => f.write_str("orders"),
            Self::Read => f.write_str("reads"),
            Self::Mix => f.write_str("mix"),
            Self::Ask(question) => question.fmt(f),
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) task: Task,
    pub(super) clients: usize,
    pub(super) lines: usize,
    pub(super) products: usize,
}

impl Scenario {
    /// Every combination, those left out that would be another one in truth: reads have no lines, lines of one product are one
    /// line, and questions are not about products.
    pub(super) fn all(args: &Args) -> Vec<Self> {
        let mut all = Vec::new();
        for task in args.calls.iter().flat_map(|calls| calls.tasks()) {
            for &lines in &args.lines {
                for &products in &args.products {
                    for &clients in &args.clients {
                        let (lines, products) = match task {
                            Task::Order | Task::Mix => (lines, products),
                            Task::Read => (1, products),
                            Task::Ask(_) => (0, 0),
                        };
                        let scenario = Self {
                            task,
                            clients,
                            lines,
                            products,
                        };
                        if lines <= products && !all.contains(&scenario) {
                            all.push(scenario);
                        }
                    }
                }
            }
        }
        all
    }

    fn label(self) -> String {
        let Self {
            task,
            clients,
            lines,
            products,
        } = self;
        match task {
            Task::Order => format!("{clients} clients, {lines} of {products} products"),
            Task::Read => format!("{clients} readers"),
            Task::Mix => format!("{clients} clients, a mix"),
            Task::Ask(question) => format!("{clients} clients, {question}"),
        }
    }

    /// One of so many turns.
    pub(super) async fn measure(
        self,
        args: &Args,
        system: &System<'_>,
        turns: u32,
    ) -> Result<Measurement, Error> {
        let System {
            target,
            shop,
            people,
            ..
        } = system;
        match self.task {
            Task::Order => {
                let clients = shop.order_clients(self.clients, self.lines, self.products);
                let raw = match args.baseline {
                    true => Some(self.inserts(system, &self.mongodb(system).await?).await?),
                    false => None,
                };
                let (measured, clients) = self.compare(args, target, turns, clients, raw).await;
                target.remember(clients.into_iter().map(|client| client.history));
                Ok(measured)
            }
            Task::Read => {
                let clients = shop.read_clients(self.clients, self.products);
                let raw = match args.baseline {
                    true => Some(self.finds(system, &self.mongodb(system).await?)),
                    false => None,
                };
                Ok(self.compare(args, target, turns, clients, raw).await.0)
            }
            Task::Mix => {
                let orders = shop.order_clients(self.clients, self.lines, self.products);
                let reads = shop.read_clients(self.clients, self.products);
                let clients = Mixed::pairs(orders, reads);
                let raw = match args.baseline {
                    true => {
                        let mongodb = self.mongodb(system).await?;
                        let inserts = self.inserts(system, &mongodb).await?;
                        Some(Mixed::pairs(inserts, self.finds(system, &mongodb)))
                    }
                    false => None,
                };
                let (measured, clients) = self.compare(args, target, turns, clients, raw).await;
                target.remember(clients.into_iter().map(|client| client.orders.history));
                Ok(measured)
            }
            Task::Ask(question) => {
                let people = people.as_ref().ok_or(Error::NoHistory)?;
                let first = match question {
                    Question::Stats(_) => Some(people.first_answer(target, question).await?),
                    _ => None,
                };
                let clients = people.clients(question, self.clients);
                let no_raw: Option<Vec<FindClient>> = None;
                let (measured, _) = self.compare(args, target, turns, clients, no_raw).await;
                Ok(Measurement { first, ..measured })
            }
        }
    }

    /// The MongoDB of a system, for as many callers as there are clients.
    async fn mongodb(self, system: &System<'_>) -> Result<mongodb::Client, Error> {
        Ok(raw::connect(system.target.mongo_url()?, self.clients).await?)
    }

    /// Callers that insert what an order of this scenario looks like.
    async fn inserts(
        self,
        system: &System<'_>,
        mongodb: &mongodb::Client,
    ) -> Result<Vec<InsertClient>, Error> {
        let target = system.target;
        let order = system.first_order(self.lines, self.products).await?;
        let orders = target.database(mongodb, "order");
        let inserts = Inserts::like(mongodb, &orders, order, target.scratch()).await?;
        Ok(inserts.clients(self.clients))
    }

    /// Callers that look a product up.
    fn finds(self, system: &System<'_>, mongodb: &mongodb::Client) -> Vec<FindClient> {
        let catalog = system.target.database(mongodb, "catalog");
        let products = system.shop.products();
        raw::find_clients(&catalog, products, self.products, self.clients)
    }

    /// Half of the baseline comes before and half of it after, so that what slows the machine down meanwhile slows both.
    async fn compare<C: Client, R: Client>(
        self,
        args: &Args,
        target: &Target,
        turns: u32,
        clients: Vec<C>,
        raw: Option<Vec<R>>,
    ) -> (Measurement, Vec<C>) {
        let load = Load {
            rate: args.rate,
            warm_up: Duration::from_secs(args.warm_up) / turns,
            time: Duration::from_secs(args.seconds) / turns,
        };
        let half = Load {
            rate: None,
            warm_up: load.warm_up / 2,
            time: load.time / 2,
        };
        let (before, raw) = match raw {
            Some(raw) => {
                let (before, raw) = drive("MongoDB alone", half, raw).await;
                (Some(before), Some(raw))
            }
            None => (None, None),
        };
        let sample = async {
            sleep(load.warm_up).await;
            let begin = target.meter().begin().await;
            sleep(load.time).await;
            (begin, target.meter().end().await)
        };
        let ((ours, clients), samples) = join(drive(&self.label(), load, clients), sample).await;
        let after = match raw {
            Some(raw) => Some(drive("MongoDB alone", half, raw).await.0),
            None => None,
        };
        let raw = before.zip(after).map(|(mut before, after)| {
            before.add_later(&after);
            before
        });
        let profile = args
            .profile
            .then(|| Profile::between(samples, ours.latency_us.len()));
        let measured = Measurement {
            ours,
            raw,
            first: None,
            profile,
        };
        (measured, clients)
    }
}

/// What came of a scenario.
pub(super) struct Measurement {
    pub(super) ours: Measured,
    /// What MongoDB did alone.
    pub(super) raw: Option<Measured>,
    /// How long the first answer took, nothing of it kept yet.
    pub(super) first: Option<Duration>,
    pub(super) profile: Option<Profile>,
}

impl Measurement {
    /// Adds the next turn's, whose profile stands for all.
    pub(super) fn add(&mut self, other: Self) {
        self.ours.add_later(&other.ours);
        if let (Some(raw), Some(other)) = (&mut self.raw, &other.raw) {
            raw.add_later(other);
        }
        self.profile = other.profile;
    }
}
