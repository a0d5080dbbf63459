//! Whether the records of a system fit together: `orderflow audit`. The one reader of both databases. It writes nothing, and
//! a MongoDB user who may only read is enough.
//!
//! Both databases lie in one replica set, so both are read as they were at one moment. So a busy system gives no false alarm,
//! however its orders move. All walks are merges of sorted streams: memory stays the same, whatever there is to read.

mod history;
mod orders;
mod records;
mod report;
mod snapshot;
mod stock;
mod unfinished;
mod violation;

use std::{
    collections::HashMap,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use mongodb::{Client, Database, bson::RawDocumentBuf};
use orderflow_chassis::config::{self, Secret, Settings, Wrong};
use orderflow_mongod::ReplicaSet;
use tokio::time::Instant;

pub use self::{
    history::History,
    records::{State, Status},
    report::{Report, Standing},
    violation::Violation,
};
use self::{
    records::{LEDGER, ORDERS, PRODUCTS, RESERVATIONS},
    unfinished::Unfinished,
};

/// How long it waits for what is unfinished: I5 allows so much, once the system is whole.
const PATIENCE: &str = "60s";
/// How many orders are read from one snapshot.
const AT_ONCE: usize = 10_000;

/// What to audit.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long what is unfinished may take to be finished
    #[arg(long, default_value = PATIENCE)]
    pub patience: config::Duration,
    /// Where `orderflow up` keeps the data of the system; where MONGO_URL is set, that says it
    #[arg(long, default_value = ".orderflow")]
    pub directory: PathBuf,
}

/// Why nothing is known, or what is known is bad.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are wrong.
    #[error("{0}")]
    Settings(#[from] Wrong),
    /// No connection string.
    #[error("MONGO_URL: {0}")]
    Url(#[from] orderflow_mongo::BadUrl),
    /// It is not the database of a service, or the service has never run.
    #[error(
        "the database {database} has no collection {collection}: name the right one with {setting}"
    )]
    NoCollection {
        /// Which database.
        database: String,
        /// What is missing.
        collection: &'static str,
        /// The setting that names it.
        setting: &'static str,
    },
    /// The server does not do what is needed.
    #[error("MongoDB does not read from snapshots: it must be a replica set, of 5.0 or newer")]
    NoSnapshot,
    /// There is so much to read that MongoDB has forgotten what it was like at the beginning.
    #[error(
        "it took longer than MongoDB remembers, 5 minutes by default; let it remember for an hour and try again: \
         db.adminCommand({{setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600}})"
    )]
    TooSlow,
    /// MongoDB failed.
    #[error("MongoDB failed: {}", .0.kind)]
    Mongo(#[source] mongodb::error::Error),
    /// What was found is in the report.
    #[error("the audit is not clean")]
    NotClean,
}

impl From<mongodb::error::Error> for Error {
    fn from(error: mongodb::error::Error) -> Self {
        const SNAPSHOT_TOO_OLD: i32 = 239;
        match error.kind.as_ref() {
            mongodb::error::ErrorKind::Command(e) if e.code == SNAPSHOT_TOO_OLD => Self::TooSlow,
            _ => Self::Mongo(error),
        }
    }
}

/// Audits, and prints what was found.
pub async fn audit(args: Args) -> Result<(), Error> {
    let mut values = config::environment()?;
    if let Some(url) = ReplicaSet::url_in(&args.directory.join("mongodb")) {
        // The name that counts least.
        values.entry("MONGODB_URL".to_owned()).or_insert(url);
    }
    let (url, databases) = settings(&values)?;
    let client = orderflow_mongo::connect(url.expose(), "orderflow-audit").await?;
    let report = Audit::new(&client, &databases)
        .patience(args.patience.0)
        .showing(progress_bar())
        .run()
        .await?;
    // Nobody may be reading any more, which changes nothing.
    let _ = write!(io::stdout(), "{report}");
    match report.is_clean() {
        true => Ok(()),
        false => Err(Error::NotClean),
    }
}

/// As the services read them.
fn settings(values: &HashMap<String, String>) -> Result<(Secret, Databases), Wrong> {
    let of = |program| Settings::new(program, values.clone());
    let database = |service, default| {
        of(service)
            .or("DATABASE", default, "the database of the service")
            .unwrap_or_default()
    };
    let databases = Databases {
        catalog: database("catalog", "orderflow_catalog"),
        order: database("order", "orderflow_order"),
    };
    let mut audit = of("audit");
    let url = audit.mongo_url();
    audit.finish(|| Some((url?, databases)))
}

/// How far it has come, for people.
pub fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {elapsed}");
    let bar = ProgressBar::new(0).with_style(style.expect("the template is valid"));
    // MongoDB adds up for a while before the first of the products comes.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The databases of the services whose records must fit together.
#[derive(Debug, Clone)]
pub struct Databases {
    /// The catalog service's.
    pub catalog: String,
    /// The order service's.
    pub order: String,
}

/// An audit that can be run, again and again.
#[derive(Debug, Clone)]
pub struct Audit {
    client: Client,
    catalog: Database,
    order: Database,
    history: History,
    patience: Duration,
    at_once: usize,
    progress: ProgressBar,
}

impl Audit {
    /// Of these databases.
    pub fn new(client: &Client, databases: &Databases) -> Self {
        Self {
            client: client.clone(),
            catalog: client.database(&databases.catalog),
            order: client.database(&databases.order),
            history: History::default(),
            patience: PATIENCE.parse::<config::Duration>().expect("it is one").0,
            at_once: AT_ONCE,
            progress: ProgressBar::hidden(),
        }
    }

    /// Checks as well that clients were told the truth.
    #[must_use]
    pub fn expecting(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// Waits so long for what is unfinished. Without patience, what is seen unfinished twice is a violation.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Reads so many orders from one snapshot. The more, the faster, as long as it takes less than five minutes.
    #[must_use]
    pub fn at_once(mut self, orders: usize) -> Self {
        self.at_once = orders.max(1);
        self
    }

    /// Shows how far it has come.
    #[must_use]
    pub fn showing(mut self, progress: ProgressBar) -> Self {
        self.progress = progress;
        self
    }

    /// Reads everything, and says what it found.
    pub async fn run(&self) -> Result<Report, Error> {
        let since = Instant::now();
        let (mut report, mut unfinished) = (Report::default(), Unfinished::default());
        let catalog = [PRODUCTS, LEDGER, RESERVATIONS];
        check(&self.catalog, &catalog, "CATALOG_DATABASE").await?;
        check(&self.order, &[ORDERS], "ORDER_DATABASE").await?;

        self.read_journal(&mut report, &mut unfinished).await?;
        self.walk_orders(&mut report, &mut unfinished).await?;
        self.walk_stock(&mut report).await?;
        self.follow(unfinished, &mut report).await?;
        self.recall(&mut report).await?;

        self.progress.finish_and_clear();
        report.took = since.elapsed();
        Ok(report)
    }

    async fn phase(
        &self,
        name: &'static str,
        database: &Database,
        collection: &str,
    ) -> Result<(), Error> {
        let collection = database.collection::<RawDocumentBuf>(collection);
        let length = collection.estimated_document_count().await?;
        self.progress.set_message(name);
        self.progress.set_position(0);
        self.progress.set_length(length);
        Ok(())
    }
}

/// Without it, an audit of nothing would be clean.
async fn check(
    database: &Database,
    collections: &[&'static str],
    setting: &'static str,
) -> Result<(), Error> {
    let existing = database.list_collection_names().await?;
    let missing = collections
        .iter()
        .find(|name| !existing.iter().any(|e| e == *name));
    missing.map_or(Ok(()), |collection| {
        Err(Error::NoCollection {
            database: database.name().to_owned(),
            collection,
            setting,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_those_of_the_services() {
        let read = |pairs: &[(&str, &str)]| {
            let values = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            settings(&values.collect())
        };
        let (url, databases) = read(&[("MONGO_URL", "m"), ("ORDER_DATABASE", "o")]).unwrap();
        assert_eq!(url.expose(), "m");
        assert_eq!(
            (databases.catalog.as_str(), databases.order.as_str()),
            ("orderflow_catalog", "o")
        );
        // One that may only read, for the audit alone.
        let (url, _) = read(&[("MONGO_URL", "m"), ("AUDIT_MONGO_URL", "a")]).unwrap();
        assert_eq!(url.expose(), "a");
        assert!(
            read(&[])
                .unwrap_err()
                .to_string()
                .contains("MONGO_URL is missing")
        );
    }
}
