#![doc = include_str!("../README.md")]

mod app;
mod config;
mod domain;
mod error;
mod grpc;
mod inventory;
mod steps;
mod store;

use std::{process::ExitCode, sync::Arc};

use orderflow_chassis::{
    Shutdown,
    deadline::Honour,
    health::{self, Health},
    malformed, program, serve,
};
use orderflow_identity::{Authorize, Authorizer, KeyRing, Unprotected, service::follow_keys};
use orderflow_proto::order::v1::order_service_server::OrderServiceServer;
use orderflow_upstream::{Choice, Upstream};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::Layer;

pub use config::{ABOUT, Config};
pub use steps::Step;

const ORDER: &str = "orderflow.order.v1.OrderService";

/// The largest request of a client.
const MAX_REQUEST: usize = 1024 * 1024;
/// The largest answer to a client.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;

/// Why the service could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A method has no policy.
    #[error("the contract is incomplete")]
    Unprotected(#[from] Unprotected),
    /// `MONGO_URL` is not one.
    #[error("MONGO_URL cannot be used")]
    Mongo(#[from] orderflow_mongo::BadUrl),
}

/// The whole `main`.
pub async fn main() -> ExitCode {
    program::main(&ABOUT, run).await
}

/// Serves until shutdown.
pub async fn run(config: Config, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let client = orderflow_mongo::connect(config.mongo_url.expose(), ABOUT.binary).await?;
    let store = store::Store::new(&client, &config.database);
    // One and the same for all: batches on several replicas of the catalog get in one another's way.
    let catalog = Upstream::new("catalog", &config.catalog_url, &config.tls, Choice::First);
    let inventory = inventory::Inventory::new(catalog, config.identity.clone());
    let watching = app::Watching::new(store.clone(), config.watch_heartbeat, shutdown.clone());
    let orders = app::Orders::new(store.clone(), inventory, watching);

    let users = KeyRing::default();
    let authorizer =
        Authorizer::for_services(&[ORDER], health::PATHS, users.clone(), KeyRing::default())?;
    let user_service = Upstream::new("user", &config.user_url, &config.tls, Choice::LeastLoaded);
    tokio::spawn(follow_keys(
        users.clone(),
        user_service,
        config.identity,
        shutdown.clone(),
    ));

    let (health, health_server) = Health::starting([ORDER]).await;
    tokio::spawn(ready_when(health, store, users, shutdown.clone()));

    tokio::spawn(
        shutdown
            .clone()
            .run_until_cancelled_owned(orders.clone().follow()),
    );

    let routes = Routes::new(health_server).add_service(
        OrderServiceServer::new(grpc::OrderGrpc(orders))
            .max_decoding_message_size(MAX_REQUEST)
            .max_encoding_message_size(MAX_RESPONSE),
    );
    let authorize = Authorize(Arc::new(authorizer));
    let service = Honour.layer(authorize.layer(malformed::layer().layer(routes.prepare())));
    serve::serve(ABOUT.name, config.serving, listener, service, shutdown).await;
    Ok(())
}

/// Ready is: the indexes are there, MongoDB answers, and users' tokens can be verified. Not that the catalog is there: without it
/// orders can still be read.
async fn ready_when(health: Health, store: store::Store, users: KeyRing, shutdown: Shutdown) {
    let prepare = orderflow_mongo::until_ok("preparing MongoDB", || store.prepare());
    if shutdown.run_until_cancelled(prepare).await.is_some() {
        let probe = || async { !users.is_empty() && store.ping().await };
        health.follow(ORDER, shutdown, probe).await;
    }
}
