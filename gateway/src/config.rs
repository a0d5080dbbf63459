use std::{net::SocketAddr, path::PathBuf};

use orderflow_chassis::{
    channel,
    config::{Secret, ServiceUrls, Settings, Wrong},
    program::Configuration,
    serve,
};
use orderflow_identity::service::ServiceIdentity;

use crate::{cors::Origins, rate::Limits};

/// What the gateway has to be told.
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The bounds of the server.
    pub serving: serve::Options,
    /// The replicas of the user service.
    pub user_url: ServiceUrls,
    /// The replicas of the catalog service.
    pub catalog_url: ServiceUrls,
    /// The replicas of the order service.
    pub order_url: ServiceUrls,
    /// For services at `https://`.
    pub tls: channel::Tls,
    /// As whom the gateway asks the user service for its keys. It vouches for no caller: they bring tokens of their own.
    pub service: ServiceIdentity,
    /// The sites whose pages may call.
    pub cors_origins: Origins,
    /// Where the shop is, once it has been built.
    pub shop_dir: PathBuf,
    /// How often clients may call.
    pub limits: Limits,
}

impl Configuration for Config {
    fn read(mut s: Settings) -> (String, Result<Self, Wrong>) {
        let listen = s.or("LISTEN", "127.0.0.1:8080", "address and port to listen on");
        let serving = serve::Options::edge().read(&mut s);
        let user = s.or(
            "USER_URL",
            "http://127.0.0.1:7001",
            "the user service, or several of them, separated by commas",
        );
        let catalog = s.or(
            "CATALOG_URL",
            "http://127.0.0.1:7002",
            "the catalog service, or several of them, separated by commas",
        );
        let order = s.or(
            "ORDER_URL",
            "http://127.0.0.1:7003",
            "the order service, or several of them, separated by commas",
        );
        let tls = channel::Tls::read(&mut s, &[&user, &catalog, &order]);
        let key: Option<Secret> = s.required(
            "SERVICE_KEY",
            "the secret by which the services know the gateway",
        );
        let service = s.check("SERVICE_KEY", key, |key| {
            ServiceIdentity::new("gateway", key.expose())
        });
        let cors_origins = s.or(
            "CORS_ORIGINS",
            "",
            "sites whose pages may call, separated by commas: https://shop.example",
        );
        let shop_dir = s.or(
            "SHOP_DIR",
            "clients/typescript/shop/dist",
            "the built shop, to be served at /shop; may be missing",
        );
        let limits = limits(&mut s);
        let help = s.help();
        let config = s.finish(|| {
            Some(Self {
                listen: listen?,
                serving: serving?,
                user_url: user?,
                catalog_url: catalog?,
                order_url: order?,
                tls: tls?,
                service: service?,
                cors_origins: cors_origins?,
                shop_dir: shop_dir?,
                limits: limits?,
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

fn limits(s: &mut Settings) -> Option<Limits> {
    let per_address = s.or(
        "RATE_PER_ADDRESS",
        // One address may be a whole company, or the load balancer in front of everybody.
        "off",
        "requests of one address: 20/s, 6000/m, off",
    );
    let per_user = s.or("RATE_PER_USER", "60000/m", "calls of one user");
    let sign_ins = s.or(
        "RATE_OF_SIGN_INS",
        "300/m",
        "registrations and logins of one address",
    );
    let trusted_proxies = s.or(
        "TRUSTED_PROXIES",
        "",
        "addresses or networks, separated by commas, whose x-forwarded-for names the client",
    );
    Some(Limits {
        per_address: per_address?,
        per_user: per_user?,
        sign_ins: sign_ins?,
        trusted_proxies: trusted_proxies?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn read(pairs: &[(&str, &str)]) -> Result<Config, Wrong> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(Settings::new("gateway", pairs.collect())).1
    }

    #[test]
    fn a_key_is_all_it_takes() {
        let config = read(&[("SERVICE_KEY", KEY)]).ok().unwrap();
        assert_eq!(config.listen(), "127.0.0.1:8080".parse().unwrap());
        assert_eq!(config.order_url.0, ["http://127.0.0.1:7003"]);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let Wrong(wrong) = read(&[
            ("USER_URL", "127.0.0.1:7001"),
            ("CATALOG_URL", "http://catalog:7002/api"),
            ("ORDER_URL", "ftp://order:7003"),
            ("SERVICE_KEY", "short"),
            ("CORS_ORIGINS", "*"),
            ("RATE_PER_ADDRESS", "5"),
            ("RATE_PER_USER", "0/s"),
            ("RATE_OF_SIGN_INS", "many"),
            ("TRUSTED_PROXIES", "everybody"),
        ])
        .err()
        .unwrap();
        assert_eq!(wrong.len(), 9, "{wrong:?}");
    }
}
