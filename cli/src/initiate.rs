//! Makes a MongoDB server that was started with `--replSet` a replica set of one: what a deployment does once.

use std::time::Duration;

use mongodb::{
    Client, Database,
    bson::doc,
    error::ErrorKind,
    options::{ClientOptions, ServerAddress},
};
use tokio::time::{sleep, timeout};

/// Which server, and how others reach it.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The server, as all services reach it
    #[arg(default_value = "127.0.0.1:27017")]
    pub host: String,
    /// The name that the server was started with
    #[arg(long, default_value = "orderflow")]
    pub set: String,
    /// How long to wait for a writable primary, in seconds
    #[arg(long, default_value_t = 60)]
    pub patience_s: u64,
}

/// Why there is no replica set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one.
    #[error("{0} is not a host and port")]
    Address(String),
    /// The server says no.
    #[error("the server refused: {0}; was it started with --replSet?")]
    Refused(String),
    /// It did not come up.
    #[error("no writable primary at {host} within {patience_s} s")]
    Late {
        /// Where.
        host: String,
        /// How long it was waited for.
        patience_s: u64,
    },
}

/// Initiates the set, if it is not one yet, and waits until it takes writes.
pub async fn initiate(args: &Args) -> Result<(), Error> {
    let not_an_address = |_| Error::Address(args.host.clone());
    let options = ClientOptions::builder()
        .hosts(vec![
            ServerAddress::parse(&args.host).map_err(not_an_address)?,
        ])
        // There is no set to discover yet.
        .direct_connection(true)
        .server_selection_timeout(Duration::from_secs(1))
        .build();
    let admin = Client::with_options(options)
        .map_err(not_an_address)?
        .database("admin");
    let done = async {
        while !is_writable(&admin).await {
            initiate_once(&admin, args).await?;
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    let patience = Duration::from_secs(args.patience_s);
    timeout(patience, done).await.unwrap_or_else(|_| {
        Err(Error::Late {
            host: args.host.clone(),
            patience_s: args.patience_s,
        })
    })
}

async fn is_writable(admin: &Database) -> bool {
    let hello = admin.run_command(doc! { "hello": 1 }).await;
    hello.is_ok_and(|reply| reply.get_bool("isWritablePrimary").unwrap_or(false))
}

async fn initiate_once(admin: &Database, args: &Args) -> Result<(), Error> {
    const ALREADY_INITIALIZED: i32 = 23;
    let config = doc! { "_id": &args.set, "members": [{ "_id": 0, "host": &args.host }] };
    match admin
        .run_command(doc! { "replSetInitiate": config })
        .await
        .map_err(|e| *e.kind)
    {
        Err(ErrorKind::Command(error)) if error.code != ALREADY_INITIALIZED => {
            Err(Error::Refused(error.message))
        }
        // It is one already, or it is not up yet.
        _ => Ok(()),
    }
}
