//! A gateway in a process of its own, so that its memory is its own, without the services behind it: what the edge takes by
//! itself it takes without them.

use std::{
    error::Error,
    fs,
    net::{SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Longer than anything here takes; what is waited for longer will not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) process: Child,
}

impl Gateway {
    /// With these settings, and what is usual for the rest.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::spawn(
            Command::new(env!("CARGO_BIN_EXE_orderflow-gateway")),
            settings,
        )
        .await
    }

    /// With no more file descriptors than this.
    pub(crate) async fn with_file_descriptors(count: usize, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {count} && exec \"$0\"");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_orderflow-gateway")]);
        Self::spawn(command, settings).await
    }

    async fn spawn(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let free = || {
            TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
        };
        let address = free();
        let process = command
            .env_clear()
            // No .env of a developer's.
            .current_dir(std::env::temp_dir())
            .env("LISTEN", address.to_string())
            .env("SERVICE_KEY", "0123456789abcdef0123456789abcdef")
            .env("LOG", "off")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let gateway = Self { address, process };
        until("it listens", async || {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        gateway
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A call of somebody who means no harm, on a connection of their own.
    pub(crate) async fn answers(&self) {
        let answer = timeout(PATIENCE, self.answer()).await;
        answer.expect("an answer").unwrap();
    }

    /// Whether such a call is answered.
    pub(crate) async fn answer(&self) -> Result<(), Box<dyn Error>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
        let mut health = HealthClient::new(endpoint.connect().await?);
        health.check(HealthCheckRequest::default()).await?;
        Ok(())
    }

    /// It still is what it was: it answers, and never was large.
    pub(crate) async fn is_well(&self) {
        self.answers().await;
        let memory = self.memory_mb();
        assert!(memory < 300, "{memory} MB");
    }

    /// At the most, so far.
    pub(crate) fn memory_mb(&self) -> usize {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kilobytes.parse::<usize>().unwrap() / 1024
    }

    /// How many files and connections it has.
    pub(crate) fn open(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.id().unwrap())
    }
}

/// Waits for something.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
