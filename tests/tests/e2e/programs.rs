//! The programs as processes of their own.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use orderflow_chassis::health;
use orderflow_cli::{processes, secrets};
use orderflow_contract::Id;
use orderflow_proto::order::v1::ListOrdersRequest;
use orderflow_testkit::{Person, Refusal, eventually, mongo_url};
use tokio::process::{Child, Command};
use tonic::{Code, transport::Endpoint};

use crate::two_replicas::until_known;

/// One program, killed when the test ends.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

/// An address that nobody has. Nor does a connection, or a mongod, get it by chance while nobody listens there: the ports that are
/// given to them are higher.
pub(crate) fn free_address() -> SocketAddr {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 10_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another test binary begins elsewhere.
    let begin = std::process::id().wrapping_mul(997);
    loop {
        let n = begin.wrapping_add(NEXT.fetch_add(1, Relaxed)) % PORTS;
        let port = u16::try_from(FIRST + n).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

pub(crate) fn command(program: &str, settings: &HashMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    command
        .env_clear()
        // Nothing but what the test says: no .env of a developer's.
        .current_dir(std::env::temp_dir())
        .env(processes::PROGRAM, program)
        .envs(settings)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Settings for all four, each at an address of its own.
pub(crate) async fn settings() -> HashMap<String, String> {
    let mut settings: HashMap<_, _> = secrets::generate()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    settings.insert("MONGO_URL".to_owned(), mongo_url().await);
    settings.insert("BCRYPT_COST".to_owned(), "10".to_owned());
    let run = Id::random();
    for program in ["USER", "CATALOG", "ORDER", "GATEWAY"] {
        let address = free_address();
        settings.insert(format!("{program}_LISTEN"), address.to_string());
        settings.insert(format!("{program}_URL"), format!("http://{address}"));
        settings.insert(
            format!("{program}_DATABASE"),
            format!("test_{run}_{program}"),
        );
    }
    settings
}

pub(crate) fn start(program: &str, settings: &HashMap<String, String>) -> Program {
    let address = settings[&format!("{}_LISTEN", program.to_uppercase())]
        .parse()
        .unwrap();
    let mut command = command(program, settings);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Program {
        child: command.spawn().unwrap(),
        address,
    }
}

pub(crate) async fn is_ready(program: &Program) -> Option<()> {
    health::ask(program.address).await.ok()
}

/// `kill -TERM` and its like.
pub(crate) async fn signal(program: &Program, signal: &str) {
    let pid = program.child.id().unwrap().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().await;
    assert!(sent.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_are_one_system_and_survive_one_anothers_absence() {
    let settings = settings().await;
    // In the wrong order: each waits for what it needs.
    let gateway = start("gateway", &settings);
    let _order = start("order", &settings);
    let mut catalog = start("catalog", &settings);
    let _user = start("user", &settings);
    eventually("ready", async || is_ready(&gateway).await).await;

    let channel = Endpoint::from_shared(format!("http://{}", gateway.address)).unwrap();
    let channel = channel.connect().await.unwrap();
    let ada = Person::register(channel, "ada").await;
    let product = ada.product().create().await;
    let first = ada
        .order()
        .line(&product, 1)
        .request_id("a")
        .place()
        .await
        .unwrap();

    // Without the catalog orders cannot be placed, but read; and the gateway says which service is missing.
    catalog.child.kill().await.unwrap();
    let refusal = Refusal::of(ada.order().line(&product, 1).request_id("b").place().await);
    assert_eq!(refusal.code, Code::Unavailable);
    let listed = ada
        .orders()
        .list_orders(ListOrdersRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.into_inner().orders, [first.clone()]);
    eventually("not ready", async || {
        is_ready(&gateway).await.is_none().then_some(())
    })
    .await;

    let _catalog = start("catalog", &settings);
    eventually("ready again", async || is_ready(&gateway).await).await;
    // The order service may see it a moment later than the gateway does.
    let place = async || ada.order().line(&product, 1).request_id("b").place().await;
    let second = until_known(place).await;
    assert_ne!(second.id, first.id);
    let again = ada
        .order()
        .line(&product, 1)
        .request_id("a")
        .place()
        .await
        .unwrap();
    assert_eq!(again.id, first.id);
}

#[tokio::test]
async fn without_mongodb_a_service_waits_and_says_so() {
    let mut settings = settings().await;
    let nowhere = format!("mongodb://{}/?directConnection=true", free_address());
    settings.insert("ORDER_MONGO_URL".to_owned(), nowhere);
    let _user = start("user", &settings);
    let mut order = start("order", &settings);
    // It listens, and is not ready.
    eventually("listening", async || {
        let problem = health::ask(order.address).await.unwrap_err();
        problem.contains("NOT_SERVING").then_some(())
    })
    .await;
    assert!(order.child.try_wait().unwrap().is_none(), "it has ended");
}

#[tokio::test]
async fn sigterm_ends_a_program_in_good_order() {
    let settings = settings().await;
    let mut user = start("user", &settings);
    eventually("ready", async || is_ready(&user).await).await;
    // A connection that says nothing must not hold it up.
    let _silent = tokio::net::TcpStream::connect(user.address).await.unwrap();
    signal(&user, "-TERM").await;
    let ended = tokio::time::timeout(Duration::from_secs(15), user.child.wait()).await;
    assert!(ended.expect("it still runs").unwrap().success());
}

#[tokio::test]
async fn all_wrong_settings_are_reported_at_once_and_no_secret_with_them() {
    for program in ["user", "catalog", "order", "gateway"] {
        let wrong = HashMap::from([
            ("LISTEN".to_owned(), "everywhere".to_owned()),
            ("SECRET_KEY".to_owned(), "hunter2".to_owned()),
            ("SERVICE_KEY".to_owned(), "hunter2".to_owned()),
        ]);
        let output = command(program, &wrong).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{program}");
        let said = String::from_utf8(output.stderr).unwrap();
        let (needs_mongo, key) = match program {
            "user" => (true, "SECRET_KEY"),
            "gateway" => (false, "SERVICE_KEY"),
            _ => (true, "SERVICE_KEY"),
        };
        assert!(said.contains("LISTEN:"), "{program}: {said}");
        assert!(
            said.contains(&format!("{key}: must be a random secret")),
            "{program}: {said}"
        );
        assert_eq!(
            said.contains("MONGO_URL is missing"),
            needs_mongo,
            "{program}: {said}"
        );
        assert!(!said.contains("hunter2"), "{program}: {said}");
    }
}

#[tokio::test]
async fn a_password_in_mongo_url_is_never_printed() {
    let mut settings = settings().await;
    for url in [
        "mongodb://root:hunter2@127.0.0.1:1/?nonsense=%",
        "hunter2://x",
    ] {
        settings.insert("MONGO_URL".to_owned(), url.to_owned());
        let output = command("order", &settings).output().await.unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("MONGO_URL"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn help_describes_every_setting() {
    for (program, expected) in [
        (
            "user",
            [
                "LISTEN",
                "MONGO_URL",
                "DATABASE",
                "SECRET_KEY",
                "ACCESS_TOKEN_TTL",
            ],
        ),
        (
            "catalog",
            [
                "LISTEN",
                "MONGO_URL",
                "DATABASE",
                "USER_URL",
                "SERVICE_KEYS_ALLOWED",
            ],
        ),
        (
            "order",
            [
                "LISTEN",
                "MONGO_URL",
                "USER_URL",
                "CATALOG_URL",
                "SERVICE_KEY",
            ],
        ),
        (
            "gateway",
            [
                "LISTEN",
                "USER_URL",
                "CATALOG_URL",
                "ORDER_URL",
                "SERVICE_KEY",
            ],
        ),
    ] {
        let output = command(program, &HashMap::new())
            .arg("--help")
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{program}");
        let help = String::from_utf8(output.stdout).unwrap();
        for setting in expected {
            assert!(help.contains(setting), "{program}: {setting}: {help}");
        }
    }
}
