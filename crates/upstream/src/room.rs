use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for calls on a connection: as many as the other side takes at a time. Who waits for it waits here, and leaves nothing
/// behind when it is given up. The HTTP library would keep what has no room yet, in any number, and where it is given up
/// send it even so, to take it back at once: which looks like an attack.
#[derive(Clone)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    /// How much there is, taken or free.
    size: Arc<Mutex<usize>>,
}

/// A call's place. It is given back when the answer has been read.
pub(crate) type Place = OwnedSemaphorePermit;

impl Room {
    /// Until the other side has said how much there is.
    pub(crate) const AT_FIRST: usize = 16;
    /// More than anybody has use for.
    const AT_MOST: usize = 10_000;

    pub(crate) fn new() -> Self {
        Self {
            free: Arc::new(Semaphore::new(Self::AT_FIRST)),
            size: Arc::new(Mutex::new(Self::AT_FIRST)),
        }
    }

    /// A place, once there is one.
    pub(crate) async fn enter(&self, requests: &SendRequest<Bytes>) -> Place {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return place;
        }
        self.grow(requests);
        let place = self.free.clone().acquire_owned().await;
        // It may have said so meanwhile, and others wait.
        self.grow(requests);
        place.expect("the semaphore is never closed")
    }

    fn grow(&self, requests: &SendRequest<Bytes>) {
        let mut size = self.size.lock().expect("no holder of the lock panics");
        let most = requests.current_max_send_streams().min(Self::AT_MOST);
        let more = most.saturating_sub(*size);
        self.free.add_permits(more);
        *size += more;
    }
}
