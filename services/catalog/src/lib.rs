#![doc = include_str!("../README.md")]

mod app;
mod config;
mod domain;
mod error;
mod grpc;
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
use orderflow_proto::catalog::v1::{
    catalog_service_server::CatalogServiceServer, inventory_service_server::InventoryServiceServer,
};
use orderflow_upstream::{Choice, Upstream};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::Layer;

pub use config::{ABOUT, Config};
pub use steps::Step;

const CATALOG: &str = "orderflow.catalog.v1.CatalogService";
const INVENTORY: &str = "orderflow.catalog.v1.InventoryService";

/// The largest request of a client.
const MAX_REQUEST: usize = 1024 * 1024;
/// The largest answer to a client.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;
/// The largest message among services: 256 orders of 100 lines are 7.7 MB.
const MAX_INTERNAL: usize = 16 * 1024 * 1024;

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
    let catalog = app::Catalog::new(store.clone());

    let users = KeyRing::default();
    let allowed = config.services_allowed.keys();
    let authorizer =
        Authorizer::for_services(&[CATALOG, INVENTORY], health::PATHS, users.clone(), allowed)?;
    let user_service = Upstream::new("user", &config.user_url, &config.tls, Choice::LeastLoaded);
    tokio::spawn(follow_keys(
        users.clone(),
        user_service,
        config.identity,
        shutdown.clone(),
    ));

    let (health, health_server) = Health::starting([CATALOG]).await;
    tokio::spawn(ready_when(health, store, users, shutdown.clone()));

    let routes = Routes::new(health_server)
        .add_service(
            CatalogServiceServer::new(grpc::CatalogGrpc(catalog.clone()))
                .max_decoding_message_size(MAX_REQUEST)
                .max_encoding_message_size(MAX_RESPONSE),
        )
        .add_service(
            InventoryServiceServer::new(grpc::InventoryGrpc(catalog))
                .max_decoding_message_size(MAX_INTERNAL)
                .max_encoding_message_size(MAX_INTERNAL),
        );
    let authorize = Authorize(Arc::new(authorizer));
    let service = Honour.layer(authorize.layer(malformed::layer().layer(routes.prepare())));
    serve::serve(ABOUT.name, config.serving, listener, service, shutdown).await;
    Ok(())
}

/// Ready is: collections and indexes are there, MongoDB answers, and users' tokens can be verified.
async fn ready_when(health: Health, store: store::Store, users: KeyRing, shutdown: Shutdown) {
    let prepared = shutdown
        .run_until_cancelled(orderflow_mongo::until_ok("preparing MongoDB", || {
            store.prepare()
        }))
        .await;
    if prepared.is_some() {
        let probe = || async { !users.is_empty() && store.ping().await };
        health.follow(CATALOG, shutdown, probe).await;
    }
}
