//! Connections to other services.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use http::{Uri, uri::Scheme};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, crypto::aws_lc_rs, pki_types::InvalidDnsNameError, pki_types::ServerName,
    },
};
use tokio_util::either::Either;

use crate::{
    config::{ServiceUrls, Settings},
    serve::{
        self,
        tls::{authorities, certificates, key},
    },
};

/// How services at `https://` are verified, and what they are shown.
#[derive(Clone, Default)]
pub struct Tls(Option<TlsConnector>);

/// The one protocol that is spoken.
const H2: &[u8] = b"h2";

/// The bytes of a connection.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl Tls {
    /// From the settings; an authority must be there if one of these services has TLS.
    pub fn read(s: &mut Settings, services: &[&Option<ServiceUrls>]) -> Option<Self> {
        let ca: Option<String> = s.or(
            "TLS_CA",
            "",
            "a PEM file with the authorities that certify services at https://",
        );
        let certificate: Option<String> = s.or(
            "TLS_CLIENT_CERT",
            "",
            "a PEM file with the certificate chain to show to them",
        );
        let key: Option<String> = s.or(
            "TLS_CLIENT_KEY",
            "",
            "a PEM file with the key of this certificate",
        );
        let (certificate, key) = (certificate?, key?);
        let services = services.iter().filter_map(|service| service.as_ref());
        let needed = services.flat_map(|ServiceUrls(urls)| urls).any(is_https);
        s.check("TLS_CA", ca, |ca| {
            if !needed {
                return Ok(Self::default());
            }
            if ca.is_empty() {
                return Err("is missing, and a service is at https://".to_owned());
            }
            let shown = match (certificate.is_empty(), key.is_empty()) {
                (true, true) => None,
                (false, false) => Some((certificate.as_ref(), key.as_ref())),
                _ => {
                    return Err("takes both TLS_CLIENT_CERT and TLS_CLIENT_KEY, or none".to_owned());
                }
            };
            let client = client(ca.as_ref(), shown);
            let client = client.map_err(|error| orderflow_contract::status::chain(&error))?;
            Ok(Self(Some(Arc::new(client).into())))
        })
    }

    /// Connects to the one server at `address`, whatever else the name in `url` may mean. Over TLS it must be certified for that
    /// name.
    pub async fn connect(&self, url: &Uri, address: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(address).await?;
        // Calls are small: waiting to send more at once only makes them late.
        stream.set_nodelay(true)?;
        if !is_https(url) {
            return Ok(Either::Left(stream));
        }
        let connector = self.0.as_ref().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "nobody is known who certifies it",
            )
        })?;
        let stream = connector.connect(name(url)?, stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(H2) {
            return Err(io::Error::other("it does not speak HTTP/2"));
        }
        Ok(Either::Right(Box::new(stream)))
    }
}

fn client(ca: &Path, shown: Option<(&Path, &Path)>) -> Result<ClientConfig, serve::Error> {
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(ca)?);
    let mut client = match shown {
        Some((chain, key_path)) => {
            client.with_client_auth_cert(certificates(chain)?, key(key_path)?)?
        }
        None => client.with_no_client_auth(),
    };
    client.alpn_protocols = vec![H2.to_vec()];
    Ok(client)
}

fn name(url: &Uri) -> io::Result<ServerName<'static>> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned());
    name.map_err(|error: InvalidDnsNameError| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn is_https(url: &Uri) -> bool {
    url.scheme() == Some(&Scheme::HTTPS)
}
