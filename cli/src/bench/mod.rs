//! How fast it is: clients like any other, through the gateway, and next to them what the same MongoDB does without us.

mod history;
mod load;
mod profile;
mod questions;
mod raw;
mod report;
mod scenario;
mod shop;
mod target;

use std::net::SocketAddr;

use orderflow_chassis::program;
use orderflow_contract::Id;

use self::{
    history::Length,
    load::Client,
    questions::{People, Question},
    report::{Report, Row},
    scenario::{Measurement, Scenario, Task},
    shop::{Shop, Size},
    target::Target,
};
use crate::{audit, demo};

/// In how many turns several systems are measured.
const TURNS: u32 = 4;

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
    #[arg(long, default_value_t = 4, value_parser = positive)]
    pub connections: usize,
    /// How many of each of gateway, order and catalog are started
    #[arg(long, default_value_t = 1, conflicts_with = "gateway", value_parser = positive)]
    pub replicas: usize,
    /// How many catalogs are started, when not as many as of the others; orders go to one of them while it is well
    #[arg(long, conflicts_with_all = ["gateway", "apart"], value_parser = positive)]
    pub catalogs: Option<usize>,
    /// Each gateway knows one order service, and each of these one catalog, so that the catalogs get in one another's way
    #[arg(long, requires = "replicas")]
    pub apart: bool,
    /// How many orders lie there beforehand, 100 or more, in systems side by side that are measured in turns, one for each number;
    /// 1,000 for lists and stats when not said, else none. They are spread over two years that ended the day before yesterday, and 500 of them, or half of
    /// the smallest number, are those of the buyer and the seller who are measured
    #[arg(long, value_delimiter = ',', conflicts_with = "gateway", value_parser = history)]
    pub history: Vec<usize>,
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
    /// Nine reads for each order, counted and timed together
    Mix,
    /// List orders as a buyer, as a seller and as an admin: the first page, and the one behind half of the orders. Not with
    /// --gateway
    Lists,
    /// Get the statistics of the last 30 days as a seller and as an admin, days that are over counted before. Not with --gateway
    Stats,
}

impl Calls {
    fn tasks(self) -> Vec<Task> {
        let ask = |questions: &[Question]| questions.iter().copied().map(Task::Ask).collect();
        match self {
            Self::Orders => vec![Task::Order],
            Self::Reads => vec![Task::Read],
            Self::Mix => vec![Task::Mix],
            Self::Lists => ask(&Question::LISTS),
            Self::Stats => ask(&Question::STATS),
        }
    }
}

impl Args {
    fn asks(&self) -> bool {
        let asks = |calls: &Calls| matches!(calls, Calls::Lists | Calls::Stats);
        self.calls.iter().any(asks)
    }

    /// The history of each system that is needed.
    fn histories(&self) -> Vec<Option<Length>> {
        match (&self.history[..], self.asks()) {
            ([], false) => vec![None],
            ([], true) => Length::of(&[1_000]).into_iter().map(Some).collect(),
            (numbers, _) => Length::of(numbers).into_iter().map(Some).collect(),
        }
    }
}

fn positive(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("must be 1 or more"),
    }
}

fn history(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(orders) if orders >= 100 => Ok(orders),
        _ => Err("must be 100 or more"),
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
    /// The first of a question's answers.
    #[error("the first answer failed: {0}")]
    FirstAnswer(String),
    /// Fewer orders than were written.
    #[error("a list ends before half of its orders")]
    NoDeepPage,
    /// A history is nothing for other people's systems.
    #[error(
        "lists and stats need a history, which only a system of the benchmark's own is given: leave --gateway out"
    )]
    NoHistory,
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
    /// There is nothing to compare with.
    #[error("--baseline and --profile need MONGO_URL, the MongoDB of the system at --gateway")]
    NoMongo,
}

/// Measures, and prints what was measured.
pub async fn bench(args: Args) -> Result<(), Error> {
    if args.gateway.is_some() && args.asks() {
        return Err(Error::NoHistory);
    }
    let mut targets = Vec::new();
    // A signal ends the programs as well.
    let measured = program::on_signal()
        .run_until_cancelled_owned(measured_and_audited(&args, &mut targets))
        .await;
    for target in targets {
        target.stop().await;
    }
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

async fn measured_and_audited(args: &Args, targets: &mut Vec<Target>) -> Result<Report, Error> {
    let histories = args.histories();
    for _ in &histories {
        targets.push(Target::start(args).await?);
    }
    let mut systems = Vec::new();
    for (target, history) in targets.iter().zip(histories) {
        systems.push(System::open(args, target, history).await?);
    }
    let mut report = measure(args, &systems).await?;
    for target in targets {
        report.audits.push(target.audit().await?);
    }
    Ok(report)
}

async fn measure(args: &Args, systems: &[System<'_>]) -> Result<Report, Error> {
    // The machine's speed wanders: several systems take turns, so that all of them meet it as it is.
    let turns = if systems.len() > 1 { TURNS } else { 1 };
    let mut report = Report::default();
    for scenario in Scenario::all(args) {
        let mut rows: Vec<Row> = Vec::new();
        let mut measured: Vec<Measurement> = Vec::new();
        for turn in 0..turns {
            for (n, system) in systems.iter().enumerate() {
                let more = scenario.measure(args, system, turns).await?;
                if turn == 0 {
                    measured.push(more);
                } else {
                    measured[n].add(more);
                }
            }
        }
        for (system, measured) in systems.iter().zip(measured) {
            let mut row = Row::new(scenario, measured);
            if let Some(history) = system.history {
                row.has_history(history.all, rows.first());
            }
            rows.push(row);
        }
        report.rows.extend(rows);
    }
    Ok(report)
}

/// What is measured, and who calls it.
struct System<'a> {
    target: &'a Target,
    shop: Shop,
    history: Option<Length>,
    people: Option<People>,
}

impl<'a> System<'a> {
    async fn open(args: &Args, target: &'a Target, history: Option<Length>) -> Result<Self, Error> {
        let largest = |numbers: &[usize]| numbers.iter().copied().max().unwrap_or(1);
        let size = Size {
            connections: args.connections,
            buyers: largest(&args.clients).min(16),
            products: largest(&args.products).max(largest(&args.lines)),
        };
        let mut system = Self {
            target,
            shop: Shop::open(target.gateways(), size).await?,
            history,
            people: None,
        };
        if let Some(length) = history {
            let order = system.first_order(1, 1).await?;
            history::write(target, &system.shop, order, length).await?;
            if args.asks() {
                system.people = Some(People::of(target, &system.shop, length).await?);
            }
        }
        Ok(system)
    }

    /// Places an order, to be copied.
    async fn first_order(&self, lines: usize, products: usize) -> Result<Id, Error> {
        let mut one = self.shop.order_clients(1, lines, products).remove(0);
        one.call().await.map_err(Error::FirstOrder)?;
        let order = one.history.acknowledged[0];
        self.target.remember([one.history]);
        Ok(order)
    }
}
