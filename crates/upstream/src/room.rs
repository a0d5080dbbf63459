use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for calls on a connection: as many as the other side takes at a time. Who waits for it waits here, and leaves nothing
/// behind when it is given up. The HTTP library would keep what has no room yet, in any number, and where it is given up
/// send it even so, to take it back at once: which looks like an attack.
#[derive(Clone)]
pub(crate) struct Room(Arc<Semaphore>);

/// A call's place. It is given back when the answer has been read.
pub(crate) type Place = OwnedSemaphorePermit;

impl Room {
    /// Until the other side has said how much there is.
    pub(crate) const AT_FIRST: usize = 16;
    /// More than anybody has use for.
    const AT_MOST: usize = 10_000;

    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(Self::AT_FIRST)))
    }

    /// A place, once there is one.
    pub(crate) async fn enter(&self) -> Place {
        let place = self.0.clone().acquire_owned().await;
        place.expect("the semaphore is never closed")
    }

    /// Once: the other side has said how much there is.
    pub(crate) fn grow(&self, requests: &SendRequest<Bytes>) {
        let most = requests.current_max_send_streams().min(Self::AT_MOST);
        self.0.add_permits(most.saturating_sub(Self::AT_FIRST));
    }
}
