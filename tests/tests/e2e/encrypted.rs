//! The programs over TLS: the edge with a certificate, the services among one another with certificates on both sides.

use std::{collections::HashMap, fs, path::Path};

use orderflow_testkit::{Person, eventually};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::programs::{Program, command, is_ready, settings, signal, start};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate for this machine and its key.
fn certify(authority: &Authority, certificate: &Path, key: &Path) {
    let pair = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let params = CertificateParams::new(names).unwrap();
    let certified = params.signed_by(&pair, authority).unwrap();
    fs::write(certificate, certified.pem()).unwrap();
    fs::write(key, pair.serialize_pem()).unwrap();
}

/// Settings under which everything is encrypted, and everybody shows a certificate but the gateway's clients.
async fn encrypted(files: &TempDir, authority: &Authority) -> HashMap<String, String> {
    let mut settings = settings().await;
    let path = |name: &str| files.path().join(name);
    fs::write(path("ca.pem"), authority.pem()).unwrap();
    certify(authority, &path("service.pem"), &path("service.key"));
    certify(authority, &path("edge.pem"), &path("edge.key"));
    let mut set = |name: &str, file: &str| {
        settings.insert(name.to_owned(), path(file).to_str().unwrap().to_owned());
    };
    set("TLS_CA", "ca.pem");
    set("TLS_CLIENT_CERT", "service.pem");
    set("TLS_CLIENT_KEY", "service.key");
    for program in ["USER", "CATALOG", "ORDER"] {
        set(&format!("{program}_TLS_CERT"), "service.pem");
        set(&format!("{program}_TLS_KEY"), "service.key");
        set(&format!("{program}_TLS_CLIENT_CA"), "ca.pem");
    }
    set("GATEWAY_TLS_CERT", "edge.pem");
    set("GATEWAY_TLS_KEY", "edge.key");
    for program in ["USER", "CATALOG", "ORDER"] {
        let url = settings.get_mut(&format!("{program}_URL")).unwrap();
        *url = url.replace("http://", "https://");
    }
    settings
}

/// As an operator asks.
async fn is_healthy(program: &str, settings: &HashMap<String, String>) -> Option<()> {
    let output = command(program, settings)
        .arg("health")
        .output()
        .await
        .unwrap();
    output.status.success().then_some(())
}

async fn connect(program: &Program, authority: &Authority) -> Result<Channel, Error> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
    let endpoint = Endpoint::from_shared(format!("https://{}", program.address)).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_and_strangers_are_kept_out() {
    let files = TempDir::new().unwrap();
    let (authority, stranger) = (authority(), authority());
    let settings = encrypted(&files, &authority).await;
    let gateway = start("gateway", &settings);
    let order = start("order", &settings);
    let _catalog = start("catalog", &settings);
    let _user = start("user", &settings);
    eventually("ready", async || is_healthy("gateway", &settings).await).await;
    is_healthy("order", &settings)
        .await
        .expect("with a certificate of its own");

    let ada = Person::register(connect(&gateway, &authority).await.unwrap(), "ada").await;
    let product = ada.product().create().await;
    ada.order().line(&product, 1).place().await.unwrap();

    assert!(connect(&gateway, &stranger).await.is_err());
    assert!(is_ready(&gateway).await.is_none(), "in the clear");
    // Without a certificate. In TLS 1.3 the client learns of it with the first answer.
    if let Ok(channel) = connect(&order, &authority).await {
        let mut health = HealthClient::new(channel);
        assert!(health.check(HealthCheckRequest::default()).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_counts_from_sighup_on_and_a_bad_one_never() {
    let files = TempDir::new().unwrap();
    let (authority, next) = (authority(), authority());
    let settings = encrypted(&files, &authority).await;
    let gateway = start("gateway", &settings);
    eventually("listening", async || {
        TcpStream::connect(gateway.address).await.ok()
    })
    .await;
    connect(&gateway, &authority).await.unwrap();

    let (certificate, key) = (files.path().join("edge.pem"), files.path().join("edge.key"));
    certify(&next, &certificate, &key);
    connect(&gateway, &authority).await.expect("not yet");
    signal(&gateway, "-HUP").await;
    eventually("the new one", async || connect(&gateway, &next).await.ok()).await;

    fs::write(&key, "nonsense").unwrap();
    signal(&gateway, "-HUP").await;
    // No sooner than the signal has been dealt with another is.
    certify(&authority, &certificate, &files.path().join("other.key"));
    signal(&gateway, "-HUP").await;
    connect(&gateway, &next).await.unwrap();
    certify(&authority, &certificate, &key);
    signal(&gateway, "-HUP").await;
    eventually("the last one", async || {
        connect(&gateway, &authority).await.ok()
    })
    .await;
}

#[tokio::test]
async fn wrong_files_are_reported_at_the_start() {
    let files = TempDir::new().unwrap();
    let authority = authority();
    let settings = encrypted(&files, &authority).await;
    let wrong = |name: &str, value: &str| {
        let mut settings = settings.clone();
        settings.insert(name.to_owned(), value.to_owned());
        async move {
            let output = command("gateway", &settings).output().await.unwrap();
            assert_eq!(output.status.code(), Some(2));
            String::from_utf8(output.stderr).unwrap()
        }
    };
    let edge_key = files.path().join("edge.key").to_str().unwrap().to_owned();
    let service_key = files
        .path()
        .join("service.key")
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        wrong("GATEWAY_TLS_CERT", "/nowhere")
            .await
            .contains("/nowhere cannot be used")
    );
    assert!(
        wrong("GATEWAY_TLS_CERT", &edge_key)
            .await
            .contains("has no certificate")
    );
    assert!(
        wrong("GATEWAY_TLS_KEY", &service_key)
            .await
            .contains("TLS_CERT: the certificate cannot be used")
    );
    assert!(
        wrong("GATEWAY_TLS_KEY", "")
            .await
            .contains("both TLS_CERT and TLS_KEY")
    );
    assert!(wrong("TLS_CA", "").await.contains("TLS_CA: is missing"));
    // Half of what is shown to others would be nothing, and be noticed at the first call.
    assert!(wrong("TLS_CLIENT_KEY", "").await.contains("or none"));
}
