use std::{collections::HashMap, io, net::SocketAddr, time::Duration};

use orderflow_chassis::{
    Shutdown,
    config::{Settings, Wrong},
    health,
    program::Configuration,
};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

/// The four programs, running in this process.
pub struct System {
    /// Where each one listens.
    pub gateway: SocketAddr,
    /// The user service, behind the gateway.
    pub user: SocketAddr,
    /// The catalog service, behind the gateway.
    pub catalog: SocketAddr,
    /// The order service, behind the gateway.
    pub order: SocketAddr,
    shutdown: Shutdown,
    programs: JoinSet<(&'static str, Result<(), String>)>,
}

/// The configurations of the four programs.
pub struct Configs {
    /// Of the user service.
    pub user: orderflow_user::Config,
    /// Of the catalog service.
    pub catalog: orderflow_catalog::Config,
    /// Of the order service.
    pub order: orderflow_order::Config,
    /// Of the gateway.
    pub gateway: orderflow_gateway::Config,
}

/// Why the system does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: another program may be there; choose another with --listen"
    )]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The settings are wrong.
    #[error("{0}")]
    Settings(#[from] Wrong),
    /// It did not become ready.
    #[error("not ready within {} s: {problem}", .within.as_secs())]
    NotReady {
        /// How long it was waited for.
        within: Duration,
        /// What the gateway said last.
        problem: String,
    },
    /// A program ended by itself.
    #[error("{program} ended: {problem}")]
    Ended {
        /// Which one.
        program: &'static str,
        /// Why.
        problem: String,
    },
}

impl System {
    /// Starts the four programs from settings as in a `.env`. What is not said about addresses is chosen: a free port on
    /// loopback, and each knows where the others are. `adjust` may change what settings cannot say.
    pub async fn start(
        mut settings: HashMap<String, String>,
        adjust: impl FnOnce(&mut Configs),
    ) -> Result<Self, Error> {
        let user = bind(&mut settings, "USER").await?;
        let catalog = bind(&mut settings, "CATALOG").await?;
        let order = bind(&mut settings, "ORDER").await?;
        let gateway = bind(&mut settings, "GATEWAY").await?;
        let mut configs = Configs::read(&settings)?;
        adjust(&mut configs);

        let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
        let mut system = Self {
            gateway: address(&gateway),
            user: address(&user),
            catalog: address(&catalog),
            order: address(&order),
            shutdown: Shutdown::new(),
            programs: JoinSet::new(),
        };
        let shutdown = || system.shutdown.clone();
        let programs = &mut system.programs;
        let run = orderflow_user::run(configs.user, user, shutdown());
        spawn(programs, "the user service", run);
        let run = orderflow_catalog::run(configs.catalog, catalog, shutdown());
        spawn(programs, "the catalog service", run);
        let run = orderflow_order::run(configs.order, order, shutdown());
        spawn(programs, "the order service", run);
        let run = orderflow_gateway::run(configs.gateway, gateway, shutdown());
        spawn(programs, "the gateway", run);
        Ok(system)
    }

    /// Waits until the gateway says that all of it is ready.
    pub async fn ready(&mut self, within: Duration) -> Result<(), Error> {
        let mut problem = String::new();
        let ready = async {
            while let Err(error) = health::ask(self.gateway).await {
                problem = error;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::select! {
            waited = timeout(within, ready) => waited,
            ended = ended(&mut self.programs) => return Err(ended),
        };
        waited.map_err(|_| Error::NotReady { within, problem })
    }

    /// Waits until a program ends by itself, which none should.
    pub async fn ended(&mut self) -> Error {
        ended(&mut self.programs).await
    }

    /// Stops the programs; calls in flight may go on for `patience`.
    pub async fn stop(mut self, patience: Duration) {
        self.shutdown.cancel();
        let all = async { while self.programs.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_err() {
            tracing::warn!("calls were still in flight at the end");
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Configs {
    /// Reads all four, and says all that is wrong with any of them.
    fn read(settings: &HashMap<String, String>) -> Result<Self, Wrong> {
        fn one<C: Configuration>(
            program: &str,
            settings: &HashMap<String, String>,
            wrong: &mut Vec<String>,
        ) -> Option<C> {
            let (_, config) = C::read(Settings::new(program, settings.clone()));
            config.map_err(|Wrong(lines)| wrong.extend(lines)).ok()
        }
        let mut wrong = Vec::new();
        let user = one("user", settings, &mut wrong);
        let catalog = one("catalog", settings, &mut wrong);
        let order = one("order", settings, &mut wrong);
        let gateway = one("gateway", settings, &mut wrong);
        match (user, catalog, order, gateway) {
            (Some(user), Some(catalog), Some(order), Some(gateway)) => Ok(Self {
                user,
                catalog,
                order,
                gateway,
            }),
            _ => {
                wrong.sort();
                wrong.dedup();
                Err(Wrong(wrong))
            }
        }
    }
}

/// Binds a program's address, and tells the others where it is.
async fn bind(
    settings: &mut HashMap<String, String>,
    program: &'static str,
) -> Result<TcpListener, Error> {
    let listen = format!("{program}_LISTEN");
    let address = settings
        .get(&listen)
        .cloned()
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let failed = |source| Error::Listen {
        address: address.clone(),
        source,
    };
    let listener = TcpListener::bind(&address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    settings.insert(listen, bound.to_string());
    settings.insert(format!("{program}_URL"), format!("http://{bound}"));
    Ok(listener)
}

fn spawn<E: std::error::Error>(
    programs: &mut JoinSet<(&'static str, Result<(), String>)>,
    name: &'static str,
    run: impl Future<Output = Result<(), E>> + Send + 'static,
) {
    programs.spawn(async move {
        let result = run.await;
        (
            name,
            result.map_err(|error| orderflow_contract::status::chain(&error)),
        )
    });
}

async fn ended(programs: &mut JoinSet<(&'static str, Result<(), String>)>) -> Error {
    match programs.join_next().await {
        Some(Ok((program, result))) => Error::Ended {
            program,
            problem: result
                .err()
                .unwrap_or_else(|| "without a reason".to_owned()),
        },
        Some(Err(panic)) => Error::Ended {
            program: "a program",
            problem: panic.to_string(),
        },
        None => std::future::pending().await,
    }
}
