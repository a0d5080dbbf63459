//! Where a call comes from.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use http::{Extensions, HeaderMap};
use ipnet::IpNet;
use tonic::transport::server::TcpConnectInfo;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies that are believed when they say for whom they call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl FromStr for Proxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = |text: &str| {
            let address = text
                .parse()
                .map(|address: IpAddr| address.to_canonical().into());
            address.or_else(|_| text.parse()).map_err(|_| {
                format!("{text:?} is neither an address nor a network like 10.0.0.0/8")
            })
        };
        let networks = text.split(',').map(str::trim).filter(|one| !one.is_empty());
        networks.map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl Proxies {
    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client behind a peer. Each proxy adds whom it was called by at the end of `x-forwarded-for`, so the list is read
    /// from there, and only as far as those who wrote it are trusted: what comes before may be anybody's invention.
    ///
    /// The header `forwarded` is not read. A proxy that writes one of the two passes the other on as it came from the client.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        while self.trust(client) {
            match hops.next().and_then(address) {
                Some(hop) => client = hop,
                None => break,
            }
        }
        client
    }
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse();
    let address = address.or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()));
    Some(address.ok()?.to_canonical())
}

/// Who is at the other end of the connection.
pub(crate) fn peer(extensions: &Extensions) -> IpAddr {
    let info = extensions.get::<TcpConnectInfo>();
    let address = info.and_then(TcpConnectInfo::remote_addr);
    address.map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &str, peer: &str, forwarded_for: &[&str]) -> String {
        let proxies: Proxies = proxies.parse().unwrap();
        let lines = forwarded_for
            .iter()
            .map(|line| (FORWARDED_FOR.parse().unwrap(), line.parse().unwrap()));
        proxies
            .client(peer.parse().unwrap(), &lines.collect())
            .to_string()
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        for right in ["", "10.0.0.1", "10.0.0.0/8, ::1,fd00::/8"] {
            assert!(right.parse::<Proxies>().is_ok(), "{right}");
        }
        for wrong in ["proxy", "10.0.0.0/33", "10.0.0.1:80", "*"] {
            let problem = format!("::1,{wrong}").parse::<Proxies>().unwrap_err();
            assert!(problem.contains(&format!("{wrong:?}")), "{problem}");
        }
    }

    #[test]
    fn nobody_is_believed_by_default() {
        assert_eq!(client("", "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(
            client("10.0.0.0/8", "192.0.2.1", &["198.51.100.7"]),
            "192.0.2.1"
        );
        assert_eq!(client("", "::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxy_is_believed_about_its_client_and_no_further() {
        let behind = |lines: &[&str]| client("10.0.0.0/8", "10.0.0.1", lines);
        assert_eq!(behind(&[]), "10.0.0.1");
        assert_eq!(behind(&["198.51.100.7"]), "198.51.100.7");
        // Made up by the client, and passed on by the proxy with the truth behind it.
        assert_eq!(behind(&["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(behind(&["203.0.113.9", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(behind(&["10.9.9.9, 198.51.100.7"]), "198.51.100.7");
        // Two proxies, one behind the other.
        assert_eq!(behind(&["198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        // What cannot be read comes from nobody.
        assert_eq!(behind(&["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(behind(&["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(behind(&["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(behind(&["[2001:db8::1]"]), "2001:db8::1");
    }
}
