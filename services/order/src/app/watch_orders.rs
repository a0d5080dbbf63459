use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::stream::{Stream, StreamExt, once, poll_fn};
use mongodb::error::ErrorKind;
use orderflow_chassis::Shutdown;
use orderflow_contract::Id;
use orderflow_identity::{Expiry, User};
use orderflow_mongo::is_outage;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Orders,
    feed::{Feed, Feeds, Next},
};
use crate::{
    error::Error,
    store::{Change, Changes, Position, Store, Whose},
};

/// How many may watch at this replica. Each holds a stream of a connection that all calls share.
const WATCHES: usize = 512;
/// How many of them may be one user's.
const WATCHES_OF_ONE: usize = 16;
/// How many may read what has changed before they came, each from a stream of their own.
const CATCHING_UP: usize = 8;
/// How long that may take.
const CATCH_UP: Duration = Duration::from_secs(60);
/// How long a reader may leave what is ready for them.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much is ready for a reader at the most, beside what the connection holds.
const READY: usize = 4;

/// Everybody who watches orders at this replica.
pub(crate) struct Watching {
    feeds: Feeds,
    catching_up: Arc<Semaphore>,
    places: Arc<Places>,
    heartbeat: Duration,
    shutdown: Shutdown,
}

/// What somebody who watches is told.
#[derive(Debug)]
pub(crate) struct Told {
    /// Nothing when there is but a newer position to tell.
    pub(crate) change: Option<Arc<Change>>,
    /// Where to go on.
    pub(crate) position: Position,
}

impl Watching {
    pub(crate) fn new(store: Store, heartbeat: Duration, shutdown: Shutdown) -> Self {
        Self {
            feeds: Feeds::new(store),
            catching_up: Arc::new(Semaphore::new(CATCHING_UP)),
            places: Arc::default(),
            heartbeat,
            shutdown,
        }
    }
}

impl Orders {
    /// The changes of some orders behind a position, or from now on; and in the end, why no more will come.
    pub(crate) async fn watch_orders(
        &self,
        user: &User,
        whose: Whose,
        behind: Option<Position>,
        expiry: Expiry,
    ) -> Result<impl Stream<Item = Result<Told, Error>> + use<>, Error> {
        let watching = &self.watching;
        let place = watching.places.take(user.id).ok_or(Error::TooManyWatches)?;
        // First, so that nothing is lost between what is read from the past and what is read here.
        let feed = watching.feeds.join().await?;
        let (position, past) = match behind {
            Some(position) if feed.reaches(&position) => (position, None),
            behind => {
                let past = self.past(whose, behind.as_ref()).await?;
                let position = behind.unwrap_or_else(|| past.changes.position().clone());
                (position, Some(past))
            }
        };
        let (sender, mut told) = mpsc::channel(READY);
        let watcher = Watcher {
            whose,
            feed,
            told: position,
            heartbeat: watching.heartbeat,
            sender,
        };
        let shutdown = watching.shutdown.clone();
        let end = tokio::spawn(watcher.watch(past, expiry, shutdown));
        let told = poll_fn(move |cx| {
            // Taken for as long as there is a reader, also one who does not read.
            let _taken = &place;
            told.poll_recv(cx)
        });
        let end = async { Err(end.await.unwrap_or(Error::WatchInterrupted)) };
        Ok(told.map(Ok).chain(once(end)))
    }

    async fn past(&self, whose: Whose, behind: Option<&Position>) -> Result<Past, Error> {
        let permits = self.watching.catching_up.clone();
        let permit = timeout(PATIENCE, permits.acquire_owned()).await;
        let permit = permit.map_err(|_| Error::Busy)?;
        let changes = self.store.changes(whose, behind).await;
        Ok(Past {
            changes: changes.map_err(past_error)?,
            _permit: permit.map_err(|_| Error::Busy)?,
        })
    }
}

/// What has changed before somebody came.
struct Past {
    changes: Changes,
    _permit: OwnedSemaphorePermit,
}

/// The feed could be read: so what MongoDB refuses here is the position. It has forgotten it, or somebody has made it up.
fn past_error(error: mongodb::error::Error) -> Error {
    if matches!(error.kind.as_ref(), ErrorKind::Command(_)) && !is_outage(&error) {
        tracing::warn!(%error, "a position from which nothing can be read");
        Error::HistoryLost
    } else {
        error.into()
    }
}

/// Somebody who watches.
struct Watcher {
    whose: Whose,
    feed: Arc<Feed>,
    /// Where the reader would go on.
    told: Position,
    heartbeat: Duration,
    sender: mpsc::Sender<Told>,
}

impl Watcher {
    /// Tells of changes until it has to end, and why.
    async fn watch(mut self, past: Option<Past>, expiry: Expiry, shutdown: Shutdown) -> Error {
        let reader = self.sender.clone();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Error::Stopping,
            () = may_no_longer(expiry) => Error::TokenExpired,
            // Nobody will see this.
            () = reader.closed() => Error::Stopping,
            Err(end) = self.follow(past) => end,
        }
    }

    async fn follow(&mut self, past: Option<Past>) -> Result<std::convert::Infallible, Error> {
        self.tell(None, self.told.clone()).await?;
        let mut read = self.told.clone();
        if let Some(past) = past {
            let caught_up = timeout(CATCH_UP, self.catch_up(past)).await;
            read = caught_up.map_err(|_| Error::SlowReader)??;
        }
        let mut news = self.feed.news();
        let mut quiet = Instant::now() + self.heartbeat;
        loop {
            news.borrow_and_update();
            match self.feed.next(&mut read, self.whose) {
                Next::Change(change) => {
                    let position = change.position.clone();
                    self.tell(Some(change), position).await?;
                    quiet = Instant::now() + self.heartbeat;
                }
                Next::Nothing(idle) => tokio::select! {
                    _ = news.changed() => {}
                    () = sleep_until(quiet) => {
                        self.tell(None, self.told.clone().max(idle)).await?;
                        quiet = Instant::now() + self.heartbeat;
                    }
                },
                Next::Gone => return Err(Error::SlowReader),
                Next::Ended => return Err(Error::WatchInterrupted),
            }
        }
    }

    /// Tells of what has changed before, up to where the feed has it all.
    async fn catch_up(&mut self, mut past: Past) -> Result<Position, Error> {
        while !self.feed.reaches(past.changes.position()) {
            if let Some(change) = past.changes.next().await.map_err(past_error)? {
                let position = change.position.clone();
                self.tell(Some(Arc::new(change)), position).await?;
            }
        }
        Ok(past.changes.position().clone())
    }

    async fn tell(&mut self, change: Option<Arc<Change>>, position: Position) -> Result<(), Error> {
        self.told = position.clone();
        let told = Told { change, position };
        let sent = timeout(PATIENCE, self.sender.send(told)).await;
        sent.map_err(|_| Error::SlowReader)?
            .map_err(|_| Error::Stopping)
    }
}

/// Comes when what let the caller in lets nobody in any more: the token has expired.
async fn may_no_longer(expiry: Expiry) {
    sleep(expiry.left()).await;
}

/// Who watches how often.
#[derive(Default)]
struct Places(Mutex<HashMap<Id, usize>>);

/// A place among those who watch, free again when dropped.
struct Place {
    places: Arc<Places>,
    user_id: Id,
}

impl Places {
    fn take(self: &Arc<Self>, user_id: Id) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.entry(user_id).or_default();
        let is_free = all < WATCHES && *own < WATCHES_OF_ONE;
        if is_free {
            *own += 1;
        } else if *own == 0 {
            taken.remove(&user_id);
        }
        is_free.then(|| Place {
            places: self.clone(),
            user_id,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.user_id) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_for_one_and_bounded_for_all() {
        let places = Arc::<Places>::default();
        let take = |id, n: usize| (0..n).filter_map(|_| places.take(id)).collect::<Vec<_>>();
        let ada = Id::random();
        let own = take(ada, WATCHES);
        assert_eq!(own.len(), WATCHES_OF_ONE);
        let others = std::iter::repeat_with(|| take(Id::random(), 1));
        let others: Vec<_> = others.take(WATCHES).flatten().collect();
        assert_eq!(own.len() + others.len(), WATCHES);

        drop(own);
        assert_eq!(take(Id::random(), WATCHES).len(), WATCHES_OF_ONE);
        drop(others);
        assert!(places.0.lock().unwrap().is_empty());
    }
}
