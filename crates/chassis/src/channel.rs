//! Connections to other services.

use std::{fs, net::SocketAddr, time::Duration};

use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tower::service_fn;

use crate::config::{ServiceUrls, Settings};

/// How services at `https://` are verified, and what they are shown.
#[derive(Clone, Default)]
pub struct Tls(Option<ClientTlsConfig>);

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
            let file = |path| fs::read(path).map_err(|error| format!("{path}: {error}"));
            let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(file(&ca)?));
            if !(certificate.is_empty() && key.is_empty()) {
                tls = tls.identity(Identity::from_pem(file(&certificate)?, file(&key)?));
            }
            // What is wrong with the files shows here, and not at the first call.
            let tried = Endpoint::from_static("https://localhost").tls_config(tls.clone());
            tried.map_err(|error| orderflow_contract::status::chain(&error))?;
            Ok(Self(Some(tls)))
        })
    }
}

fn is_https(url: &Uri) -> bool {
    url.scheme() == Some(&Scheme::HTTPS)
}

/// How a service is connected to.
pub fn endpoint(url: &Uri, tls: &Tls) -> Endpoint {
    let mut endpoint = Endpoint::from(url.clone());
    if let Tls(Some(tls)) = tls
        && is_https(url)
    {
        let secured = endpoint.tls_config(tls.clone());
        endpoint = secured.expect("it has been tried");
    }
    endpoint
        .connect_timeout(Duration::from_secs(2))
        // All calls share the connection: an answer that nobody reads must not take the window of all others with it.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(256 * 1024 * 1024)
        // Without these a peer that vanished without a word would be waited for until the kernel gives up.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
}

/// A connection to the one server at `address`, whatever else the endpoint's name may mean. It is made when first used, made again
/// when lost, and given up when the other side stays silent.
pub fn lazy(endpoint: Endpoint, address: SocketAddr) -> Channel {
    endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    }))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    use super::*;

    /// On the clock of the runtime, which goes on by itself while nothing happens.
    #[tokio::test]
    async fn a_connection_that_fell_silent_is_given_up_within_30_s() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connected, is_connected) = tokio::sync::oneshot::channel();
        let silent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).await.unwrap();
            connected.send(()).unwrap();
            // Settings, and not a word more.
            stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
        });
        let url = format!("http://{address}").parse().unwrap();
        let mut client = HealthClient::new(lazy(endpoint(&url, &Tls::default()), address));
        let call = tokio::spawn(async move { client.check(HealthCheckRequest::default()).await });
        // While the connection is made the clock goes as it should.
        is_connected.await.unwrap();
        tokio::time::pause();
        let given_up = timeout(Duration::from_secs(30), call).await;
        given_up
            .expect("it is still waited for")
            .unwrap()
            .unwrap_err();
        silent.await.unwrap();
    }
}
