//! What a connection is doing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

/// The calls of a connection that are under way, and what it was given to send and has not sent: counted where they begin
/// and end, looked at from time to time by the connection's task.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicUsize,
    open: AtomicUsize,
    bytes: AtomicUsize,
    period: AtomicUsize,
    /// By the period in which the waiting began, odd or even.
    waiting: [AtomicUsize; 2],
    flood: AtomicBool,
}

/// A call under way, until its answer has been handed over in full.
pub(super) struct Call(Arc<Activity>);

/// Something that waits for the client to read.
pub(super) struct Waiting {
    activity: Arc<Activity>,
    slot: usize,
}

impl Activity {
    pub(super) fn begin(self: &Arc<Self>) -> Call {
        self.begun.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Call(self.clone())
    }

    /// How many calls have begun so far.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Relaxed)
    }

    /// How many are under way.
    pub(super) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Counts bytes that went over the wire, either way.
    pub(super) fn moved(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// How many bytes there were so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Notes that the client floods the server.
    pub(super) fn note_flood(&self) {
        self.flood.store(true, Relaxed);
    }

    /// Whether it did.
    pub(super) fn is_flood(&self) -> bool {
        self.flood.load(Relaxed)
    }

    /// Begins a new period. False if something has waited for the whole of the one that ends, and longer.
    pub(super) fn next_period(&self) -> bool {
        let ending = self.period.fetch_add(1, Relaxed);
        self.waiting[(ending + 1) % 2].load(Relaxed) == 0
    }
}

impl Call {
    /// From now on the client's reading is what is waited for.
    pub(super) fn wait(&self) -> Waiting {
        let slot = self.0.period.load(Relaxed) % 2;
        self.0.waiting[slot].fetch_add(1, Relaxed);
        let activity = self.0.clone();
        Waiting { activity, slot }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.activity.waiting[self.slot].fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_whole_period_is_noticed() {
        let activity = Arc::new(Activity::default());
        let call = activity.begin();
        assert!(activity.next_period());
        let waiting = call.wait();
        assert!(activity.next_period(), "not yet a whole one");
        assert!(!activity.next_period());
        drop(waiting);
        assert!(activity.next_period());
        for _ in 0..4 {
            let _short = call.wait();
            assert!(activity.next_period());
        }
    }
}
