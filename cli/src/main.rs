//! `orderflow`: see the library beside it.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use orderflow_cli::{audit, bench, demo, initiate, processes, secrets, up};

/// OrderFlow: an e-commerce order backend
#[derive(Parser)]
#[command(
    name = "orderflow",
    version,
    about,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in this process (the default)
    Up(up::Args),
    /// Fill a running shop with products, and print a first order, ready to paste
    Demo(demo::Args),
    /// Measure how fast it is
    Bench(bench::Args),
    /// Check that all records of a system fit together, which may be busy; exits 0 if they do
    ///
    /// It reads the databases that CATALOG_DATABASE and ORDER_DATABASE name, as the services do, where MONGO_URL says, or else
    /// those of the system that `up` runs from this directory. A MongoDB user that may only read is enough; AUDIT_MONGO_URL can
    /// name one in a .env that the services share.
    Audit(audit::Args),
    /// Write new secrets for a deployment
    Keygen {
        /// The file to write, which must not exist
        #[arg(default_value = ".env")]
        path: PathBuf,
    },
    /// Make a MongoDB server a replica set of one
    Initiate(initiate::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(ended) = processes::as_told().await {
        return ended;
    }
    let cli = Cli::parse();
    let result: Result<(), String> = match cli.command {
        None => up::up(cli.up).await.map_err(|error| error.to_string()),
        Some(Command::Up(args)) => up::up(args).await.map_err(|error| error.to_string()),
        Some(Command::Demo(args)) => demo::demo(args).await.map_err(|error| error.to_string()),
        Some(Command::Bench(args)) => bench::bench(args).await.map_err(|error| error.to_string()),
        Some(Command::Audit(args)) => audit::audit(args).await.map_err(|error| error.to_string()),
        Some(Command::Keygen { path }) => secrets::write(&path)
            .map(|()| {
                println!(
                    "wrote new secrets to {}; keep them to yourself",
                    path.display()
                )
            })
            .map_err(|error| format!("cannot write {}: {error}", path.display())),
        Some(Command::Initiate(args)) => initiate::initiate(&args)
            .await
            .map_err(|error| error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("orderflow: {problem}");
            ExitCode::FAILURE
        }
    }
}
