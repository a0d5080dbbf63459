//! Relays compared: the same calls through this gateway, through Envoy, and straight to the service, in turns, within one run.
//!
//! `cargo bench -p orderflow-gateway --bench relay -- --envoy PATH`. Both relays check a token and a policy for each
//! call and speak gRPC-Web beside gRPC; each is a process of its own, as are the service (which does nothing but answer) and
//! the load.

mod envoy;
mod load;
mod service;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use orderflow_chassis::{Shutdown, config::Settings, program::Configuration};
use orderflow_identity::{Claims, KeySet, Signer, User};

use load::Measured;

/// Compares this gateway with Envoy.
#[derive(Parser)]
struct Args {
    /// How many calls are on their way at a time, over 8 connections
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// How long each turn takes
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How many turns each relay has
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Worker threads of each relay; as many as there are cores, if not said
    #[arg(long)]
    threads: Option<usize>,
    /// The bytes in an answer
    #[arg(long, default_value_t = 300)]
    answer: usize,
    /// Envoy's program
    #[arg(long, default_value = "envoy")]
    envoy: PathBuf,
    // cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The role of a process that this one has started, and what it has to know.
const ROLE: &str = "RELAY_BENCH_ROLE";
const SECRET: &str = "relay-bench 0123456789 abcdefghijklmnopqrstuvwxyz";

fn main() -> ExitCode {
    match std::env::var(ROLE).as_deref() {
        Ok("service") => service::run(environment("ADDRESS"), environment("ANSWER")),
        Ok("gateway") => gateway(),
        _ => compare(Args::parse()),
    }
}

fn compare(args: Args) -> ExitCode {
    let threads = args
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let [service, gateway, envoy] = free_addresses();
    let answer = args.answer.to_string();
    let mut programs = vec![
        own(
            "service",
            threads,
            &[("ADDRESS", &service.to_string()), ("ANSWER", &answer)],
        ),
        own(
            "gateway",
            threads,
            &[
                ("LISTEN", &gateway.to_string()),
                ("SERVICE", &service.to_string()),
            ],
        ),
    ];
    let config =
        tempfile::NamedTempFile::with_suffix(".json").expect("a file for Envoy's settings");
    let settings = envoy::settings(envoy, service, &jwks());
    std::fs::write(config.path(), settings.to_string()).expect("Envoy's settings can be written");
    let started = Command::new(&args.envoy)
        .args([
            "--log-level",
            "error",
            "--use-dynamic-base-id",
            "--concurrency",
        ])
        .arg(threads.to_string())
        .arg("--config-path")
        .arg(config.path())
        .spawn();
    let mut targets = vec![("straight", service), ("gateway", gateway)];
    match started {
        Ok(child) => {
            programs.push(Program(child));
            targets.push(("envoy", envoy));
        }
        Err(error) => eprintln!("without Envoy ({}: {error})", args.envoy.display()),
    }

    let tokens: Vec<_> = (0..args.clients).map(|_| token()).collect();
    let runtime = one_thread();
    let turn = |target, seconds| runtime.block_on(load::turn(target, &tokens, seconds));
    for (name, target) in &targets {
        let since = Instant::now();
        while turn(*target, Duration::from_millis(500)).calls == 0 {
            assert!(
                since.elapsed() < Duration::from_secs(20),
                "{name} does not answer"
            );
        }
    }
    println!(
        "{:>8}  {:>9}  {:>8}  {:>8}  {:>9}",
        "", "calls/s", "p50", "p99", "CPU/call"
    );
    let mut seen: Vec<Vec<Measured>> = targets.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.turns {
        for ((name, target), seen) in targets.iter().zip(&mut seen) {
            let pid = match *name {
                "gateway" => Some(programs[1].0.id()),
                "envoy" => Some(programs[2].0.id()),
                _ => None,
            };
            let before = pid.map(cpu);
            let mut measured = turn(*target, Duration::from_secs(args.seconds));
            measured.cpu = before
                .zip(pid.map(cpu))
                .map(|(before, after)| after - before);
            println!("{name:>8}  {measured}");
            seen.push(measured);
        }
    }
    let rate = |i: usize| median(seen[i].iter().map(Measured::rate));
    let p99 = |i: usize| median(seen[i].iter().map(|measured| measured.latency_ms(0.99)));
    if targets.len() == 3 {
        println!(
            "gateway / envoy, medians of {} turns: throughput {:.2}, p99 {:.2}",
            args.turns,
            rate(1) / rate(2),
            p99(1) / p99(2)
        );
    }
    ExitCode::SUCCESS
}

/// For the load and the service: what they take is not what is compared.
fn one_thread() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// This program in another role.
fn own(role: &str, threads: usize, environment: &[(&str, &str)]) -> Program {
    let program = std::env::current_exe().expect("this program has a path");
    let child = Command::new(program)
        .env(ROLE, role)
        .env("TOKIO_WORKER_THREADS", threads.to_string())
        .envs(environment.iter().copied())
        .stdout(Stdio::null())
        .spawn();
    Program(child.expect("this program can be started again"))
}

/// Ends with this one.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn gateway() -> ExitCode {
    let service = format!("http://{}", environment::<SocketAddr>("SERVICE"));
    let listen = environment::<SocketAddr>("LISTEN");
    let settings = HashMap::from(
        [
            ("LISTEN", listen.to_string()),
            ("USER_URL", service.clone()),
            ("CATALOG_URL", service.clone()),
            ("ORDER_URL", service),
            ("SERVICE_KEY", SECRET.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let (_, config) = orderflow_gateway::Config::read(Settings::new("gateway", settings));
    let config = config.unwrap_or_else(|wrong| panic!("{wrong}"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let served = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .expect("a free address");
        orderflow_gateway::run(config, listener, Shutdown::new()).await
    });
    served.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

fn signer() -> Signer {
    Signer::derive(SECRET, "users").expect("long enough")
}

fn jwks() -> String {
    serde_json::to_string(&KeySet::new([signer().public_key().clone()])).expect("keys are JSON")
}

fn token() -> String {
    let user = User {
        id: orderflow_contract::Id::random(),
        roles: Vec::new(),
        session_id: orderflow_contract::Id::random(),
    };
    Claims::user(&user, Duration::from_secs(3600)).sign(&signer())
}

fn environment<T: std::str::FromStr>(name: &str) -> T {
    let value = std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not set"))
}

fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    // All at once, so that no two are the same.
    let bound = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    bound.map(|listener| listener.local_addr().expect("it is bound"))
}

/// The CPU time that a process has taken so far.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything but ends at the last parenthesis: fields 14 and 15, in hundredths of a second.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
