use std::{net::SocketAddr, time::Duration};

use orderflow_chassis::{
    channel,
    config::{self, Secret, ServiceUrls, Settings, Wrong},
    program::{About, Configuration},
    serve,
};
use orderflow_identity::service::ServiceIdentity;

/// What this program is.
pub const ABOUT: About = About {
    name: "order",
    binary: "orderflow-order",
    summary: "OrderFlow's order service: placing orders and following them",
};

/// Everything that the order service can be told.
#[derive(Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The bounds of the server.
    pub serving: serve::Options,
    /// The MongoDB replica set.
    pub mongo_url: Secret,
    /// The database that this service owns.
    pub database: String,
    /// Where the user service is, for its public keys.
    pub user_url: ServiceUrls,
    /// Where the catalog is, for its stock.
    pub catalog_url: ServiceUrls,
    /// For services at `https://`.
    pub tls: channel::Tls,
    /// After how long without a change who watches orders is told that nothing has changed.
    pub watch_heartbeat: Duration,
    /// How this service presents itself to others.
    pub identity: ServiceIdentity,
}

impl Configuration for Config {
    fn read(mut settings: Settings) -> (String, Result<Self, Wrong>) {
        let s = &mut settings;
        let listen = s.or("LISTEN", "127.0.0.1:7003", "address and port to listen on");
        let serving = serve::Options::inside().read(s);
        let mongo_url = s.mongo_url();
        let database = s.or(
            "DATABASE",
            "orderflow_order",
            "the database that this service owns",
        );
        let user_url = s.or(
            "USER_URL",
            "http://127.0.0.1:7001",
            "the user service, or several of them, separated by commas",
        );
        let catalog_url = s.or(
            "CATALOG_URL",
            "http://127.0.0.1:7002",
            "the catalog service, or several of them, separated by commas",
        );
        let tls = channel::Tls::read(s, &[&user_url, &catalog_url]);
        let heartbeat = s.or(
            "WATCH_HEARTBEAT",
            "20s",
            "how often who watches orders hears something, at least, 1s–10m",
        );
        let heartbeat = s.check("WATCH_HEARTBEAT", heartbeat, heartbeat_length);
        let secret: Option<Secret> = s.required(
            "SERVICE_KEY",
            "the secret, 32 bytes or more, of this service's own key",
        );
        let identity = s.check("SERVICE_KEY", secret, |key| {
            ServiceIdentity::new(ABOUT.name, key.expose())
        });
        let help = settings.help();
        let config = settings.finish(|| {
            Some(Self {
                listen: listen?,
                serving: serving?,
                mongo_url: mongo_url?,
                database: database?,
                user_url: user_url?,
                catalog_url: catalog_url?,
                tls: tls?,
                watch_heartbeat: heartbeat?,
                identity: identity?,
            })
        });
        (help, config)
    }

    fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn serving(&self) -> &serve::Options {
        &self.serving
    }
}

fn heartbeat_length(config::Duration(length): config::Duration) -> Result<Duration, &'static str> {
    match length.as_secs() {
        1..=600 => Ok(length),
        _ => Err("must be 1s to 10m"),
    }
}
