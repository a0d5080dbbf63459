//! Health that tells the truth: NOT_SERVING until a probe succeeds, and again when it fails or the service stops.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Error};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, health_check_response,
        health_client::HealthClient,
        health_server::{self, HealthServer},
    },
    server::{HealthReporter, health_reporter},
};

use tower::service_fn;

use crate::{Shutdown, serve::Tls};

/// How often a service looks whether what it needs is there.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The methods of gRPC's own health service, for everybody.
pub const PATHS: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
];

/// Reports the health of the named services and, as "", of the whole server.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    is_ready: Arc<AtomicBool>,
}

impl Health {
    /// Nothing is ready yet.
    pub async fn starting(
        names: impl IntoIterator<Item = &str>,
    ) -> (Self, HealthServer<impl health_server::Health>) {
        let (reporter, server) = health_reporter();
        let health = Self {
            reporter,
            is_ready: Arc::default(),
        };
        // tonic-health says SERVING for "" unless told otherwise.
        for name in names.into_iter().chain([""]) {
            health.set(name, false).await;
        }
        (health, server)
    }

    /// Says whether a service is ready.
    pub async fn set(&self, name: &str, ready: bool) {
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.reporter.set_service_status(name, status).await;
        if name.is_empty() {
            self.is_ready.store(ready, Ordering::Relaxed);
        }
    }

    /// Whether the whole server is ready, as was said last.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Keeps the health of `name` and "" at what `probe` says, until shutdown, which makes both NOT_SERVING.
    pub async fn follow<F>(self, name: &str, shutdown: Shutdown, probe: impl Fn() -> F)
    where
        F: Future<Output = bool>,
    {
        let mut was_ready = false;
        loop {
            let ready = tokio::select! {
                ready = probe() => ready,
                () = shutdown.cancelled() => break,
            };
            if ready != was_ready {
                tracing::info!(service = name, ready, "health");
                was_ready = ready;
            }
            self.set(name, ready).await;
            self.set("", ready).await;
            tokio::select! {
                () = tokio::time::sleep(if ready { PROBE_EVERY } else { PROBE_EVERY / 10 }) => {}
                () = shutdown.cancelled() => break,
            }
        }
        self.set(name, false).await;
        self.set("", false).await;
    }
}

/// Asks a server whether all of it is ready.
pub async fn ask(address: SocketAddr) -> Result<(), String> {
    check(address, endpoint(address).connect().await).await
}

/// Asks a server that speaks TLS with these very files.
pub async fn ask_over_tls(address: SocketAddr, tls: &Tls) -> Result<(), String> {
    let tls = tls.clone();
    let connect = move |_| {
        let tls = tls.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            tls.connect(stream).await.map(TokioIo::new)
        }
    };
    let endpoint = endpoint(address);
    let connecting = endpoint.connect_with_connector(service_fn(connect));
    check(address, connecting.await).await
}

fn endpoint(address: SocketAddr) -> Endpoint {
    const PATIENCE: Duration = Duration::from_secs(2);
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address is a URI")
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
}

async fn check(address: SocketAddr, connected: Result<Channel, Error>) -> Result<(), String> {
    let channel = connected.map_err(|_| format!("nothing listens on {address}"))?;
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .map_err(|status| format!("no health from {address}: {}", status.code()))?;
    match answer.into_inner().status() {
        health_check_response::ServingStatus::Serving => Ok(()),
        status => Err(format!("{address} is {}", status.as_str_name())),
    }
}
