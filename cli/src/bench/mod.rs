//! How fast it is: clients like any other, through the gateway, and next to them what the same MongoDB does without us.

mod load;
mod profile;
mod raw;
mod report;
mod shop;
mod target;

use std::{net::SocketAddr, time::Duration};

use futures::future::join;
use orderflow_chassis::program;
use tokio::time::sleep;

use self::{
    load::{Client, Load, drive},
    profile::Profile,
    raw::{FindClient, InsertClient, Inserts},
    report::{Report, Row},
    shop::{Shop, Size},
    target::Target,
};
use crate::{audit, demo};

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The gateway of a running system; without it one is started, with a MongoDB of its own, and stopped again
    #[arg(long)]
    pub gateway: Option<SocketAddr>,
    /// What the clients do
    #[arg(long, value_enum, value_delimiter = ',', default_value = "orders")]
    pub calls: Vec<Calls>,
    /// How many clients at once, several numbers one after another
    #[arg(long, value_delimiter = ',', default_value = "1,64,256", value_parser = positive)]
    pub clients: Vec<usize>,
    /// Lines of an order
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = positive)]
    pub lines: Vec<usize>,
    /// Among how many products the clients choose; 1 is one hot product. Orders of more lines than products are left out
    #[arg(long, value_delimiter = ',', default_value = "1000", value_parser = positive)]
    pub products: Vec<usize>,
    /// Calls a second of all clients together, from when they are due it counts; without it each client calls when it has its
    /// answer. A client makes one call at a time: choose more of them than calls are to be on their way
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// How long the clients call before it counts, in seconds
    #[arg(long, default_value_t = 3)]
    pub warm_up: u64,
    /// Connections of the clients to the gateway
    #[arg(long, default_value_t = 8, value_parser = positive)]
    pub connections: usize,
    /// How many of each of gateway, order and catalog are started
    #[arg(long, default_value_t = 1, conflicts_with = "gateway", value_parser = positive)]
    pub replicas: usize,
    /// Measure as well what the same MongoDB does without OrderFlow: one insert for each order, one look-up for each read
    #[arg(long)]
    pub baseline: bool,
    /// Say where the time of one call goes
    #[arg(long)]
    pub profile: bool,
    /// Print JSON in place of tables
    #[arg(long)]
    pub json: bool,
}

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Calls {
    /// Place orders
    Orders,
    /// Get products by id
    Reads,
}

fn positive(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("must be 1 or more"),
    }
}

fn rate(text: &str) -> Result<f64, &'static str> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.001 => Ok(rate),
        _ => Err("must be a number above 0"),
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call that prepares the measurement failed.
    #[error("{0}")]
    Shop(#[from] demo::Error),
    /// No MongoDB.
    #[error("{0}")]
    Mongod(#[from] orderflow_mongod::Error),
    /// MongoDB failed.
    #[error("MongoDB failed: {}", .0.kind)]
    Mongo(#[from] mongodb::error::Error),
    /// The audit afterwards.
    #[error("{0}")]
    Audit(#[from] audit::Error),
    /// No connection string.
    #[error("MONGO_URL: {0}")]
    Url(#[from] orderflow_mongo::BadUrl),
    /// A program could not be started.
    #[error("cannot start the programs: {0}")]
    Start(String),
    /// No order could be placed.
    #[error("the first order failed: {0}")]
    FirstOrder(String),
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
    /// There is nothing to compare with.
    #[error("--baseline and --profile need MONGO_URL, the MongoDB of the system at --gateway")]
    NoMongo,
}

/// Measures, and prints what was measured.
pub async fn bench(args: Args) -> Result<(), Error> {
    let target = Target::start(&args).await?;
    // A signal ends the programs as well.
    let measured = program::on_signal()
        .run_until_cancelled_owned(measured_and_audited(&args, &target))
        .await;
    target.stop().await;
    let report = measured.ok_or(Error::Interrupted)??;
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    match report.is_clean() {
        true => Ok(()),
        false => Err(audit::Error::NotClean.into()),
    }
}

async fn measured_and_audited(args: &Args, target: &Target) -> Result<Report, Error> {
    let mut report = measure(args, target).await?;
    report.audit = target.audit().await?;
    Ok(report)
}

async fn measure(args: &Args, target: &Target) -> Result<Report, Error> {
    let largest = |numbers: &[usize]| numbers.iter().copied().max().unwrap_or(1);
    let size = Size {
        connections: args.connections,
        buyers: largest(&args.clients).min(16),
        products: largest(&args.products).max(largest(&args.lines)),
    };
    let shop = Shop::open(target.gateways(), size).await?;
    let mut report = Report::default();
    for scenario in Scenario::all(args) {
        report
            .rows
            .push(scenario.measure(args, target, &shop).await?);
    }
    Ok(report)
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scenario {
    calls: Calls,
    clients: usize,
    lines: usize,
    products: usize,
}

impl Scenario {
    /// Every combination, those left out that would be another one in truth: reads have no lines, and lines of one product are
    /// one line.
    fn all(args: &Args) -> Vec<Self> {
        let mut all = Vec::new();
        for &calls in &args.calls {
            for &lines in &args.lines {
                for &products in &args.products {
                    for &clients in &args.clients {
                        let lines = if calls == Calls::Reads { 1 } else { lines };
                        let scenario = Self {
                            calls,
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
            calls,
            clients,
            lines,
            products,
        } = self;
        match calls {
            Calls::Orders => format!("{clients} clients, {lines} of {products} products"),
            Calls::Reads => format!("{clients} readers"),
        }
    }

    async fn measure(self, args: &Args, target: &Target, shop: &Shop) -> Result<Row, Error> {
        match self.calls {
            Calls::Orders => {
                let clients = shop.order_clients(self.clients, self.lines, self.products);
                let raw = match args.baseline {
                    true => Some(self.inserts(target, shop).await?),
                    false => None,
                };
                let (row, clients) = self.compare(args, target, clients, raw).await;
                target.remember(clients.into_iter().map(|client| client.history));
                Ok(row)
            }
            Calls::Reads => {
                let clients = shop.read_clients(self.clients, self.products);
                let raw = match args.baseline {
                    true => Some(self.finds(target, shop).await?),
                    false => None,
                };
                Ok(self.compare(args, target, clients, raw).await.0)
            }
        }
    }

    /// Callers that insert what an order of this scenario looks like.
    async fn inserts(self, target: &Target, shop: &Shop) -> Result<Vec<InsertClient>, Error> {
        let mut one = shop.order_clients(1, self.lines, self.products).remove(0);
        one.call().await.map_err(Error::FirstOrder)?;
        let order = one.history.acknowledged[0];
        target.remember([one.history]);
        let mongodb = raw::connect(target.mongo_url()?, self.clients).await?;
        let inserts = Inserts::like(
            &mongodb,
            &target.database(&mongodb, "order"),
            order,
            target.scratch(),
        )
        .await?;
        Ok(inserts.clients(self.clients))
    }

    async fn finds(self, target: &Target, shop: &Shop) -> Result<Vec<FindClient>, Error> {
        let mongodb = raw::connect(target.mongo_url()?, self.clients).await?;
        let catalog = target.database(&mongodb, "catalog");
        Ok(raw::find_clients(
            &catalog,
            shop.products(),
            self.products,
            self.clients,
        ))
    }

    /// Half of the baseline comes before and half of it after, so that what slows the machine down meanwhile slows both.
    async fn compare<C: Client, R: Client>(
        self,
        args: &Args,
        target: &Target,
        clients: Vec<C>,
        raw: Option<Vec<R>>,
    ) -> (Row, Vec<C>) {
        let load = Load {
            rate: args.rate,
            warm_up: Duration::from_secs(args.warm_up),
            time: Duration::from_secs(args.seconds),
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
        let ((measured, clients), samples) =
            join(drive(&self.label(), load, clients), sample).await;
        let after = match raw {
            Some(raw) => Some(drive("MongoDB alone", half, raw).await.0),
            None => None,
        };
        let raw = before.zip(after).map(|(before, after)| before.and(&after));
        let profile = args
            .profile
            .then(|| Profile::between(samples, measured.latency_us.len()));
        (Row::new(self, &measured, raw.as_ref(), profile), clients)
    }
}
