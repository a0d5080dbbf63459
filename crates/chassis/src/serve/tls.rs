//! TLS of a server.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio::{io::AsyncRead, io::AsyncWrite, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream as ClientStream,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject},
        server::{VerifierBuilderError, WebPkiClientVerifier},
    },
    server::TlsStream,
};

use crate::config::Settings;

/// The certificate of a server, and whose clients it takes: from files that can be read again while it serves.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Files>,
    current: Arc<RwLock<TlsAcceptor>>,
}

struct Files {
    certificates: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    http1: bool,
}

/// Why files are of no use. Never what is in them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing, or is not what it should be.
    #[error("{} cannot be used", .0.display())]
    File(PathBuf, #[source] pem::Error),
    /// There is no certificate in it.
    #[error("{} has no certificate", .0.display())]
    Empty(PathBuf),
    /// A certificate and its key do not belong together, or are of a kind that is not supported.
    #[error("the certificate cannot be used")]
    Certificate(#[from] rustls::Error),
    /// Clients cannot be verified by these authorities.
    #[error("the certificate authority cannot be used")]
    Authority(#[from] VerifierBuilderError),
}

impl Tls {
    /// `Some(None)` if the settings name no certificate.
    pub(super) fn read(s: &mut Settings, http1: bool) -> Option<Option<Self>> {
        let certificates: Option<String> = s.or(
            "TLS_CERT",
            "",
            "a PEM file with the server's certificate chain: with it TLS is spoken, and nothing else; read again on SIGHUP",
        );
        let key: Option<String> = s.or("TLS_KEY", "", "a PEM file with the certificate's key");
        let client_ca: Option<String> = s.or(
            "TLS_CLIENT_CA",
            "",
            "a PEM file with the authorities whose certificates clients must show",
        );
        let (certificates, key, client_ca) = (certificates?, key?, client_ca?);
        if certificates.is_empty() && key.is_empty() && client_ca.is_empty() {
            return Some(None);
        }
        let make = |certificates: String| {
            if certificates.is_empty() || key.is_empty() {
                return Err("TLS takes both TLS_CERT and TLS_KEY".to_owned());
            }
            let files = Files {
                certificates: certificates.into(),
                key: key.into(),
                client_ca: Some(client_ca)
                    .filter(|path| !path.is_empty())
                    .map(PathBuf::from),
                http1,
            };
            let current = files
                .acceptor()
                .map_err(|error| orderflow_contract::status::chain(&error))?;
            Ok(Self {
                files: Arc::new(files),
                current: Arc::new(RwLock::new(current)),
            })
        };
        s.check("TLS_CERT", Some(certificates), make).map(Some)
    }

    /// Reads the files again. If they are of no use, what was read before stays. Connections keep what they began with.
    pub fn reload(&self) -> Result<(), Error> {
        let new = self.files.acceptor()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let current = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        current.accept(stream).await
    }

    /// Connects to this very server, as a client that it takes if its authority signs both kinds of certificates.
    pub(crate) async fn connect<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: T,
    ) -> io::Result<ClientStream<T>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
        let (certificates, key) = self.files.identity().map_err(io::Error::other)?;
        let mut client = client
            .with_client_auth_cert(certificates, key)
            .map_err(io::Error::other)?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").expect("it is a name");
        TlsConnector::from(Arc::new(client)).connect(name, io).await
    }
}

impl Files {
    fn acceptor(&self) -> Result<TlsAcceptor, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let server = match &self.client_ca {
            None => server.with_no_client_auth(),
            Some(path) => {
                let authorities = Arc::new(authorities(path)?);
                let clients = WebPkiClientVerifier::builder_with_provider(authorities, provider);
                server.with_client_cert_verifier(clients.build()?)
            }
        };
        let (certificates, key) = self.identity()?;
        let mut server = server.with_single_cert(certificates, key)?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        if self.http1 {
            server.alpn_protocols.push(b"http/1.1".to_vec());
        }
        Ok(Arc::new(server).into())
    }

    fn identity(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        Ok((certificates(&self.certificates)?, key(&self.key)?))
    }
}

pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| Error::File(path.to_owned(), error))
}

pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut authorities = RootCertStore::empty();
    for authority in certificates(path)? {
        authorities.add(authority)?;
    }
    Ok(authorities)
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let file = |error| Error::File(path.to_owned(), error);
    let certificates = CertificateDer::pem_file_iter(path).map_err(file)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(file)?;
    if certificates.is_empty() {
        return Err(Error::Empty(path.to_owned()));
    }
    Ok(certificates)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls")
            .field(&self.files.certificates)
            .finish()
    }
}

/// Takes any server for the one that is meant. It is for asking a program at its own address for its health, where nothing
/// secret is said; and its certificate names the host that others know it by.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
