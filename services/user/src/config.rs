use std::{net::SocketAddr, time::Duration};

use orderflow_chassis::{
    config::{self, Secret, Settings, Wrong},
    program::{About, Configuration},
    serve,
};
use orderflow_identity::service::AllowedServices;

use crate::SigningKeys;

/// What this program is.
pub const ABOUT: About = About {
    name: "user",
    binary: "orderflow-user",
    summary: "OrderFlow's user service: accounts, logins and the keys that users' tokens are signed with",
};

/// The service's whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The bounds of the server.
    pub serving: serve::Options,
    /// Where MongoDB is; it may hold a password.
    pub mongo_url: Secret,
    /// The database in it that is this service's own.
    pub database: String,
    /// What users' tokens are signed with.
    pub keys: SigningKeys,
    /// Which services may ask for the public keys.
    pub services_allowed: AllowedServices,
    /// How long a token counts.
    pub access_token_ttl: Duration,
    /// The binary logarithm of bcrypt's rounds. [`Configuration::read`] takes 10 to 15 only; tests may set less.
    pub bcrypt_cost: u32,
}

/// The database that this service owns.
pub(crate) fn database(s: &mut Settings) -> Option<String> {
    s.or("DATABASE", "orderflow_user", "the database to use")
}

impl Configuration for Config {
    fn read(mut s: Settings) -> (String, Result<Self, Wrong>) {
        let listen = s.or("LISTEN", "127.0.0.1:7001", "the address to listen on");
        let serving = serve::Options::inside().read(&mut s);
        let mongo_url = s.mongo_url();
        let database = database(&mut s);
        let keys = s.required(
            "SECRET_KEY",
            "random secrets of 32 bytes or more, separated by commas: the first signs users' tokens, all are accepted",
        );
        let services_allowed = s.or(
            "SERVICE_KEYS_ALLOWED",
            "",
            "public keys of the services that may call, separated by commas",
        );
        let ttl = s.or("ACCESS_TOKEN_TTL", "60m", "how long a token counts, 1s–24h");
        let ttl = s.check("ACCESS_TOKEN_TTL", ttl, lifetime);
        let cost = s.or("BCRYPT_COST", "12", "what a password hash costs, 10–15");
        let cost = s.check("BCRYPT_COST", cost, bcrypt_cost);
        let help = s.help();
        let config = s.finish(|| {
            Some(Self {
                listen: listen?,
                serving: serving?,
                mongo_url: mongo_url?,
                database: database?,
                keys: keys?,
                services_allowed: services_allowed?,
                access_token_ttl: ttl?,
                bcrypt_cost: cost?,
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

/// A token cannot be taken back, so it counts for a day at most.
fn lifetime(config::Duration(lifetime): config::Duration) -> Result<Duration, &'static str> {
    match lifetime.as_secs() {
        1..=86_400 => Ok(lifetime),
        _ => Err("must be 1s to 24h"),
    }
}

/// Less than 10 is guessed too fast, more than 15 takes seconds a login.
fn bcrypt_cost(cost: u32) -> Result<u32, &'static str> {
    match cost {
        10..=15 => Ok(cost),
        _ => Err("must be 10 to 15"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(pairs: &[(&str, &str)]) -> Result<Config, Wrong> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(Settings::new("user", pairs.collect())).1
    }

    #[test]
    fn two_settings_are_enough() {
        let config = read(&[("MONGO_URL", "mongodb://db"), ("SECRET_KEY", SECRET)]).unwrap();
        assert_eq!(config.listen.port(), 7001);
        assert_eq!(config.database, "orderflow_user");
        assert_eq!(config.access_token_ttl, Duration::from_secs(3600));
        assert_eq!(config.bcrypt_cost, 12);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let Wrong(wrong) = read(&[
            ("LISTEN", "nowhere"),
            ("SECRET_KEY", &format!("{SECRET},changeme")),
            ("SERVICE_KEYS_ALLOWED", "x"),
            ("ACCESS_TOKEN_TTL", "0s"),
            ("BCRYPT_COST", "9"),
        ])
        .unwrap_err();
        let expected = [
            "LISTEN",
            "MONGO_URL",
            "SECRET_KEY",
            "SERVICE_KEYS_ALLOWED",
            "ACCESS_TOKEN_TTL",
            "BCRYPT_COST",
        ];
        assert_eq!(wrong.len(), expected.len(), "{wrong:?}");
        for (line, name) in wrong.iter().zip(expected) {
            assert!(line.starts_with(name), "{line}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let url = "mongodb://ada:hunter2@db";
        let config = read(&[("MONGO_URL", url), ("SECRET_KEY", SECRET)]).unwrap();
        let printed = format!("{config:?}");
        assert!(!printed.contains("hunter2") && !printed.contains(SECRET));
    }
}
