#![doc = include_str!("../README.md")]

mod config;
mod email;
mod failure;
mod grpc;
mod password;
mod roles;
mod store;
mod tokens;

use std::{process::ExitCode, sync::Arc};

use orderflow_chassis::{Shutdown, deadline::Honour, health, program, serve};
use orderflow_identity::{Authorize, Authorizer, Unprotected};
use orderflow_mongo as mongo;
use orderflow_proto::user::v1::{
    identity_service_server::{self, IdentityServiceServer},
    user_service_server::{self, UserServiceServer},
};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::Layer;

pub use config::{ABOUT, Config};
pub use tokens::SigningKeys;

use crate::{grpc::Accounts, password::Hasher, store::Store, tokens::Tokens};

const NAME: &str = user_service_server::SERVICE_NAME;
const MAX_MESSAGE_IN: usize = 1024 * 1024;
const MAX_MESSAGE_OUT: usize = 4 * 1024 * 1024;

/// Why the service could not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL of MongoDB is not one.
    #[error("MONGO_URL cannot be used")]
    MongoUrl(#[source] orderflow_mongo::BadUrl),
    /// bcrypt takes no such cost.
    #[error("passwords cannot be hashed")]
    Bcrypt(#[source] bcrypt::BcryptError),
    /// The contract leaves open who may call a method.
    #[error("the contract is not complete")]
    Unprotected(#[source] Unprotected),
}

/// The whole `main` of the program.
pub async fn main() -> ExitCode {
    let command = program::command::<Config>(&ABOUT).subcommands(roles::commands());
    match command.get_matches().subcommand() {
        Some((program::HEALTH, _)) => program::health::<Config>(&ABOUT).await,
        Some((name, arguments)) => roles::main(name, arguments).await,
        None => program::serve(&ABOUT, run).await,
    }
}

/// Serves until shutdown. MongoDB need not be there yet: until it is, health says NOT_SERVING and calls get UNAVAILABLE.
pub async fn run(config: Config, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let authorizer = Authorizer::for_services(
        &[NAME, identity_service_server::SERVICE_NAME],
        health::PATHS,
        config.keys.ring(),
        config.services_allowed.keys(),
    )
    .map_err(Error::Unprotected)?;
    let store = Store::connect(&config.mongo_url, &config.database)
        .await
        .map_err(Error::MongoUrl)?;
    let hasher = Hasher::new(config.bcrypt_cost)
        .await
        .map_err(Error::Bcrypt)?;
    let accounts = Accounts {
        store: store.clone(),
        hasher,
        tokens: Tokens::new(&config),
    };
    let (health, health_server) = health::Health::starting([NAME]).await;

    let users = UserServiceServer::new(accounts)
        .max_decoding_message_size(MAX_MESSAGE_IN)
        .max_encoding_message_size(MAX_MESSAGE_OUT);
    let keys = IdentityServiceServer::new(config.keys)
        .max_decoding_message_size(MAX_MESSAGE_IN)
        .max_encoding_message_size(MAX_MESSAGE_OUT);
    let routes = Routes::new(health_server)
        .add_service(users)
        .add_service(keys)
        .prepare();
    let service = Honour.layer(Authorize(Arc::new(authorizer)).layer(routes));

    let served = serve::serve(
        ABOUT.name,
        config.serving,
        listener,
        service,
        shutdown.clone(),
    );
    let prepared = async {
        let prepare = mongo::until_ok("making the indexes", || store.ensure_indexes());
        shutdown.run_until_cancelled(prepare).await;
    };
    let followed = health.follow(NAME, shutdown.clone(), || store.is_ready());
    tokio::join!(served, prepared, followed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs that serve several services at once spawn each; the compiler says whether they may.
    #[test]
    fn run_can_be_spawned() {
        fn spawnable<F: Future + Send + 'static>(_: impl Fn(Config, TcpListener, Shutdown) -> F) {}
        spawnable(run);
    }
}
