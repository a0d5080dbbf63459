use std::net::SocketAddr;

use orderflow_chassis::{
    channel,
    config::{Secret, ServiceUrls, Settings, Wrong},
    program::{About, Configuration},
    serve,
};
use orderflow_identity::service::{AllowedServices, ServiceIdentity};

/// What this program is.
pub const ABOUT: About = About {
    name: "catalog",
    binary: "orderflow-catalog",
    summary: "OrderFlow's catalog service: products and their stock",
};

/// Everything that the catalog service can be told.
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
    /// For services at `https://`.
    pub tls: channel::Tls,
    /// How this service presents itself to others.
    pub identity: ServiceIdentity,
    /// Whose service tokens `InventoryService` accepts.
    pub services_allowed: AllowedServices,
}

impl Configuration for Config {
    fn read(mut settings: Settings) -> (String, Result<Self, Wrong>) {
        let s = &mut settings;
        let listen = s.or("LISTEN", "127.0.0.1:7002", "address and port to listen on");
        let serving = serve::Options::inside().read(s);
        let mongo_url = s.mongo_url();
        let database = s.or(
            "DATABASE",
            "orderflow_catalog",
            "the database that this service owns",
        );
        let user_url = s.or(
            "USER_URL",
            "http://127.0.0.1:7001",
            "the user service, or several of them, separated by commas",
        );
        let tls = channel::Tls::read(s, &[&user_url]);
        let identity = s.required::<Secret>(
            "SERVICE_KEY",
            "the secret, 32 bytes or more, of this service's own key",
        );
        let identity = s.check("SERVICE_KEY", identity, |secret| {
            ServiceIdentity::new(ABOUT.name, secret.expose())
        });
        let services_allowed = s.required(
            "SERVICE_KEYS_ALLOWED",
            "public keys, separated by commas, of the services that may reserve stock",
        );
        let help = settings.help();
        let config = settings.finish(|| {
            Some(Self {
                listen: listen?,
                serving: serving?,
                mongo_url: mongo_url?,
                database: database?,
                user_url: user_url?,
                tls: tls?,
                identity: identity?,
                services_allowed: services_allowed?,
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
