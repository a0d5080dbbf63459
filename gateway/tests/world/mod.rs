//! A gateway on a port of its own, real servers behind it, and clients that show what is on the wire.

pub(crate) mod client;
#[allow(dead_code, reason = "what only the hostile need")]
pub(crate) mod frames;
pub(crate) mod upstream;

use std::{net::SocketAddr, time::Duration};

use futures::{Stream, StreamExt};
use orderflow_chassis::{Shutdown, channel, serve};
use orderflow_contract::Id;
use orderflow_gateway::{Config, Error, Limits, Origins};
use orderflow_identity::{Claims, Signer, User, service::ServiceIdentity};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use upstream::Upstream;

const SERVICE_KEY: &str = "0123456789abcdef0123456789abcdef";
const SECRET_KEY: &str = "fedcba9876543210fedcba9876543210";
/// Longer than anything here takes; what is waited for longer will not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) gateway: SocketAddr,
    _user: Upstream,
    pub(crate) catalog: Upstream,
    pub(crate) order: Upstream,
    shutdown: Shutdown,
    running: JoinHandle<Result<(), Error>>,
}

/// The whole system, ready.
pub(crate) async fn start() -> World {
    let world = start_with(Upstream::start("user").await).await;
    world.wait_until("", true).await;
    world
}

/// The whole system, ready, its gateway told otherwise.
pub(crate) async fn start_told(adjust: impl FnOnce(&mut Config)) -> World {
    let world = start_all(Upstream::start("user").await, None, adjust).await;
    world.wait_until("", true).await;
    world
}

/// With this user service, perhaps not yet ready.
pub(crate) async fn start_with(user: Upstream) -> World {
    start_all(user, None, |_| {}).await
}

/// With another replica of the order service.
pub(crate) async fn start_with_another(order: &Upstream) -> World {
    let world = start_all(Upstream::start("user").await, Some(order), |_| {}).await;
    world.wait_until("", true).await;
    world
}

async fn start_all(
    user: Upstream,
    other_order: Option<&Upstream>,
    adjust: impl FnOnce(&mut Config),
) -> World {
    let catalog = Upstream::start("catalog").await;
    let order = Upstream::start("order").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = listener.local_addr().unwrap();
    let urls = |upstreams: &[&Upstream]| {
        let urls = upstreams
            .iter()
            .map(|upstream| format!("http://{}", upstream.address));
        urls.collect::<Vec<_>>().join(",").parse().unwrap()
    };
    let orders: Vec<_> = [&order].into_iter().chain(other_order).collect();
    let mut config = Config {
        listen: gateway,
        serving: serve::Options::edge(),
        tls: channel::Tls::default(),
        user_url: urls(&[&user]),
        catalog_url: urls(&[&catalog]),
        order_url: urls(&orders),
        service: ServiceIdentity::new("gateway", SERVICE_KEY).unwrap(),
        cors_origins: Origins::default(),
        shop_dir: "/nowhere".into(),
        limits: Limits::off(),
    };
    adjust(&mut config);
    let shutdown = Shutdown::new();
    let running = tokio::spawn(orderflow_gateway::run(config, listener, shutdown.clone()));
    World {
        gateway,
        _user: user,
        catalog,
        order,
        shutdown,
        running,
    }
}

impl World {
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.gateway))
            .unwrap()
            .connect_lazy()
    }

    /// What the gateway says of a service, now and whenever that changes.
    pub(crate) async fn watch(
        &self,
        service: &str,
    ) -> impl Stream<Item = ServingStatus> + Unpin + use<> {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut client = HealthClient::new(self.channel());
        let stream = client.watch(request).await.unwrap().into_inner();
        stream.map(|answer| answer.unwrap().status())
    }

    /// Waits until the gateway says so of this service.
    pub(crate) async fn wait_until(&self, service: &str, ready: bool) {
        let wanted = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        let watched = async {
            let mut statuses = self.watch(service).await;
            while statuses.next().await != Some(wanted) {}
        };
        tokio::time::timeout(PATIENCE, watched)
            .await
            .unwrap_or_else(|_| panic!("{service:?} never became {wanted:?}"));
    }

    /// What it says at this moment.
    pub(crate) async fn health(&self, service: &str) -> ServingStatus {
        self.watch(service).await.next().await.unwrap()
    }

    /// Asks the gateway to end.
    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// How it ended.
    pub(crate) async fn end(self) -> Result<(), Error> {
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .expect("the gateway ends")
            .unwrap()
    }
}

/// With which the user service signs.
pub(crate) fn signer() -> Signer {
    Signer::derive(SECRET_KEY, "user").unwrap()
}

/// `Bearer` and a user's token.
pub(crate) fn bearer() -> String {
    let user = User {
        id: Id::random(),
        roles: Vec::new(),
        session_id: Id::random(),
    };
    let token = Claims::user(&user, Duration::from_secs(600)).sign(&signer());
    format!("Bearer {token}")
}

/// `Bearer` and a service's token, signed with a key that the gateway trusts for users.
pub(crate) fn service_bearer() -> String {
    let token = Claims::service("order", Duration::from_secs(600)).sign(&signer());
    format!("Bearer {token}")
}
