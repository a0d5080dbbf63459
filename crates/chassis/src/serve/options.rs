//! What a server may be told.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use super::Tls;
use crate::config::{self, Settings};

/// The bounds of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether HTTP/1.1 is spoken too.
    pub http1: bool,
    /// Connections at a time. More wait to be accepted.
    pub max_connections: usize,
    /// Connections at a time from one address. More are closed at once.
    pub max_connections_per_address: usize,
    /// Calls at a time on one connection.
    pub max_streams: u32,
    /// How long a client may take for its first bytes, for the headers of each request in HTTP/1.1, and to answer a ping in
    /// HTTP/2. It gets one whenever it has sent no request for twice that time.
    pub header_timeout: Duration,
    /// How long the body of a request may fail to get on.
    pub body_timeout: Duration,
    /// How long a client may fail to read. It is cut off after between a half and the whole of it.
    pub write_timeout: Duration,
    /// How long a connection may be without calls.
    pub idle_timeout: Duration,
    /// After how long a connection ends, give or take a tenth; never, if there is none.
    pub max_age: Option<Duration>,
    /// With a certificate TLS is spoken, and nothing else.
    pub tls: Option<Tls>,
}

impl Options {
    /// For a server that anybody can reach.
    pub fn edge() -> Self {
        Self {
            http1: true,
            max_connections: 10_000,
            max_connections_per_address: 1_000,
            max_streams: 256,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(300),
            max_age: Some(Duration::from_secs(3600)),
            tls: None,
        }
    }

    /// For a server that only our own programs reach. Each of them makes its calls over few connections, which many callers
    /// share: one of these who does not read must not take the connection from the others.
    pub fn inside() -> Self {
        Self {
            http1: false,
            max_connections_per_address: 10_000,
            max_streams: 1024,
            write_timeout: Duration::from_secs(240),
            max_age: None,
            ..Self::edge()
        }
    }

    /// These, as far as the settings say nothing else.
    pub fn read(self, s: &mut Settings) -> Option<Self> {
        let max_connections = count(
            s,
            "MAX_CONNECTIONS",
            self.max_connections,
            "connections at a time; more wait to be accepted",
        );
        let max_connections_per_address = count(
            s,
            "MAX_CONNECTIONS_PER_ADDRESS",
            self.max_connections_per_address,
            "connections at a time from one address; more are closed",
        );
        let max_streams: Option<NonZeroU32> = s.or(
            "MAX_STREAMS",
            &self.max_streams.to_string(),
            "calls at a time on one connection",
        );
        let header_timeout = time(
            s,
            "HEADER_TIMEOUT",
            self.header_timeout,
            "how long a client may take for its first bytes, for headers in HTTP/1.1, and to answer a ping",
        );
        let body_timeout = time(
            s,
            "BODY_TIMEOUT",
            self.body_timeout,
            "how long the body of a request may fail to get on",
        );
        let write_timeout = time(
            s,
            "WRITE_TIMEOUT",
            self.write_timeout,
            "how long a client may fail to read",
        );
        let idle_timeout = time(
            s,
            "IDLE_TIMEOUT",
            self.idle_timeout,
            "how long a connection may be without calls",
        );
        let max_age: Option<config::Duration> = s.or(
            "MAX_CONNECTION_AGE",
            &seconds(self.max_age.unwrap_or_default()),
            "after how long connections end and are made anew; 0s for never",
        );
        let tls = Tls::read(s, self.http1);
        Some(Self {
            http1: self.http1,
            max_connections: max_connections?,
            max_connections_per_address: max_connections_per_address?,
            max_streams: max_streams?.get(),
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            write_timeout: write_timeout?,
            idle_timeout: idle_timeout?,
            max_age: Some(max_age?.0).filter(|age| !age.is_zero()),
            tls: tls?,
        })
    }
}

fn count(
    s: &mut Settings,
    name: &'static str,
    default: usize,
    meaning: &'static str,
) -> Option<usize> {
    let count: Option<NonZeroUsize> = s.or(name, &default.to_string(), meaning);
    s.check(name, count, |count| match count.get() {
        count @ ..=1_000_000 => Ok(count),
        _ => Err("must be 1 to 1000000"),
    })
}

fn time(
    s: &mut Settings,
    name: &'static str,
    default: Duration,
    meaning: &'static str,
) -> Option<Duration> {
    let time: Option<config::Duration> = s.or(name, &seconds(default), meaning);
    s.check(name, time, |config::Duration(time)| {
        if time.is_zero() {
            Err("must be longer than nothing")
        } else {
            Ok(time)
        }
    })
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Options, config::Wrong> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut settings = Settings::new("gateway", pairs.collect());
        let options = Options::edge().read(&mut settings);
        settings.finish(|| options)
    }

    #[test]
    fn settings_change_what_they_name() {
        let options = read(&[("MAX_CONNECTIONS", "5"), ("MAX_CONNECTION_AGE", "0s")]).unwrap();
        assert_eq!(options.max_connections, 5);
        assert_eq!(options.max_age, None);
        assert_eq!(options.header_timeout, Options::edge().header_timeout);
        assert_eq!(read(&[]).unwrap().max_age, Options::edge().max_age);
    }

    #[test]
    fn nothing_is_without_bounds_or_room() {
        for (name, value) in [
            ("MAX_CONNECTIONS", "0"),
            ("MAX_CONNECTIONS", "18446744073709551615"),
            ("MAX_STREAMS", "0"),
            ("HEADER_TIMEOUT", "0s"),
            ("WRITE_TIMEOUT", "0ms"),
        ] {
            assert_eq!(
                read(&[(name, value)]).unwrap_err().0.len(),
                1,
                "{name}={value}"
            );
        }
    }
}
