//! An ordeal: clients that buy, while everything under them fails at random; and then the question whether all that they were
//! told is true.

mod client;
mod history;
mod judge;
mod program;
mod progress;
mod report;
mod run;
mod scenario;
mod schedule;
mod shop;
mod system;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use orderflow_chassis::{config, program::on_signal};
use orderflow_cli::{audit, processes};

use crate::{run::Ordeal, scenario::Scenario, schedule::plan};

/// Lets clients place orders on a system of its own, while its programs, its MongoDB and the network between them fail at random;
/// then makes everything whole and checks that I1 to I7 hold (docs/ARCHITECTURE.md), from what clients were told and from both
/// databases
///
/// The system: two each of user, catalog, order and gateway, as processes of their own, and a MongoDB replica set of three
/// nodes, which elects a new primary 2 s after the last one was heard of. Every connection between programs, and those of the
/// clients, can be cut, slowed down and silenced; those to MongoDB cannot.
///
/// Ctrl-C ends the time early; what has been is judged all the same. Exits 0 if nothing is wrong, 1 if something is, with the
/// shortest histories of the orders concerned, 2 if it could not be found out.
#[derive(Parser)]
#[command(name = "ordeal", version, about)]
struct Args {
    /// How long everything fails
    #[arg(long, default_value = "10m")]
    time: config::Duration,
    /// What the schedule of faults is made of: the same seed gives the same faults at the same moments; random if not said. What
    /// the faults meet depends on the machine as well
    #[arg(long)]
    seed: Option<u64>,
    /// In place of faults at random, these one after another, each on a system of its own; checked is as well that orders are
    /// placed again within 30 s
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with_all = ["time", "seed"])]
    scenario: Vec<Scenario>,
    /// All scenarios
    #[arg(long, conflicts_with_all = ["time", "seed", "scenario"])]
    scenarios: bool,
    /// How many clients there are, each with one call on its way at a time, at times two
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Print the schedule, and do nothing
    #[arg(long)]
    plan: bool,
    /// Where the log of each program and the history of all calls (history.ndjson) are written
    #[arg(long, default_value = ".orderflow/ordeal")]
    directory: PathBuf,
}

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Mongod(#[from] orderflow_mongod::Error),
    #[error("MongoDB: {}", .0.kind)]
    Mongo(#[from] mongodb::error::Error),
    #[error("a call that nothing was in the way of failed: {0}")]
    Call(#[from] tonic::Status),
    #[error("the audit: {0}")]
    Audit(#[from] audit::Error),
    #[error("it does not become ready: {0}")]
    NotReady(String),
}

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::var_os(processes::PROGRAM).is_some() {
        program::end_with_parent();
    }
    if let Some(ended) = processes::as_told().await {
        return ended;
    }
    let args = Args::parse();
    let scenarios = match args.scenarios {
        true => Scenario::value_variants(),
        false => &args.scenario,
    };
    let result = if scenarios.is_empty() {
        at_random(&args).await
    } else {
        one_by_one(&args, scenarios).await
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("ordeal: {problem}");
            ExitCode::from(2)
        }
    }
}

/// True if nothing is wrong.
async fn at_random(args: &Args) -> Result<bool, Problem> {
    let seed = args
        .seed
        .unwrap_or_else(|| rand::random_range(0..1_000_000));
    let time = args.time.0;
    let faults = plan(seed, time);
    println!(
        "{} faults in {} s; the same again: --seed {seed}",
        faults.len(),
        time.as_secs()
    );
    if args.plan {
        faults.iter().for_each(|fault| println!("{fault}"));
        return Ok(true);
    }
    Ordeal {
        args,
        over: on_signal(),
        seed,
        time,
        scenario: None,
    }
    .run(faults)
    .await
}

async fn one_by_one(args: &Args, scenarios: &[Scenario]) -> Result<bool, Problem> {
    let interrupted = on_signal();
    let mut failed = Vec::new();
    for scenario in scenarios {
        let name = scenario.to_possible_value().expect("all have names");
        let (faults, time) = scenario.plan();
        println!("\n== {}: {} s", name.get_name(), time.as_secs());
        if args.plan {
            faults.iter().for_each(|fault| println!("{fault}"));
            continue;
        }
        let ordeal = Ordeal {
            args,
            over: interrupted.child_token(),
            seed: 0,
            time,
            scenario: Some(*scenario),
        };
        if !ordeal.run(faults).await? {
            failed.push(name.get_name().to_owned());
        }
        if interrupted.is_cancelled() {
            break;
        }
    }
    if !failed.is_empty() {
        println!("\nfailed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}
