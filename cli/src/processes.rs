//! The programs as processes of their own, as a deployment runs them.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    process::{ExitCode, Stdio},
    time::Duration,
};

use orderflow_chassis::health;
use tokio::{
    process::{Child, ChildStderr, Command},
    time::{Instant, sleep},
};

/// Set in a process that is to be one program and nothing else.
pub const PROGRAM: &str = "ORDERFLOW_PROGRAM";

/// Is the program that [`PROGRAM`] names, if it names one. By the environment, since each reads its own command line.
pub async fn as_told() -> Option<ExitCode> {
    Some(match std::env::var(PROGRAM).ok()?.as_str() {
        "user" => orderflow_user::main().await,
        "catalog" => orderflow_catalog::main().await,
        "order" => orderflow_order::main().await,
        "gateway" => orderflow_gateway::main().await,
        other => {
            eprintln!("{PROGRAM} must be user, catalog, order or gateway, not {other:?}");
            ExitCode::FAILURE
        }
    })
}

/// A whole system: one user service, and replicas of the other programs. All of them end when this is dropped.
pub struct Processes(Vec<Process>);

/// Whom each of the replicas talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// To all of the others, as they should.
    Together,
    /// The nth gateway to the nth order service, and that one to the nth catalog, of which there are as many: the catalogs get in one
    /// another's way.
    Apart,
}

impl Wiring {
    /// What the nth of some replicas knows of these others.
    fn urls(self, others: &[Process], n: usize) -> String {
        let known = match self {
            Self::Together => others,
            Self::Apart => &others[n..=n],
        };
        let urls: Vec<_> = known
            .iter()
            .map(|process| format!("http://{}", process.address))
            .collect();
        urls.join(",")
    }
}

/// One program.
pub struct Process {
    /// Which one.
    pub program: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl Process {
    /// Its process id; `None` once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its log, a JSON object a line. It must be read.
    pub fn take_log(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }
}

impl Processes {
    /// Starts them, from settings as in a `.env`: so many catalogs, and so many of each other program that has replicas.
    pub fn start(
        settings: &HashMap<String, String>,
        catalogs: usize,
        replicas: usize,
        wiring: Wiring,
    ) -> io::Result<Self> {
        let user = start("user", settings, &[])?;
        let users = ("USER_URL", format!("http://{}", user.address));
        let mut list = vec![user];
        let catalogs = (0..catalogs)
            .map(|_| start("catalog", settings, &[&users]))
            .collect::<io::Result<Vec<_>>>()?;
        let catalogs_of = |n| ("CATALOG_URL", wiring.urls(&catalogs, n));
        let orders = (0..replicas)
            .map(|n| start("order", settings, &[&users, &catalogs_of(n)]))
            .collect::<io::Result<Vec<_>>>()?;
        for n in 0..replicas {
            let orders = ("ORDER_URL", wiring.urls(&orders, n));
            let known = [&users, &catalogs_of(n), &orders];
            list.push(start("gateway", settings, &known)?);
        }
        list.extend(catalogs);
        list.extend(orders);
        Ok(Self(list))
    }

    /// Waits until all gateways say that what is behind them is ready.
    pub async fn ready(&self, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        for gateway in self.gateways() {
            while let Err(problem) = health::ask(gateway).await {
                if Instant::now() > until {
                    return Err(problem);
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Where the gateways listen.
    pub fn gateways(&self) -> impl Iterator<Item = SocketAddr> {
        let gateways = self.0.iter().filter(|process| process.program == "gateway");
        gateways.map(|process| process.address)
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        self.0.iter_mut()
    }
}

/// What starts a program at a free port, with these settings and nobody else's, and the address that it will listen at. It is killed
/// when its child is dropped.
pub fn command(
    program: &str,
    settings: &HashMap<String, String>,
) -> io::Result<(Command, SocketAddr)> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .env_clear()
        .envs(settings)
        .env(PROGRAM, program)
        .env(
            format!("{}_LISTEN", program.to_uppercase()),
            address.to_string(),
        )
        .env("LOG_FORMAT", "json")
        // No .env of anybody's.
        .current_dir("/")
        .stdout(Stdio::null())
        // Ctrl-C is for this process, which ends them in its own time.
        .process_group(0)
        .kill_on_drop(true);
    Ok((command, address))
}

/// Starts one at a free port, told where the others are.
fn start(
    program: &'static str,
    settings: &HashMap<String, String>,
    others: &[&(&str, String)],
) -> io::Result<Process> {
    let (mut command, address) = command(program, settings)?;
    let child = command
        .envs(others.iter().map(|(name, urls)| (name, urls)))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok(Process {
        program,
        address,
        child,
    })
}
