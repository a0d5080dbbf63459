//! Waiting for a node, for no longer than agreed.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::error::Error;
use crate::node::Node;

/// Short against the 300 ms that a node takes to start, long against what asking costs.
const POLL: Duration = Duration::from_millis(10);

pub(crate) struct Deadline {
    limit: Duration,
    start: Instant,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            limit,
            start: Instant::now(),
        }
    }

    /// A moment until one looks again; an error once it is late. `node` is the one whose log may say why.
    pub(crate) async fn pause(&self, until: &'static str, node: &Node) -> Result<(), Error> {
        if self.start.elapsed() >= self.limit {
            return Err(Error::TimedOut {
                until,
                limit: self.limit,
                log: node.log().to_owned(),
            });
        }
        sleep(POLL).await;
        Ok(())
    }
}
