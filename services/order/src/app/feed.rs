//! The changes of all orders, for everybody who watches on this replica: read once, and only while somebody does.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::Poll,
    time::Duration,
};

use futures::poll;
use orderflow_mongo::is_outage;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    domain::Order,
    store::{Change, Changes, Position, Store, Whose},
};

/// How much of what has changed lately is kept for those who read slowly or come back.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// For how long those who watch do not notice that MongoDB is away.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(200);

/// The feed, which is there while somebody holds it.
pub(super) struct Feeds {
    store: Store,
    current: tokio::sync::Mutex<Weak<Feed>>,
}

/// What has changed lately. Readers keep their own position in it, so that none costs memory or holds up another.
pub(super) struct Feed {
    recent: Mutex<Recent>,
    news: watch::Sender<()>,
}

struct Recent {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// All that came behind this is in `changes`.
    floor: Position,
    /// All that came before this is in `changes`, or was.
    idle: Position,
    has_ended: bool,
}

/// What comes next for a reader.
pub(super) enum Next {
    Change(Arc<Change>),
    /// Nothing yet: all up to here has been read. The position is that of no change.
    Nothing(Position),
    /// What comes next is kept no longer.
    Gone,
    /// The feed cannot go on.
    Ended,
}

impl Feeds {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            current: Default::default(),
        }
    }

    /// The feed, started if it is not there.
    pub(super) async fn join(&self) -> Result<Arc<Feed>, mongodb::error::Error> {
        let mut current = self.current.lock().await;
        if let Some(feed) = current.upgrade()
            && !feed.recent().has_ended
        {
            return Ok(feed);
        }
        let changes = self.store.changes(Whose::Everybodys, None).await?;
        let feed = Arc::new(Feed::from(changes.position().clone()));
        *current = Arc::downgrade(&feed);
        tokio::spawn(fill(current.clone(), self.store.clone(), changes));
        Ok(feed)
    }
}

/// Reads on for as long as somebody holds the feed.
async fn fill(feed: Weak<Feed>, store: Store, mut changes: Changes) {
    let mut is_told = true;
    loop {
        let next = {
            let mut next = pin!(changes.next());
            match poll!(next.as_mut()) {
                Poll::Ready(next) => next,
                // Now that all that came together is there.
                Poll::Pending => {
                    let Some(feed) = feed.upgrade() else { return };
                    if !std::mem::replace(&mut is_told, true) {
                        feed.news.send_replace(());
                    }
                    drop(feed);
                    next.await
                }
            }
        };
        match next {
            Ok(change) => {
                let Some(feed) = feed.upgrade() else { return };
                is_told &= change.is_none();
                feed.recent().take(change, changes.idle());
            }
            Err(error) => match again(&store, changes.position(), error).await {
                Some(reopened) => changes = reopened,
                None => {
                    if let Some(feed) = feed.upgrade() {
                        feed.recent().has_ended = true;
                        feed.news.send_replace(());
                    }
                    return;
                }
            },
        }
    }
}

/// The stream from where it broke off; `None` if that does not work.
async fn again(
    store: &Store,
    behind: &Position,
    mut error: mongodb::error::Error,
) -> Option<Changes> {
    let until = Instant::now() + PATIENCE;
    loop {
        tracing::warn!(%error, "the stream of changes broke off");
        sleep(RETRY).await;
        match store.changes(Whose::Everybodys, Some(behind)).await {
            Ok(changes) => return Some(changes),
            Err(failed) if is_outage(&failed) && Instant::now() < until => error = failed,
            Err(error) => {
                tracing::error!(%error, "the stream of changes is lost");
                return None;
            }
        }
    }
}

impl From<Position> for Feed {
    fn from(start: Position) -> Self {
        let recent = Recent {
            changes: VecDeque::new(),
            bytes: 0,
            floor: start.clone(),
            idle: start,
            has_ended: false,
        };
        Self {
            recent: Mutex::new(recent),
            news: watch::Sender::new(()),
        }
    }
}

impl Feed {
    /// Learns that there is more to read.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Whether all that comes behind a position can be read here.
    pub(super) fn reaches(&self, position: &Position) -> bool {
        self.recent().floor <= *position
    }

    /// The next of these orders that has changed behind a position, which moves on.
    pub(super) fn next(&self, position: &mut Position, whose: Whose) -> Next {
        self.recent().next(position, whose)
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        // Nothing in there is ever half done.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn take(&mut self, change: Option<Change>, idle: Option<&Position>) {
        if let Some(idle) = idle
            && self.idle < *idle
        {
            self.idle.clone_from(idle);
        }
        let Some(change) = change else { return };
        self.bytes += bytes(&change.order);
        self.changes.push_back(Arc::new(change));
        while self.bytes > MAX_BYTES
            && let Some(oldest) = self.changes.pop_front()
        {
            self.bytes -= bytes(&oldest.order);
            self.floor = oldest.position.clone();
        }
    }

    fn next(&self, position: &mut Position, whose: Whose) -> Next {
        if *position < self.floor {
            return Next::Gone;
        }
        let unread = self.changes.partition_point(|c| c.position <= *position);
        for change in self.changes.range(unread..) {
            position.clone_from(&change.position);
            if whose.includes(&change.order) {
                return Next::Change(change.clone());
            }
        }
        if self.has_ended {
            return Next::Ended;
        }
        if *position < self.idle {
            position.clone_from(&self.idle);
        }
        Next::Nothing(self.idle.clone())
    }
}

/// About what a change takes.
fn bytes(order: &Order) -> usize {
    const POSITION: usize = 256;
    const LINE: usize = 96;
    let names: usize = order.lines.iter().map(|l| l.product_name.len()).sum();
    size_of::<Change>() + POSITION + LINE * order.lines.len() + names
}
