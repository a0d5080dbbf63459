//! Replicas that get in each other's way, alive and dead.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use mongodb::{
    Collection, Database,
    bson::{Document, doc},
};
use orderflow_mongo::{Failure, Transaction, Transactions, update};
use orderflow_mongod::{Options, ReplicaSet};
use tokio::time::timeout;

/// A MongoDB that leaves transactions open for longer than any test takes, with one document to write to.
struct Mongo(ReplicaSet);

/// One replica of a service.
struct Replica {
    database: Database,
    transactions: Transactions,
    /// Far longer than it takes until others' sessions are ended.
    patience: Duration,
}

impl Mongo {
    async fn start() -> Self {
        let options = Options::ephemeral()
            .set_parameter("enableTestCommands", "1")
            .set_parameter("transactionLifetimeLimitSeconds", "3600");
        let mongo = Self(ReplicaSet::start(options).await.unwrap());
        let counters = mongo.replica("setup").await.counters();
        counters
            .insert_one(doc! { "_id": 1, "n": 0 })
            .await
            .unwrap();
        mongo
    }

    async fn replica(&self, name: &str) -> Replica {
        let client = orderflow_mongo::connect(&self.0.url(), name).await.unwrap();
        let database = client.database("test");
        Replica {
            transactions: Transactions::new(database.collection("sessions")),
            database,
            patience: Duration::from_secs(60),
        }
    }
}

impl Replica {
    fn counters(&self) -> Collection<Document> {
        self.database.collection("counters")
    }

    async fn begin(&self) -> Result<Transaction<'_>, Failure> {
        self.transactions.begin(self.patience).await
    }

    async fn n(&self) -> i32 {
        let counter = self.counters().find_one(doc! {}).await.unwrap().unwrap();
        counter.get_i32("n").unwrap()
    }

    async fn published(&self) -> u64 {
        let sessions = self.database.collection::<Document>("sessions");
        sessions.count_documents(doc! {}).await.unwrap()
    }

    async fn admin(&self, command: Document) -> Document {
        let admin = self.database.client().database("admin");
        admin.run_command(command).await.unwrap()
    }

    /// Adds one, as one attempt of a transaction.
    async fn add(&self, session: &mut mongodb::ClientSession) -> Result<(), Failure> {
        let one = doc! { "q": { "_id": 1 }, "u": { "$inc": { "n": 1 } } };
        update(&self.database, session, "counters", vec![one], 1).await
    }

    /// Adds one in a transaction; gives the number of attempts.
    async fn add_one(&self) -> Result<usize, Failure> {
        let mut transaction = self.begin().await?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let attempt = self.add(transaction.start().await?).await;
            if let Some(result) = transaction.end(attempt).await {
                return result.map(|()| attempts);
            }
        }
    }
}

/// Makes one command of a replica fail or hang, once.
fn fail(replica: &str, command: &str, how: &Document) -> Document {
    let mut data = doc! { "failCommands": [command], "appName": replica };
    data.extend(how.clone());
    doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data }
}

#[tokio::test]
async fn a_session_is_written_down_before_it_is_used_and_kept() {
    let mongo = Mongo::start().await;
    let replica = mongo.replica("a").await;
    let transaction = replica.begin().await.unwrap();
    assert_eq!(replica.published().await, 1);
    drop(transaction);
    for _ in 0..3 {
        assert_eq!(replica.add_one().await.unwrap(), 1);
    }
    assert_eq!((replica.n().await, replica.published().await), (3, 1));
}

#[tokio::test]
async fn what_a_dead_replica_has_left_open_is_ended() {
    let mongo = Mongo::start().await;
    let (dead, alive) = (mongo.replica("dead").await, mongo.replica("alive").await);
    let mut left_open = dead.begin().await.unwrap();
    dead.add(left_open.start().await.unwrap()).await.unwrap();

    assert!(alive.add_one().await.unwrap() > 1);
    assert_eq!(alive.n().await, 1);

    // If it only was asleep, it finds out and does it again.
    assert!(matches!(
        left_open.end(Ok(())).await,
        None | Some(Err(Failure::Conflict))
    ));
    drop(left_open);
    assert_eq!(dead.add_one().await.unwrap(), 1);
    assert_eq!(alive.n().await, 2);
}

#[tokio::test]
async fn a_replica_that_starts_ends_what_was_left_open() {
    let mongo = Mongo::start().await;
    let (dead, reborn) = (mongo.replica("dead").await, mongo.replica("reborn").await);
    let mut left_open = dead.begin().await.unwrap();
    dead.add(left_open.start().await.unwrap()).await.unwrap();

    reborn.transactions.prepare().await.unwrap();
    assert_eq!(reborn.add_one().await.unwrap(), 1);
    assert_eq!(reborn.n().await, 1);
}

#[tokio::test]
async fn a_live_replica_whose_session_is_ended_replays() {
    let mongo = Mongo::start().await;
    let (live, other) = (mongo.replica("live").await, mongo.replica("other").await);
    let mut transaction = live.begin().await.unwrap();
    for attempt in 0..3 {
        live.add(transaction.start().await.unwrap()).await.unwrap();
        other.transactions.prepare().await.unwrap();
        // Whether it would have written more or was about to commit.
        let result = match attempt {
            0 => live
                .counters()
                .find_one(doc! {})
                .await
                .map(drop)
                .map_err(Failure::from),
            _ => Ok(()),
        };
        assert!(transaction.end(result).await.is_none(), "{attempt}");
    }
    live.add(transaction.start().await.unwrap()).await.unwrap();
    assert!(matches!(transaction.end(Ok(())).await, Some(Ok(()))));
    assert_eq!(live.n().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_or_a_commit_that_is_ended_under_way_is_replayed() {
    let mongo = Mongo::start().await;
    let (live, other) = (mongo.replica("live").await, mongo.replica("other").await);
    // Its session is written down by an update too.
    live.add_one().await.unwrap();
    for (command, n) in [("update", 2), ("commitTransaction", 3)] {
        let hang = doc! { "blockConnection": true, "blockTimeMS": 60_000 };
        // The server counts from its start, whatever the fail point was for.
        let before = other.admin(fail("live", command, &hang)).await;
        let entered = doc! {
            "waitForFailPoint": "failCommand",
            "timesEntered": before.get_i32("count").unwrap() + 1,
            "maxTimeMS": 60_000,
        };
        let ended = async {
            other.admin(entered).await;
            other.transactions.prepare().await.unwrap();
        };
        let (attempts, ()) = tokio::join!(live.add_one(), ended);
        assert_eq!((attempts.unwrap(), live.n().await), (2, n), "{command}");
    }
}

#[tokio::test]
async fn without_the_right_to_end_sessions_conflicts_are_what_they_were() {
    let mongo = Mongo::start().await;
    let (other, mut replica) = (mongo.replica("other").await, mongo.replica("replica").await);
    replica.patience = Duration::from_millis(1_500);
    let mut open = other.begin().await.unwrap();
    other.add(open.start().await.unwrap()).await.unwrap();

    const UNAUTHORIZED: i32 = 13;
    let refuse = fail(
        "replica",
        "killSessions",
        &doc! { "errorCode": UNAUTHORIZED },
    );
    replica.admin(refuse).await;
    assert!(matches!(replica.add_one().await, Err(Failure::Conflict)));
    assert!(matches!(open.end(Ok(())).await, Some(Ok(()))));
    drop(open);
    assert_eq!(replica.add_one().await.unwrap(), 1);
    assert_eq!(replica.n().await, 2);

    // With the right to do so the other one is ended.
    let mut open = other.begin().await.unwrap();
    other.add(open.start().await.unwrap()).await.unwrap();
    replica.patience = Duration::from_secs(3_600);
    let ended = timeout(Duration::from_secs(30), replica.add_one()).await;
    assert!(ended.unwrap().unwrap() > 1);
    assert!(open.end(Ok(())).await.is_none());
    assert_eq!(replica.n().await, 3);
}

#[tokio::test]
async fn who_stays_in_the_way_is_waited_for_once_and_not_forever() {
    let mongo = Mongo::start().await;
    let (stranger, mut replica) = (
        mongo.replica("stranger").await,
        mongo.replica("replica").await,
    );
    let mut open = stranger.begin().await.unwrap();
    stranger.add(open.start().await.unwrap()).await.unwrap();
    let sessions = replica.database.collection::<Document>("sessions");
    let written_down = sessions.find_one(doc! {}).await.unwrap().unwrap();
    sessions.delete_many(doc! {}).await.unwrap();

    let long_enough = Duration::from_millis(1_500);
    replica.patience = long_enough;
    assert!(matches!(replica.add_one().await, Err(Failure::Conflict)));
    // For longer than anybody is remembered who is not met again. If one of these waited, it would be for all of its patience.
    replica.patience = Duration::from_secs(30);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(8) {
        let not_again = timeout(replica.patience / 2, replica.add_one()).await;
        assert!(matches!(not_again, Ok(Err(Failure::Conflict))));
    }

    // Somebody else who is in the way is found out before long.
    sessions.insert_one(written_down).await.unwrap();
    replica.patience = long_enough;
    let found_out = async { while replica.add_one().await.is_err() {} };
    timeout(Duration::from_secs(30), found_out).await.unwrap();
    assert_eq!(replica.n().await, 1);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_half_way_blocks_nobody() {
    let mongo = Mongo::start().await;
    let replica = mongo.replica("a").await;
    let mut transaction = replica.begin().await.unwrap();
    replica
        .add(transaction.start().await.unwrap())
        .await
        .unwrap();
    drop(transaction);
    replica.add_one().await.unwrap();
    assert_eq!(replica.n().await, 1);
}

#[tokio::test]
async fn who_waits_gets_the_turn_in_the_order_of_asking() {
    let mongo = Mongo::start().await;
    let replica = mongo.replica("a").await;
    let first = replica.begin().await.unwrap();
    let order = tokio::sync::Mutex::new(Vec::new());
    let waiting = |name| {
        let (replica, order) = (&replica, &order);
        async move {
            let turn = replica.begin().await.unwrap();
            order.lock().await.push(name);
            drop(turn);
        }
    };
    let let_go = async {
        tokio::task::yield_now().await;
        drop(first);
    };
    tokio::join!(waiting(1), waiting(2), waiting(3), let_go);
    assert_eq!(order.into_inner(), [1, 2, 3]);
}
