//! A binary's `main`, as far as it is the same for all of them.

use std::{fmt::Display, net::SocketAddr, process::ExitCode};

use tokio::{net::TcpListener, signal::unix};

use crate::{
    Shutdown,
    config::{Settings, Wrong},
    log, serve,
};

/// What a program is.
pub struct About {
    /// One word, as in `ORDER_LISTEN`: `order`.
    pub name: &'static str,
    /// The binary: `orderflow-order`.
    pub binary: &'static str,
    /// One sentence.
    pub summary: &'static str,
}

/// A program's whole configuration.
pub trait Configuration: Sized {
    /// Reads it; also what `--help` is made from.
    fn read(settings: Settings) -> (String, Result<Self, Wrong>);
    /// Where to listen.
    fn listen(&self) -> SocketAddr;
    /// How to serve.
    fn serving(&self) -> &serve::Options;
}

/// The whole `main` of a program without commands of its own.
pub async fn main<C, E, R>(
    about: &About,
    run: impl FnOnce(C, TcpListener, Shutdown) -> R,
) -> ExitCode
where
    C: Configuration,
    E: std::error::Error,
    R: Future<Output = Result<(), E>>,
{
    match command::<C>(about).get_matches().subcommand_name() {
        Some(HEALTH) => health::<C>(about).await,
        _ => serve(about, run).await,
    }
}

/// The command that every program has.
pub const HEALTH: &str = "health";

/// A program's command line: `--help`, `--version` and `health`.
pub fn command<C: Configuration>(about: &About) -> clap::Command {
    let (help, _) = C::read(Settings::new(about.name, Default::default()));
    clap::Command::new(about.binary)
        .about(about.summary)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(help)
        .subcommand(
            clap::Command::new(HEALTH)
                .about("Asks the program that listens here whether it is ready; exits 0 if it is"),
        )
}

/// Reads the configuration, or says all that is wrong with it.
pub fn configuration<C: Configuration>(about: &About) -> Result<C, ExitCode> {
    C::read(Settings::from_env(about.name)).1.map_err(|wrong| {
        eprintln!("{} cannot start:\n{wrong}", about.binary);
        ExitCode::from(2)
    })
}

/// Serves until a signal comes: a program's `main` behind its command line.
pub async fn serve<C, E, R>(
    about: &About,
    run: impl FnOnce(C, TcpListener, Shutdown) -> R,
) -> ExitCode
where
    C: Configuration,
    E: std::error::Error,
    R: Future<Output = Result<(), E>>,
{
    let config: C = match configuration(about) {
        Ok(config) => config,
        Err(code) => return code,
    };
    log::to_stderr();
    let address = config.listen();
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => return fail(about, format!("cannot listen on {address}: {error}")),
    };
    tracing::info!(%address, "listening");
    if let Some(tls) = config.serving().tls.clone() {
        tokio::spawn(reload_on_hangup(tls));
    }
    let shutdown = on_signal();
    let again = async {
        shutdown.cancelled().await;
        signalled().await;
    };
    tokio::select! {
        result = run(config, listener, shutdown.clone()) => match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(about, orderflow_contract::status::chain(&error)),
        },
        () = again => {
            tracing::warn!("a second signal: calls in flight are lost");
            // Not by returning: work that cannot be interrupted would be waited for.
            std::process::exit(1)
        }
    }
}

/// Asks the program that listens at this configuration's address for its health.
pub async fn health<C: Configuration>(about: &About) -> ExitCode {
    let config: C = match configuration(about) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut address = config.listen();
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let asked = match &config.serving().tls {
        None => crate::health::ask(address).await,
        Some(tls) => crate::health::ask_over_tls(address, tls).await,
    };
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(about, problem),
    }
}

/// Cancelled by the first SIGINT or SIGTERM.
pub fn on_signal() -> Shutdown {
    let shutdown = Shutdown::new();
    let cancelled = shutdown.clone();
    let signalled = signalled();
    tokio::spawn(async move {
        signalled.await;
        cancelled.cancel();
    });
    shutdown
}

/// The next SIGINT or SIGTERM after this was called.
fn signalled() -> impl Future<Output = ()> {
    let mut interrupt = listen(unix::SignalKind::interrupt());
    let mut terminate = listen(unix::SignalKind::terminate());
    async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

async fn reload_on_hangup(tls: serve::Tls) {
    let mut hangup = listen(unix::SignalKind::hangup());
    while hangup.recv().await.is_some() {
        match tls.reload() {
            Ok(()) => tracing::info!("the certificate was read again"),
            Err(error) => {
                let cause = orderflow_contract::status::chain(&error);
                tracing::error!(cause, "the certificate stays as it was");
            }
        }
    }
}

fn listen(kind: unix::SignalKind) -> unix::Signal {
    unix::signal(kind).expect("signal handlers can be installed")
}

fn fail(about: &About, problem: impl Display) -> ExitCode {
    eprintln!("{}: {problem}", about.binary);
    ExitCode::FAILURE
}
