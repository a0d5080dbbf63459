//! Explores runs of any size.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use orderflow_model::{
    Model,
    explore::{Explored, explore},
    rules::{Rule, Rules},
    size::{Faults, Size},
    tables,
};

/// Explores a model of the order protocol to the end, or to a shortest violation.
#[derive(Parser)]
struct Args {
    /// Request ids.
    #[arg(long, default_value_t = 2)]
    keys: u8,
    /// How often each of them is asked for.
    #[arg(long, default_value_t = 1)]
    attempts: u8,
    /// How different the lines may be that an attempt asks for.
    #[arg(long, default_value_t = 1)]
    quantities: u8,
    /// The first stock.
    #[arg(long, default_value_t = 1)]
    stock: i8,
    /// Cancellations.
    #[arg(long, default_value_t = 0)]
    cancels: u8,
    /// Moves to SHIPPED and DELIVERED.
    #[arg(long, default_value_t = 0)]
    moves: u8,
    /// Adjustments of the stock.
    #[arg(long, default_value_t = 0)]
    restocks: u8,
    /// Withdrawals of the product.
    #[arg(long, default_value_t = 0)]
    withdrawals: u8,
    /// Changes of its price.
    #[arg(long, default_value_t = 0)]
    prices: u8,
    /// Replicas that die.
    #[arg(long, default_value_t = 0)]
    crashes: u8,
    /// Calls whose callers' patience ends before they arrive.
    #[arg(long, default_value_t = 0)]
    late: u8,
    /// Calls that arrive twice.
    #[arg(long, default_value_t = 0)]
    doubled: u8,
    /// Writes and commits whose acknowledgement is lost.
    #[arg(long, default_value_t = 0)]
    unacknowledged: u8,
    /// Failovers that take back what no majority has.
    #[arg(long, default_value_t = 0)]
    failovers: u8,
    /// Reads that a deposed primary answers.
    #[arg(long, default_value_t = 0)]
    stale: u8,
    /// Faults of all kinds together, if fewer than their sum.
    #[arg(long)]
    altogether: Option<u8>,
    /// One of the sizes of the tests, instead of all these.
    #[arg(long)]
    size: Option<String>,
    /// A rule to do without, in the runs in which it is missed.
    #[arg(long, value_enum)]
    without: Option<Rule>,
    /// Ends after so many states; a million takes about half a gigabyte.
    #[arg(long, default_value_t = 5_000_000)]
    at_most: usize,
    /// Prints the tables of docs/orders.md instead.
    #[arg(long)]
    tables: bool,
}

impl Args {
    fn size(&self) -> Option<Size> {
        if let Some(name) = &self.size {
            let named = Size::NAMED.iter().find(|(of, _)| of == name);
            return named.map(|(_, size)| *size);
        }
        if let Some(rule) = self.without {
            return Some(rule.size());
        }
        let sum = [
            self.crashes,
            self.late,
            self.doubled,
            self.unacknowledged,
            self.failovers,
            self.stale,
        ];
        Some(Size {
            keys: self.keys,
            attempts: self.attempts,
            quantities: self.quantities,
            stock: self.stock,
            cancels: self.cancels,
            moves: self.moves,
            restocks: self.restocks,
            withdrawals: self.withdrawals,
            prices: self.prices,
            faults: Faults {
                crashes: self.crashes,
                late: self.late,
                doubled: self.doubled,
                unacknowledged: self.unacknowledged,
                failovers: self.failovers,
                stale: self.stale,
                altogether: self
                    .altogether
                    .unwrap_or_else(|| sum.into_iter().fold(0, u8::saturating_add)),
            },
        })
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let began = Instant::now();
    let tell = |explored: &Explored| {
        let Explored { states, depth, .. } = explored;
        eprintln!(
            "{states} states, {depth} steps away, {} s",
            began.elapsed().as_secs()
        );
    };
    if args.tables {
        let sizes = tables::sizes(|name, size| {
            eprintln!("{name}");
            explore(&Model::new(size), args.at_most, tell)
        });
        println!("{}\n{sizes}", tables::rules());
        return ExitCode::SUCCESS;
    }
    let Some(size) = args.size() else {
        let names: Vec<_> = Size::NAMED.iter().map(|(name, _)| *name).collect();
        eprintln!("the sizes are {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    let rules = args
        .without
        .map_or(Rules::ALL, |rule| Rules::ALL.without(rule));
    let explored = explore(&Model { size, rules }, args.at_most, tell);
    tell(&explored);
    for sight in &explored.seen {
        println!("seen: {sight}");
    }
    match explored.violation {
        Some((invariant, way)) => {
            println!("{invariant} does not hold after {} steps:", way.len());
            way.iter().for_each(|step| println!("  {step}"));
            ExitCode::FAILURE
        }
        None if explored.is_cut => {
            println!("nothing is violated so far; not explored to the end");
            ExitCode::FAILURE
        }
        None => {
            println!("nothing is violated");
            ExitCode::SUCCESS
        }
    }
}
