//! Everything in one process.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use orderflow_chassis::{Shutdown, config, log, program};
use orderflow_mongod::{Options, ReplicaSet, Source};

use crate::{System, secrets, system};

/// How long calls in flight may take after Ctrl-C; with MongoDB's own stop, all is over within 5 s.
const DRAIN: Duration = Duration::from_secs(2);
const READY: Duration = Duration::from_secs(30);

/// What to run, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Address and port of the gateway
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where data, secrets and the log are kept
    #[arg(long, default_value = ".orderflow")]
    pub directory: PathBuf,
    /// Throw the data away when it stops; with a MongoDB of one's own (MONGO_URL) it has no effect
    #[arg(long)]
    pub ephemeral: bool,
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be used.
    #[error("cannot use {}: {source}", .path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No MongoDB.
    #[error("{0}")]
    Mongod(#[from] orderflow_mongod::Error),
    /// The programs do not run.
    #[error("{0}")]
    System(#[from] system::Error),
}

/// Runs everything until a signal comes.
pub async fn up(args: Args) -> Result<(), Error> {
    let log = args.directory.join("orderflow.log");
    let in_directory = |source| Error::Directory {
        path: args.directory.clone(),
        source,
    };
    fs::create_dir_all(&args.directory).map_err(in_directory)?;
    log_to(&log).map_err(in_directory)?;
    let shutdown = program::on_signal();

    // A signal while MongoDB is being fetched or started ends that as well.
    let Some(mongodb) = shutdown.run_until_cancelled(MongoDb::start(&args)).await else {
        return Ok(());
    };
    let mongodb = mongodb?;
    let result = serve(&args, &mongodb, &log, &shutdown).await;
    mongodb.stop().await;
    result
}

async fn serve(
    args: &Args,
    mongodb: &MongoDb,
    log: &Path,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let since = Instant::now();
    let settings = settings(args, mongodb)?;
    let mut shop = PathBuf::new();
    let mut system = System::start(settings, |configs| {
        shop = configs.gateway.shop_dir.join("index.html");
    })
    .await?;
    let Some(ready) = shutdown.run_until_cancelled(system.ready(READY)).await else {
        system.stop(DRAIN).await;
        return Ok(());
    };
    ready?;
    print_table(args, &system, &shop, mongodb, log, since.elapsed());

    let result = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        error = system.ended() => Err(error.into()),
    };
    // Nobody may be reading any more, which must not keep it from stopping in good order.
    let _ = writeln!(io::stdout(), "\nstopping");
    system.stop(DRAIN).await;
    result
}

/// What the user has set wins; the rest is kept from the first run.
fn settings(args: &Args, mongodb: &MongoDb) -> Result<HashMap<String, String>, Error> {
    let path = args.directory.join("secrets.env");
    let mut settings =
        secrets::read_or_write(&path).map_err(|source| Error::Directory { path, source })?;
    settings.extend(config::environment().map_err(system::Error::from)?);
    settings.insert("MONGO_URL".to_owned(), mongodb.url().to_owned());
    settings.insert("GATEWAY_LISTEN".to_owned(), args.listen.to_string());
    for program in ["USER", "CATALOG", "ORDER"] {
        settings.insert(format!("{program}_LISTEN"), "127.0.0.1:0".to_owned());
    }
    Ok(settings)
}

/// MongoDB: the user's, or a child of this process.
enum MongoDb {
    Existing(String),
    Own(ReplicaSet, String),
}

impl MongoDb {
    async fn start(args: &Args) -> Result<Self, Error> {
        let mut environment = config::environment().map_err(system::Error::from)?;
        let url = environment
            .remove("MONGO_URL")
            .or_else(|| environment.remove("MONGODB_URL"));
        let options = if args.ephemeral {
            Options::ephemeral()
        } else {
            Options::persistent(args.directory.join("mongodb"))
        };
        Ok(match Source::from_mongo_url(url) {
            Source::Existing(url) => Self::Existing(url),
            Source::Own => {
                let set = ReplicaSet::start(options.own_cache()).await?;
                let url = set.url();
                Self::Own(set, url)
            }
        })
    }

    fn url(&self) -> &str {
        match self {
            Self::Existing(url) | Self::Own(_, url) => url,
        }
    }

    /// For people: never a URL that may hold a password.
    fn label(&self) -> &str {
        match self {
            Self::Existing(_) => "as MONGO_URL says",
            Self::Own(_, url) => url,
        }
    }

    async fn stop(self) {
        if let Self::Own(set, _) = self {
            set.stop().await;
        }
    }
}

fn log_to(path: &Path) -> io::Result<()> {
    let file = File::options().create(true).append(true).open(path)?;
    log::to(Mutex::new(file), false);
    Ok(())
}

fn print_table(
    args: &Args,
    system: &System,
    shop: &Path,
    mongodb: &MongoDb,
    log: &Path,
    took: Duration,
) {
    let kept = match mongodb {
        MongoDb::Existing(_) => "where MONGO_URL says".to_owned(),
        MongoDb::Own(..) if args.ephemeral => "gone when it stops".to_owned(),
        MongoDb::Own(..) => args.directory.display().to_string(),
    };
    let mut rows = vec![
        (
            "gateway",
            format!(
                "{}  gRPC, gRPC-Web, HTTP/JSON, reflection, health",
                system.gateway
            ),
        ),
        ("docs", format!("http://{}/docs", system.gateway)),
        (
            "services",
            format!(
                "user {}, catalog {}, order {}",
                system.user, system.catalog, system.order
            ),
        ),
        ("MongoDB", mongodb.label().to_owned()),
        ("data", kept),
        ("log", log.display().to_string()),
    ];
    // It takes Node to build it, so it may not be there.
    if shop.is_file() {
        rows.insert(1, ("shop", format!("http://{}/shop", system.gateway)));
    }
    println!(
        "OrderFlow is ready; its services took {:.1} s\n",
        took.as_secs_f64()
    );
    for (name, value) in rows {
        println!("  {name:<9} {value}");
    }
    println!(
        "\n  look around    grpcurl -plaintext {} list\n  \
           fill a shop    orderflow demo   (or: cargo run --release -- demo)\n  \
           stop           Ctrl-C\n",
        system.gateway
    );
}
