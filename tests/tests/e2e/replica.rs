//! More than one of a service.

use std::net::SocketAddr;

use orderflow_chassis::{Shutdown, config::Settings, health, program::Configuration};
use orderflow_testkit::{Person, World, eventually};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

/// Another order service of a world; it stops with the test.
pub(crate) struct Replica {
    channel: Channel,
    shutdown: Shutdown,
}

impl Replica {
    pub(crate) async fn start(world: &World) -> Self {
        let mut settings = world.settings.clone();
        for (name, address) in [
            ("ORDER_USER_URL", world.system.user),
            ("ORDER_CATALOG_URL", world.system.catalog),
        ] {
            settings.insert(name.to_owned(), url(address));
        }
        let (_, config) = orderflow_order::Config::read(Settings::new("order", settings));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let run = orderflow_order::run(config.unwrap(), listener, shutdown.clone());
        tokio::spawn(run);
        eventually("a ready replica", async || health::ask(address).await.ok()).await;
        let channel = Endpoint::from_shared(url(address)).unwrap();
        Self {
            channel: channel.connect().await.unwrap(),
            shutdown,
        }
    }

    /// Somebody who calls this replica, past the gateway.
    pub(crate) fn reached_by(&self, person: &Person) -> Person {
        Person {
            id: person.id.clone(),
            email: person.email.clone(),
            token: person.token.clone(),
            channel: self.channel.clone(),
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
