use std::net::SocketAddr;

use http::Uri;
use orderflow_chassis::{
    config::{Secret, ServiceUrl, Settings, Wrong},
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
    pub user_url: Uri,
    /// Where the catalog is, for its stock.
    pub catalog_url: Uri,
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
        let user_url: Option<ServiceUrl> =
            s.or("USER_URL", "http://127.0.0.1:7001", "the user service");
        let catalog_url: Option<ServiceUrl> = s.or(
            "CATALOG_URL",
            "http://127.0.0.1:7002",
            "the catalog service",
        );
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
                user_url: user_url?.0,
                catalog_url: catalog_url?.0,
                identity: identity?,
            })
        });
        (help, config)
    }

    fn listen(&self) -> SocketAddr {
        self.listen
    }
}
