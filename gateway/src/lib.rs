#![doc = include_str!("../README.md")]

mod batched;
mod client;
mod config;
mod cors;
mod deadline;
mod edge;
mod error;
mod health;
mod json;
mod limit;
mod message;
mod openapi;
mod pages;
mod policy;
mod rate;
mod reflection;
mod relay;
mod upstream;
mod web;

use std::{convert::Infallible, future::pending, process::ExitCode, sync::Arc};

use futures::FutureExt;
use orderflow_chassis::{
    Shutdown,
    health::Health,
    program::{self, About},
    serve,
};
use orderflow_identity::{Audience, Authorizer, KeyRing, Verifier, service::follow_keys};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};

pub use client::Proxies;
pub use config::Config;
pub use cors::Origins;
pub use error::{Error, Unsupported};
pub use rate::Limits;

use edge::{Edge, Own};
use json::Json;
use pages::Pages;
use rate::Rates;
use relay::Relay;
use upstream::Upstreams;

/// Serves until shutdown. Reads nothing but its arguments and sets nothing global.
pub async fn run(config: Config, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let pool = orderflow_proto::descriptors();
    let upstreams = Arc::new(Upstreams::new(&config));
    let services = upstreams.place(policy::public_services(pool))?;
    let relay = Relay::new(upstreams.methods(pool)?);

    let keys = KeyRing::default();
    let authorizer = Authorizer {
        policy: policy::read(pool)?,
        users: Verifier::new(Audience::Users, keys.clone()),
        // Services talk to one another, never through the edge: here their tokens are worth nothing.
        services: None,
    };
    let names: Vec<_> = services.iter().map(|(name, _)| name.as_str()).collect();
    let (health, health_server) = Health::starting(names).await;
    let edge = Arc::new(Edge {
        pages: Pages::new(
            openapi::document(pool)?,
            keys.clone(),
            health.clone(),
            &config.shop_dir,
        ),
        rates: Rates::new(config.limits, pool),
        json: Json::new(pool)?,
        authorizer,
        own: Own::new(health_server)?,
        relay,
    });
    let answer =
        service_fn(move |request| Box::pin(edge.clone().answer(request).map(Ok::<_, Infallible>)));
    let service = ServiceBuilder::new()
        .option_layer(cors::layer(config.cors_origins))
        .service(answer);

    let follow_keys = follow_keys(
        keys.clone(),
        upstreams.user.clone(),
        config.service,
        shutdown.clone(),
    );
    let follow_health = health::follow(health, upstreams, services, keys, shutdown.clone());
    let follow = async {
        tokio::join!(follow_keys, follow_health);
        pending().await
    };

    tokio::select! {
        () = serve::serve("gateway", config.serving, listener, service, shutdown) => Ok(()),
        never = follow => never,
    }
}

/// The program: serves, or does what its command line says instead.
pub async fn main() -> ExitCode {
    const POLICY: &str = "policy";
    const OPENAPI: &str = "openapi";
    let about = About {
        name: "gateway",
        binary: "orderflow-gateway",
        summary: "The edge of OrderFlow: checks who calls and relays gRPC and gRPC-Web to the services",
    };
    let command = program::command::<Config>(&about)
        .subcommand(clap::Command::new(POLICY).about("Prints who may call which method"))
        .subcommand(
            clap::Command::new(OPENAPI).about("Prints the description of the HTTP/JSON API"),
        );
    let pool = orderflow_proto::descriptors();
    let text = match command.get_matches().subcommand_name() {
        Some(program::HEALTH) => return program::health::<Config>(&about).await,
        Some(POLICY) => policy::page(pool).map_err(Error::from),
        Some(OPENAPI) => openapi::document(pool).map_err(Error::from),
        _ => return program::serve(&about, run).await,
    };
    match text {
        Ok(text) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", about.binary);
            ExitCode::FAILURE
        }
    }
}
