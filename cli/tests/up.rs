//! `orderflow up`, as a newcomer runs it.

#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// A directory that is gone when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("orderflow-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running program, killed if the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn up(directory: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orderflow"));
    command
        .args(["up", "--listen", listen])
        .current_dir(directory)
        .env_remove("MONGO_URL")
        .env_remove("MONGODB_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts it and reads what it says until the table is complete.
fn start(directory: &Path) -> (Running, String) {
    let mut child = up(directory, "127.0.0.1:0").spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let running = Running(child);
    while !said.contains("Ctrl-C") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended: {said}");
    }
    (running, said)
}

fn failed(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn secrets(directory: &Path) -> String {
    let path = directory.join(".orderflow/secrets.env");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn it_starts_stops_and_starts_again_with_what_it_had() {
    let directory = Directory::new("up");
    let (mut running, table) = start(&directory.0);
    assert!(!table.contains("/shop"), "{table}");
    assert!(table.contains("grpcurl -plaintext 127.0.0.1:"), "{table}");
    assert!(table.contains("docs      http://127.0.0.1:"), "{table}");
    let made = secrets(&directory.0);
    assert!(!table.contains(made.lines().next().unwrap().split_once('=').unwrap().1));

    // A second one on the same data says so, and harms nothing.
    let second = up(&directory.0, "127.0.0.1:0").output().unwrap();
    let said = failed(&second);
    assert!(said.contains(".orderflow/mongodb"), "{said}");
    assert!(running.0.try_wait().unwrap().is_none());

    let pid = running.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let since = Instant::now();
    assert!(running.0.wait().unwrap().success());
    // The bound of the drain and of MongoDB's own stop, with room for a slow machine.
    assert!(since.elapsed() < Duration::from_secs(20));

    let shop = directory.0.join("clients/typescript/shop/dist");
    std::fs::create_dir_all(&shop).unwrap();
    std::fs::write(shop.join("index.html"), "<!doctype html>").unwrap();
    let (_again, table) = start(&directory.0);
    assert_eq!(secrets(&directory.0), made);
    assert!(table.contains("shop      http://127.0.0.1:"), "{table}");
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let directory = Directory::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = up(&directory.0, &address)
        .arg("--ephemeral")
        .output()
        .unwrap();
    let said = failed(&output);
    assert!(
        said.contains(&address) && said.contains("--listen"),
        "{said}"
    );
}

#[tokio::test]
async fn the_audit_finds_the_system_that_runs_here() {
    let directory = Directory::new("audit");
    let audit = |settings: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orderflow"));
        command
            .args(["audit", "--patience", "0s"])
            .current_dir(&directory.0)
            .env_remove("MONGO_URL")
            .env_remove("MONGODB_URL")
            .envs(settings.iter().copied())
            .output()
            .unwrap()
    };
    assert!(failed(&audit(&[])).contains("MONGO_URL is missing"));

    let (_running, _) = start(&directory.0);
    let output = audit(&[]);
    let report = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(report.contains("violations    0"), "{report}");

    // An audit of nothing is not clean.
    let said = failed(&audit(&[("ORDER_DATABASE", "elsewhere")]));
    assert!(said.contains("ORDER_DATABASE"), "{said}");

    let url = orderflow_mongod::ReplicaSet::url_in(&directory.0.join(".orderflow/mongodb"));
    let client = mongodb::Client::with_uri_str(url.unwrap()).await.unwrap();
    let orders = client.database("orderflow_order").collection("orders");
    let broken = mongodb::bson::doc! { "_id": "broken" };
    orders.insert_one(broken).await.unwrap();
    let output = audit(&[]);
    failed(&output);
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(
        report.contains("unreadable document broken in orders"),
        "{report}"
    );
}

#[test]
fn keygen_never_overwrites_a_file() {
    let directory = Directory::new("keygen");
    let keygen = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orderflow"));
        command
            .arg("keygen")
            .current_dir(&directory.0)
            .output()
            .unwrap()
    };
    assert!(keygen().status.success());
    let written = std::fs::read_to_string(directory.0.join(".env")).unwrap();
    assert!(written.contains("SECRET_KEY="));
    assert!(failed(&keygen()).contains("cannot write .env"));
    assert_eq!(
        std::fs::read_to_string(directory.0.join(".env")).unwrap(),
        written
    );
}

#[test]
fn demo_without_a_system_says_what_to_do() {
    let nowhere = ["demo", "--gateway", "127.0.0.1:1"];
    let output = Command::new(env!("CARGO_BIN_EXE_orderflow"))
        .args(nowhere)
        .output()
        .unwrap();
    assert!(failed(&output).contains("orderflow up"));
}
