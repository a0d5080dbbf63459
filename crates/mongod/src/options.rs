//! What to start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What [`ReplicaSet::start`](crate::ReplicaSet::start) starts: one node, unless told otherwise.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the data stays; `None`: in a temporary directory that goes with the set.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) nodes: usize,
    pub(crate) parameters: BTreeMap<String, String>,
    /// Memory for data, in GB; `None`: what MongoDB takes by itself, as for a set that is alone.
    pub(crate) cache_gb: Option<f64>,
    pub(crate) time_limit: Duration,
}

impl Options {
    /// A set whose data is gone when it stops.
    pub fn ephemeral() -> Self {
        Self {
            directory: None,
            nodes: 1,
            parameters: BTreeMap::new(),
            cache_gb: Some(0.25),
            time_limit: Duration::from_secs(60),
        }
        // A transaction whose owner was killed is in the way of others for that long.
        .set_parameter("transactionLifetimeLimitSeconds", "3")
        // A primary that is asked to end waits 15 s for another one to take over otherwise.
        .set_parameter("shutdownTimeoutMillisForSignaledShutdown", "100")
    }

    /// A set that keeps its data, and its ports, in `directory`, which is made if need be.
    pub fn persistent(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: Some(directory.into()),
            ..Self::ephemeral()
        }
    }

    /// Three nodes in place of one, which elect a new primary when theirs goes.
    pub fn three_nodes(mut self) -> Self {
        self.nodes = 3;
        self
    }

    /// Passes `--setParameter name=value` to each node: `enableTestCommands=1` brings `failCommand`. Said again, the last
    /// value holds, also in place of ours: `transactionLifetimeLimitSeconds` is 3 unless set here.
    pub fn set_parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Lets each node keep data in as much memory as MongoDB does by itself, half of the machine's, for the sake of speed: in the
    /// 0.25 GB that do otherwise, pages that are written to all the time are written out again and again. No more than half of
    /// the cores write them out at a time, as four threads would, in which nothing else goes on on a machine of two. And a page of
    /// an index that is made then is split at 1 MB in place of 5, as nobody gets by while it is. It is for a set that is alone:
    /// several, or three nodes, may want more memory than there is.
    pub fn own_cache(mut self) -> Self {
        self.cache_gb = None;
        self
    }

    /// How long the set, and later a node that restarts, may take until it is ready: 60 s unless set here. Fetching mongod does not count.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }
}
