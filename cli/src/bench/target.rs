//! What is measured: a system that runs already, or one that is started for it.

use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mongodb::{Client, Database};
use orderflow_chassis::config;
use orderflow_contract::Id;
use orderflow_mongod::{Options, ReplicaSet, Source};

use super::{
    Args, Error,
    profile::{Batches, Meter},
    raw,
};
use crate::{
    audit::{self, Audit, Databases, History},
    processes::{Processes, Wiring},
    secrets,
};

const READY: Duration = Duration::from_secs(30);

pub(super) struct Target {
    gateways: Vec<String>,
    mongo_url: Option<String>,
    /// The databases of the services, by service.
    databases: HashMap<&'static str, String>,
    /// The database of the raw inserts.
    scratch: String,
    meter: Meter,
    history: Mutex<History>,
    // In the order in which they end.
    processes: Option<Processes>,
    mongod: Option<ReplicaSet>,
}

impl Target {
    pub(super) async fn start(args: &Args) -> Result<Self, Error> {
        match args.gateway {
            Some(gateway) => Self::running(args, gateway.to_string()).await,
            None => Self::own(args).await,
        }
    }

    async fn running(args: &Args, gateway: String) -> Result<Self, Error> {
        let environment = config::environment().map_err(audit::Error::from)?;
        let mongo_url = environment.get("MONGO_URL").cloned();
        if mongo_url.is_none() && (args.baseline || args.profile) {
            return Err(Error::NoMongo);
        }
        let database = |service: &'static str| {
            let setting = format!("{}_DATABASE", service.to_uppercase());
            let database = environment.get(&setting).cloned();
            (
                service,
                database.unwrap_or_else(|| format!("orderflow_{service}")),
            )
        };
        Ok(Self {
            gateways: vec![gateway],
            meter: Meter {
                processes: vec![("this load".to_owned(), std::process::id())],
                mongodb: match &mongo_url {
                    Some(url) => Some(raw::connect(url, 1).await?),
                    None => None,
                },
                batches: Batches::default(),
            },
            mongo_url,
            databases: ["catalog", "order"].map(database).into(),
            scratch: format!("bench_{}_raw", Id::random()),
            history: Mutex::default(),
            processes: None,
            mongod: None,
        })
    }

    async fn own(args: &Args) -> Result<Self, Error> {
        let (mongod, mongo_url) = match Source::from_env() {
            Source::Existing(url) => (None, url),
            Source::Own => {
                let mongod = ReplicaSet::start(Options::ephemeral().own_cache()).await?;
                let url = mongod.url();
                (Some(mongod), url)
            }
        };
        let run = Id::random();
        let database = |service| (service, format!("bench_{run}_{service}"));
        let databases = HashMap::from(["user", "catalog", "order"].map(database));
        let mut settings: HashMap<_, _> = secrets::generate()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        for (service, database) in &databases {
            let setting = format!("{}_DATABASE", service.to_uppercase());
            settings.insert(setting, database.clone());
        }
        settings.insert("MONGO_URL".to_owned(), mongo_url.clone());
        // They share the cores with one another, with MongoDB and with the load.
        let threads =
            std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        settings.insert("TOKIO_WORKER_THREADS".to_owned(), threads.to_string());
        // Nothing is measured while people sign up.
        settings.insert("BCRYPT_COST".to_owned(), "10".to_owned());
        if args.profile {
            let log = format!("info,{}=debug", orderflow_batch::LOG_TARGET);
            settings.insert("LOG".to_owned(), log);
        }

        let failed = |error: std::io::Error| Error::Start(error.to_string());
        let wiring = if args.apart {
            Wiring::Apart
        } else {
            Wiring::Together
        };
        let catalogs = args.catalogs.unwrap_or(args.replicas);
        let started = Processes::start(&settings, catalogs, args.replicas, wiring);
        let mut processes = started.map_err(failed)?;
        let batches = Batches::default();
        let (log, mut file) = open_log().map_err(failed)?;
        let (lines, written) = std::sync::mpsc::channel::<String>();
        std::thread::spawn(move || {
            for line in written {
                // It is for those who look into it; the measurement goes on without.
                let _ = writeln!(file, "{line}");
            }
        });
        let mut watched = vec![("this load".to_owned(), std::process::id())];
        for process in processes.iter_mut() {
            watched.extend(process.pid().map(|pid| (process.program.to_owned(), pid)));
            let (lines, batches) = (lines.clone(), batches.clone());
            if let Some(log) = process.take_log() {
                tokio::spawn(batches.read(log, move |line| drop(lines.send(line.to_owned()))));
            }
        }
        if let Some(mongod) = &mongod {
            let pid =
                |node: &orderflow_mongod::Node| node.pid().map(|pid| ("mongod".to_owned(), pid));
            watched.extend(mongod.nodes().iter().filter_map(pid));
        }
        let not_ready =
            |problem| Error::Start(format!("{problem}; their log is {}", log.display()));
        processes.ready(READY).await.map_err(not_ready)?;
        Ok(Self {
            gateways: processes
                .gateways()
                .map(|gateway| gateway.to_string())
                .collect(),
            meter: Meter {
                processes: watched,
                mongodb: Some(raw::connect(&mongo_url, 1).await?),
                batches,
            },
            mongo_url: Some(mongo_url),
            databases,
            scratch: format!("bench_{run}_raw"),
            history: Mutex::default(),
            processes: Some(processes),
            mongod,
        })
    }

    pub(super) fn gateways(&self) -> &[String] {
        &self.gateways
    }

    pub(super) fn mongo_url(&self) -> Result<&str, Error> {
        self.mongo_url.as_deref().ok_or(Error::NoMongo)
    }

    /// The database of a service.
    pub(super) fn database(&self, mongodb: &Client, service: &str) -> Database {
        mongodb.database(&self.databases[service])
    }

    /// The name of a database for raw inserts.
    pub(super) fn scratch(&self) -> &str {
        &self.scratch
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Keeps what clients were told, for the audit.
    pub(super) fn remember(&self, histories: impl IntoIterator<Item = History>) {
        let mut all = self.history();
        for history in histories {
            all.acknowledged.extend(history.acknowledged);
            all.refused.extend(history.refused);
        }
    }

    /// Whether all that clients were told is so, and all records fit together; `None` where there is no telling.
    pub(super) async fn audit(&self) -> Result<Option<audit::Report>, audit::Error> {
        let Some(url) = &self.mongo_url else {
            return Ok(None);
        };
        let client = orderflow_mongo::connect(url, "orderflow-audit").await?;
        let databases = Databases {
            catalog: self.databases["catalog"].clone(),
            order: self.databases["order"].clone(),
        };
        let history = std::mem::take(&mut *self.history());
        let audit = Audit::new(&client, &databases).expecting(history);
        audit.showing(audit::progress_bar()).run().await.map(Some)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what was started, and removes what it has left in somebody else's MongoDB. An own one goes as a whole.
    pub(super) async fn stop(self) {
        let is_own = self.processes.is_some();
        drop(self.processes);
        if let Some(mongod) = self.mongod {
            mongod.stop().await;
        } else if let Some(mongodb) = &self.meter.mongodb {
            let ours = self.databases.values().filter(|_| is_own);
            for database in ours.chain([&self.scratch]) {
                if let Err(error) = mongodb.database(database).drop().await {
                    eprintln!("the database {database} is still there: {}", error.kind);
                }
            }
        }
    }
}

/// What the programs have to say, of each system of this run on its own.
fn open_log() -> std::io::Result<(PathBuf, File)> {
    static BEFORE: AtomicUsize = AtomicUsize::new(0);
    let directory = PathBuf::from(".orderflow");
    std::fs::create_dir_all(&directory)?;
    let name = match BEFORE.fetch_add(1, Ordering::Relaxed) {
        0 => "bench.log".to_owned(),
        n => format!("bench-{}.log", n + 1),
    };
    let path = directory.join(name);
    let file = File::create(&path)?;
    Ok((path, file))
}
