use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use mongodb::{
    Client, ClientSession, Collection, IndexModel,
    bson::{Bson, Document, doc},
    error::{
        Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
        WriteFailure,
    },
    options::{IndexOptions, ReadConcern, TransactionOptions},
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep},
};

use crate::failure::{Failure, INTERRUPTED, code};

/// After so long with nothing but conflicts, whoever is in the way may be dead. Live ones were seen to be so for 0.07 s.
const SUSPICIOUS: Duration = Duration::from_secs(1);
/// For how long somebody counts as in the way who was met behind the end of all others' sessions.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Into how many parts patience is divided meanwhile, for one of them to be had.
const IMPATIENCE: u32 = 10;
/// What is left in any case, of as much as there was: a few attempts.
const AT_LEAST: Duration = Duration::from_millis(10);
/// How often a commit is repeated whose outcome is unknown.
const COMMITS: usize = 6;
/// How long a session counts as written down. One that is used later is written down again first.
const PUBLISHED: Duration = Duration::from_secs(10 * 60);
/// When the server clears away what was written down, by its own clock: long after the server itself has ended the session.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// The transactions of one replica: one at a time, all on the same session, which other replicas know of. Whoever waits gets
/// the turn in the order of asking.
///
/// A replica that is killed or stopped leaves its transaction open, and for as long as the server allows (a minute, unless it
/// is told otherwise) what the transaction has written is blocked. So every replica writes down the id of its session before
/// it uses it. One that starts, or that meets nothing but conflicts, ends the sessions of all others. To one that is alive
/// that is a conflict like any other: it replays. Nothing else rests on it.
///
/// Somebody may stay in the way all the same, such as a session that is not written down. One transaction has waited for them then;
/// those behind it, which may be about the same, do so only briefly, and still end others' sessions from time to time.
pub struct Transactions {
    client: Client,
    /// The ids of the sessions in use, and perhaps of some that no longer are.
    sessions: Collection<Document>,
    turn: Mutex<Turn>,
    has_failed_to_end: AtomicBool,
}

/// What a transaction leaves to the next one.
#[derive(Default)]
struct Turn {
    lane: Option<Lane>,
    /// When it was last tried to end others' sessions.
    others_ended: Option<Instant>,
    /// When somebody was met last who stayed in the way.
    obstacle: Option<Instant>,
}

struct Lane {
    session: ClientSession,
    published: Instant,
    /// The last transaction on it is over, for the server too.
    is_idle: bool,
}

impl Transactions {
    /// Transactions whose sessions are written down in this collection.
    pub fn new(sessions: Collection<Document>) -> Self {
        Self {
            client: sessions.client().clone(),
            sessions,
            turn: Mutex::default(),
            has_failed_to_end: AtomicBool::new(false),
        }
    }

    /// To be done at the start: ends what was left open, also by this replica's life before.
    pub async fn prepare(&self) -> Result<(), Error> {
        let options = IndexOptions::builder().expire_after(FORGOTTEN).build();
        let index = IndexModel::builder().keys(doc! { "seen": 1 });
        crate::ensure_indexes(&self.sessions, [index.options(options).build()]).await?;
        self.end_others(None).await;
        Ok(())
    }

    /// A transaction that has not begun, once the ones before are over. It is replayed for `patience`, but once in any case, if
    /// others get in its way; for a tenth of it while somebody is known to stay there.
    pub async fn begin(&self, patience: Duration) -> Result<Transaction<'_>, Failure> {
        let mut turn = self.turn.lock().await;
        let lane = match turn.lane.take().filter(|lane| lane.is_idle) {
            Some(lane) if lane.published.elapsed() < PUBLISHED => lane,
            Some(lane) => self.publish(lane.session).await?,
            None => {
                // Each transaction is replayed until it sees what it must: it need not wait for what this session saw before.
                let session = self.client.start_session().causal_consistency(false);
                self.publish(session.await?).await?
            }
        };
        turn.lane = Some(lane);
        let patience = if turn.is_obstructed() {
            (patience / IMPATIENCE).max(patience.min(AT_LEAST))
        } else {
            patience
        };
        Ok(Transaction {
            transactions: self,
            turn,
            began: Instant::now(),
            patience,
            replays: 0,
            others_ended: None,
        })
    }

    async fn publish(&self, session: ClientSession) -> Result<Lane, Error> {
        let published = Instant::now();
        self.sessions
            .update_one(
                doc! { "_id": session_id(&session) },
                doc! { "$currentDate": { "seen": true } },
            )
            .upsert(true)
            .await?;
        Ok(Lane {
            session,
            published,
            is_idle: true,
        })
    }

    /// Ends the sessions of all replicas but `own`; tells whether it could. Without the right to do so, or without success, things
    /// are as they would be if nobody ever did.
    async fn end_others(&self, own: Option<Bson>) -> bool {
        match self.try_end_others(own).await {
            Ok(0) => true,
            Ok(sessions) => {
                tracing::info!(sessions, "ended what others may have left open");
                true
            }
            Err(error) => {
                if !self.has_failed_to_end.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "cannot end what others may have left open; the server ends it in time");
                }
                false
            }
        }
    }

    async fn try_end_others(&self, own: Option<Bson>) -> Result<usize, Error> {
        let others = doc! { "_id": { "$ne": own } };
        let ids = self.sessions.distinct("_id", others).await?;
        let sessions: Vec<_> = ids.into_iter().map(|id| doc! { "id": id }).collect();
        let count = sessions.len();
        if count > 0 {
            let kill = doc! { "killSessions": sessions };
            self.client.database("admin").run_command(kill).await?;
        }
        Ok(count)
    }
}

impl Turn {
    fn is_obstructed(&self) -> bool {
        is_within(REMEMBERED, self.obstacle)
    }
}

fn is_within(time: Duration, since: Option<Instant>) -> bool {
    since.is_some_and(|since| since.elapsed() < time)
}

fn session_id(session: &ClientSession) -> Option<Bson> {
    session.id().get("id").cloned()
}

/// Attempts at a transaction, until one is committed by a majority or it is known that none will be. A conflict replays at
/// once, or after 5 ms at most: with exponential back-off one of two replicas was seen to starve for half a second.
///
/// What an attempt has read counts only once it is committed: a transaction that is not protects nothing.
///
/// ```ignore
/// let mut transaction = transactions.begin(patience).await?;
/// loop {
///     let attempt = body(transaction.start().await?).await;
///     if let Some(result) = transaction.end(attempt).await {
///         return result;
///     }
/// }
/// ```
pub struct Transaction<'a> {
    transactions: &'a Transactions,
    turn: MutexGuard<'a, Turn>,
    began: Instant,
    patience: Duration,
    replays: usize,
    /// Whether it succeeded, once it was tried.
    others_ended: Option<bool>,
}

impl Transaction<'_> {
    fn lane(&mut self) -> &mut Lane {
        self.turn
            .lane
            .as_mut()
            .expect("it is there as long as the transaction")
    }

    /// Begins an attempt.
    pub async fn start(&mut self) -> Result<&mut ClientSession, Failure> {
        if self.replays > 1 {
            sleep(Duration::from_micros(rand::random_range(0..5_000))).await;
        }
        let options = TransactionOptions::builder()
            .read_concern(ReadConcern::snapshot())
            .write_concern(crate::acknowledged_by_majority())
            .build();
        let lane = self.lane();
        lane.is_idle = false;
        lane.session
            .start_transaction()
            .with_options(options)
            .await?;
        Ok(&mut lane.session)
    }

    /// Ends an attempt. `None` asks for another one.
    pub async fn end<T>(&mut self, attempt: Result<T, Failure>) -> Option<Result<T, Failure>> {
        let attempt = attempt.map_err(|failure| match failure {
            // The session was ended, and the transaction with it.
            Failure::Mongo(error) if code(&error) == Some(INTERRUPTED) => Failure::Conflict,
            failure => failure,
        });
        let lane = self.lane();
        let result = match attempt {
            Ok(value) => commit(&mut lane.session).await.map(|()| value),
            // Nobody there to tell; the server ends it by itself.
            Err(Failure::Mongo(error)) if crate::is_outage(&error) => Err(Failure::Mongo(error)),
            Err(failure) => {
                // The server may have ended it already; either way it is over.
                let _ = lane.session.abort_transaction().await;
                Err(failure)
            }
        };
        // One on which something may still be going on is used no more: the driver ends that, or else whom it blocks.
        lane.is_idle = match &result {
            Err(Failure::Mongo(error)) => !crate::is_outage(error),
            Err(Failure::Unknown(_)) => false,
            _ => true,
        };
        if matches!(result, Err(Failure::Conflict)) && self.is_to_be_replayed().await {
            self.replays += 1;
            return None;
        }
        Some(result)
    }

    /// Whether to try again behind a conflict, where need be after others' sessions were ended.
    async fn is_to_be_replayed(&mut self) -> bool {
        let conflicting = self.began.elapsed();
        let is_over = self.replays > 0 && conflicting >= self.patience;
        let is_suspicious = if self.turn.is_obstructed() {
            // Another one may be in the way by now, who is dead.
            is_over && !is_within(SUSPICIOUS, self.turn.others_ended)
        } else {
            conflicting > SUSPICIOUS
        };
        if is_suspicious && self.others_ended.is_none() {
            let own = session_id(&self.lane().session);
            self.others_ended = Some(self.transactions.end_others(own).await);
            self.turn.others_ended = Some(Instant::now());
            return true;
        }
        if is_over && self.others_ended == Some(true) {
            self.turn.obstacle = Some(Instant::now());
        }
        !is_over
    }
}

async fn commit(session: &mut ClientSession) -> Result<(), Failure> {
    let mut attempt = 1;
    loop {
        let Err(error) = session.commit_transaction().await else {
            return Ok(());
        };
        // Not committed, or it cannot be told: in both cases the keys in the replay decide.
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            return Err(Failure::Conflict);
        }
        if !asking_again_tells(&error) || attempt == COMMITS {
            return Err(Failure::Unknown(error));
        }
        attempt += 1;
        sleep(Duration::from_millis(50)).await;
    }
}

/// True if the commit was not answered, not acknowledged by a majority, or ended from outside.
fn asking_again_tells(error: &Error) -> bool {
    error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
        || code(error) == Some(INTERRUPTED)
        || matches!(
            error.kind.as_ref(),
            ErrorKind::Write(WriteFailure::WriteConcernError(_))
        )
}
