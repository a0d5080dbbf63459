//! Real nodes: what they are set to, what survives, what goes.

#![allow(clippy::unwrap_used, reason = "to panic is how a test fails")]

use std::error::Error as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Acknowledgment, ClientOptions, WriteConcern};
use mongodb::{Client, Collection};
use orderflow_mongod::{Error, Node, Options, ReplicaSet};

/// A collection whose writes are acknowledged by the majority.
async fn notes(set: &ReplicaSet) -> Collection<Document> {
    let mut options = ClientOptions::parse(set.url()).await.unwrap();
    options.write_concern = Some(WriteConcern::majority());
    Client::with_options(options)
        .unwrap()
        .database("test")
        .collection("notes")
}

async fn parameter(set: &ReplicaSet, name: &str) -> i64 {
    let admin = notes(set).await.client().database("admin");
    let reply = admin
        .run_command(doc! { "getParameter": 1, name: 1 })
        .await
        .unwrap();
    integer(&reply, name)
}

/// MongoDB writes small ones in four bytes.
fn integer(document: &Document, name: &str) -> i64 {
    let short = document.get_i32(name).map(i64::from);
    short.or_else(|_| document.get_i64(name)).unwrap()
}

/// Memory that it keeps data in, in bytes, and how many threads write pages out of it.
async fn cache(set: &ReplicaSet) -> (i64, i64) {
    let admin = notes(set).await.client().database("admin");
    let status = admin.run_command(doc! { "serverStatus": 1 }).await.unwrap();
    let cache = status.get_document("wiredTiger").unwrap();
    let cache = cache.get_document("cache").unwrap();
    (
        integer(cache, "maximum bytes configured"),
        integer(cache, "eviction worker thread active"),
    )
}

/// How the notes' index is stored.
async fn index(set: &ReplicaSet) -> String {
    let notes = notes(set).await;
    notes.insert_one(doc! {}).await.unwrap();
    let stats = doc! { "$collStats": { "storageStats": {} } };
    let mut stats = notes.aggregate([stats]).await.unwrap();
    assert!(stats.advance().await.unwrap());
    let stats = stats.deserialize_current().unwrap();
    let details = stats.get_document("storageStats").unwrap();
    let index = details.get_document("indexDetails").unwrap();
    let index = index.get_document("_id_").unwrap();
    index.get_str("creationString").unwrap().to_owned()
}

/// The directory of the set that this mongod is a node of.
fn directory_of(pid: u32) -> PathBuf {
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let mut arguments = arguments
        .split('\0')
        .skip_while(|argument| *argument != "--dbpath");
    Path::new(arguments.nth(1).unwrap())
        .parent()
        .unwrap()
        .to_owned()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < patience, "not within 5 s: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn one_node_takes_majority_writes_and_transactions() {
    let options = Options::ephemeral().set_parameter("enableTestCommands", "1");
    let set = tokio::spawn(ReplicaSet::start(options))
        .await
        .unwrap()
        .unwrap();
    let notes = notes(&set).await;

    notes.insert_one(doc! { "_id": 1 }).await.unwrap();
    let mut session = notes.client().start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    notes
        .insert_one(doc! { "_id": 2 })
        .session(&mut session)
        .await
        .unwrap();
    assert_eq!(notes.count_documents(doc! {}).await.unwrap(), 1);
    session.commit_transaction().await.unwrap();
    assert_eq!(notes.count_documents(doc! {}).await.unwrap(), 2);

    assert_eq!(parameter(&set, "transactionLifetimeLimitSeconds").await, 3);
    assert_eq!(set.primary().await.unwrap().port(), set.nodes()[0].port());
    // One of the test commands.
    let fail_point = doc! { "configureFailPoint": "failCommand", "mode": "off" };
    notes
        .client()
        .database("admin")
        .run_command(fail_point)
        .await
        .unwrap();
}

#[tokio::test]
async fn memory_is_a_quarter_gigabyte_or_what_mongodb_takes_by_itself() {
    const QUARTER: i64 = 256 << 20;
    const SMALL_PAGES: &str = "memory_page_max=1m";
    let small = ReplicaSet::start(Options::ephemeral()).await.unwrap();
    assert_eq!(cache(&small).await.0, QUARTER);
    assert!(!index(&small).await.contains(SMALL_PAGES));
    let large = ReplicaSet::start(Options::ephemeral().own_cache())
        .await
        .unwrap();
    let (memory, threads) = cache(&large).await;
    let cores = std::thread::available_parallelism().unwrap().get() as i64;
    assert!(memory > QUARTER);
    assert_eq!(threads, (cores / 2).clamp(1, 4));
    let index = index(&large).await;
    assert!(index.contains(SMALL_PAGES), "{index}");
}

#[tokio::test]
async fn stopping_ends_the_node_and_removes_an_ephemeral_directory() {
    for dropped in [false, true] {
        let set = ReplicaSet::start(Options::ephemeral()).await.unwrap();
        let pid = set.nodes()[0].pid().unwrap();
        let directory = directory_of(pid);
        assert!(directory.exists());

        let start = Instant::now();
        if dropped {
            drop(set)
        } else {
            set.stop().await
        }
        // Not told otherwise, it waits for 15 s.
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(!directory.exists());
    }
}

#[tokio::test]
async fn a_persistent_directory_keeps_data_and_ports() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/on/demand");
    let options = Options::persistent(&path);
    assert_eq!(ReplicaSet::url_in(&path), None);

    let set = ReplicaSet::start(options.clone()).await.unwrap();
    let url = set.url();
    assert_eq!(ReplicaSet::url_in(&path).as_ref(), Some(&url));
    notes(&set)
        .await
        .insert_one(doc! { "_id": "stopped" })
        .await
        .unwrap();
    // A frozen one must not hold up the end, nor miss it.
    set.nodes()[0].pause();
    set.stop().await;
    let log = fs::read_to_string(path.join("node-0.log")).unwrap();
    assert!(log.contains("Now exiting"), "it was killed");

    let set = ReplicaSet::start(options.clone()).await.unwrap();
    assert_eq!(set.url(), url);
    notes(&set)
        .await
        .insert_one(doc! { "_id": "killed" })
        .await
        .unwrap();
    set.nodes()[0].kill();
    assert_eq!(set.nodes()[0].pid(), None);
    drop(set);

    let set = ReplicaSet::start(options).await.unwrap();
    assert_eq!(set.url(), url);
    assert_eq!(notes(&set).await.count_documents(doc! {}).await.unwrap(), 2);
}

#[tokio::test]
async fn a_set_moves_when_its_port_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::persistent(directory.path());
    let set = ReplicaSet::start(options.clone()).await.unwrap();
    let port = set.nodes()[0].port();
    notes(&set)
        .await
        .insert_one(doc! { "_id": 1 })
        .await
        .unwrap();
    set.stop().await;

    let other_program = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    // One that keeps silent instead would hold mongod up for 30 s, while it looks whether that is itself.
    thread::spawn(move || other_program.incoming().for_each(drop));
    let set = ReplicaSet::start(options).await.unwrap();
    assert_ne!(set.nodes()[0].port(), port);
    assert_eq!(notes(&set).await.count_documents(doc! {}).await.unwrap(), 1);
}

#[tokio::test]
async fn a_node_whose_port_was_taken_does_not_restart() {
    let set = ReplicaSet::start(Options::ephemeral()).await.unwrap();
    let node = &set.nodes()[0];
    node.kill();
    let other_program = TcpListener::bind((Ipv4Addr::LOCALHOST, node.port())).unwrap();
    let error = node.restart().await.unwrap_err();
    assert!(
        matches!(error, Error::PortTaken { port } if port == node.port()),
        "{error}"
    );

    drop(other_program);
    node.restart().await.unwrap();
}

#[tokio::test]
async fn a_directory_in_use_is_named_with_its_user() {
    let directory = tempfile::tempdir().unwrap();
    let set = ReplicaSet::start(Options::persistent(directory.path()))
        .await
        .unwrap();

    let error = ReplicaSet::start(Options::persistent(directory.path()))
        .await
        .unwrap_err();
    let Error::DirectoryInUse {
        directory: named,
        pid,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(named, &directory.path().canonicalize().unwrap());
    assert_eq!(*pid, Some(std::process::id()));
    assert!(error.to_string().contains("stop that one first"), "{error}");

    // The same data by a way that we do not see; mongod does.
    let detour = tempfile::tempdir().unwrap();
    symlink(
        directory.path().join("node-0"),
        detour.path().join("node-0"),
    )
    .unwrap();
    let error = ReplicaSet::start(Options::persistent(detour.path()))
        .await
        .unwrap_err();
    let Error::DirectoryInUse {
        directory: named,
        pid,
    } = &error
    else {
        panic!("{error}")
    };
    assert!(named.ends_with("node-0"), "{error}");
    assert_eq!(*pid, set.nodes()[0].pid());
}

#[tokio::test]
async fn a_set_is_started_with_as_many_nodes_as_it_has() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ports"), "20001\n").unwrap();
    let error = ReplicaSet::start(Options::persistent(directory.path()).three_nodes())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::NodeCount {
                found: 1,
                asked: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = ReplicaSet::start(Options::persistent(file.path()))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("{} cannot be written", file.path().display())),
        "{error}"
    );
    assert!(error.source().is_some());
}

#[tokio::test]
async fn our_parameters_give_way_to_others() {
    let name = "transactionLifetimeLimitSeconds";
    let options = Options::ephemeral().set_parameter(name, "60");
    let set = ReplicaSet::start(options).await.unwrap();
    assert_eq!(parameter(&set, name).await, 60);
}

#[tokio::test]
async fn a_mongod_that_ends_says_why() {
    let options = Options::ephemeral().set_parameter("noSuchParameter", "1");
    let error = ReplicaSet::start(options).await.unwrap_err();
    assert!(matches!(error, Error::Exited { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("Unknown --setParameter 'noSuchParameter'"),
        "{error}"
    );
}

#[tokio::test]
async fn a_mongod_that_is_not_ready_in_time_is_given_up() {
    let error = ReplicaSet::start(Options::ephemeral().time_limit(Duration::ZERO))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn three_nodes_replace_a_frozen_primary_and_end_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::persistent(directory.path()).three_nodes();
    let set = ReplicaSet::start(options).await.unwrap();
    assert_eq!(set.nodes().len(), 3);
    let first = set.primary().await.unwrap();

    first.pause();
    let second = set.primary().await.unwrap();
    assert_ne!(second.port(), first.port());

    first.resume();
    // Only a primary takes this.
    let url = format!(
        "mongodb://127.0.0.1:{}/?directConnection=true",
        second.port()
    );
    let second = Client::with_uri_str(url).await.unwrap().database("test");
    second
        .collection("notes")
        .insert_one(doc! { "_id": 1 })
        .await
        .unwrap();

    set.stop().await;
    for log in ["node-0.log", "node-1.log", "node-2.log"] {
        let log = fs::read_to_string(directory.path().join(log)).unwrap();
        assert!(log.contains("Now exiting"), "it was killed");
    }
}

#[tokio::test]
async fn a_killed_primary_comes_back_without_the_writes_that_it_alone_had() {
    let set = ReplicaSet::start(Options::ephemeral().three_nodes())
        .await
        .unwrap();
    let notes = notes(&set).await;
    notes
        .insert_one(doc! { "_id": "acknowledged" })
        .await
        .unwrap();

    let first = set.primary().await.unwrap();
    let others = || {
        set.nodes()
            .iter()
            .filter(|node| node.port() != first.port())
    };
    others().for_each(Node::kill);
    // On its disk, since it would have forgotten it otherwise.
    let to_one = WriteConcern::builder()
        .w(Acknowledgment::Nodes(1))
        .journal(true)
        .build();
    notes
        .insert_one(doc! { "_id": "to the first alone" })
        .write_concern(to_one)
        .await
        .unwrap();
    first.kill();

    for node in others() {
        node.restart().await.unwrap();
    }
    let second = set.primary().await.unwrap();
    notes
        .insert_one(doc! { "_id": "without the first" })
        .await
        .unwrap();
    first.restart().await.unwrap();

    // Takes the first: only two are left.
    others()
        .find(|node| node.port() != second.port())
        .unwrap()
        .kill();
    notes
        .insert_one(doc! { "_id": "with the first" })
        .await
        .unwrap();

    let ids = notes.distinct("_id", doc! {}).await.unwrap();
    assert_eq!(
        ids,
        ["acknowledged", "with the first", "without the first"].map(Bson::from)
    );
}

#[test]
fn a_set_outlives_the_thread_and_the_runtime_that_started_it() {
    fn in_a_runtime<F: Future>(future: F) -> F::Output {
        tokio::runtime::Runtime::new().unwrap().block_on(future)
    }
    let set = thread::spawn(|| in_a_runtime(ReplicaSet::start(Options::ephemeral())))
        .join()
        .unwrap()
        .unwrap();
    for id in [1, 2] {
        in_a_runtime(async {
            notes(&set)
                .await
                .insert_one(doc! { "_id": id })
                .await
                .unwrap()
        });
    }
    in_a_runtime(set.nodes()[0].restart()).unwrap();
    in_a_runtime(async {
        assert_eq!(notes(&set).await.count_documents(doc! {}).await.unwrap(), 2)
    });
}

#[tokio::test]
async fn a_killed_parent_takes_its_mongod_along() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "parent", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(parent.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            line.split_once("mongod is process ")
                .map(|(_, pid)| pid.to_owned())
        });
    let pid: u32 = line.unwrap().parse().unwrap();
    let directory = directory_of(pid);

    parent.kill().unwrap();
    parent.wait().unwrap();
    // mongod holds this lock for as long as it lives; no file, if another test was the next to start.
    eventually("mongod ends", || {
        let lock = File::open(directory.join("lock"));
        lock.ok().is_none_or(|lock| lock.try_lock().is_ok())
    });

    // Nobody was left to remove its directory: whoever starts next does.
    let _next = ReplicaSet::start(Options::ephemeral()).await.unwrap();
    assert!(!directory.exists());
}

/// Not a test: the parent that [`a_killed_parent_takes_its_mongod_along`] kills.
#[tokio::test]
#[ignore = "waits to be killed"]
async fn parent() {
    let set = ReplicaSet::start(Options::ephemeral()).await.unwrap();
    println!("\nmongod is process {}", set.nodes()[0].pid().unwrap());
    tokio::time::sleep(Duration::from_secs(60)).await;
}
