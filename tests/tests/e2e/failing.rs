//! MongoDB as it is when it fails.

use mongodb::{
    Database,
    bson::{Bson, Document, doc},
};
use tokio::sync::{Mutex, MutexGuard};

/// Commands on one collection that fail, or take their time.
pub(crate) struct Failing {
    admin: Database,
    met_before: i32,
    _alone: MutexGuard<'static, ()>,
}

impl Failing {
    /// Makes `commands` on a collection fail in the way that `how` says. There is one such fail point in a server, and tests run
    /// side by side: so they use it one after another, each for its own database alone.
    pub(crate) async fn on(
        database: &Database,
        collection: &str,
        commands: &[&str],
        mode: impl Into<Bson>,
        how: Document,
    ) -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let mut data = doc! {
            "failCommands": commands,
            "namespace": format!("{}.{collection}", database.name()),
        };
        data.extend(how);
        let admin = database.client().database("admin");
        let fail = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        let met_before = admin.run_command(fail).await.unwrap();
        Self {
            admin,
            met_before: met_before.get_i32("count").unwrap(),
            _alone: alone,
        }
    }

    /// Waits until so many commands have met it.
    pub(crate) async fn is_met(&self, times: i32) {
        let wait = doc! {
            "waitForFailPoint": "failCommand",
            "timesEntered": self.met_before + times,
            "maxTimeMS": 30_000,
        };
        self.admin.run_command(wait).await.unwrap();
    }

    /// Ends it, and says how many commands have met it.
    pub(crate) async fn end(self) -> i32 {
        let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        let met = self.admin.run_command(off).await.unwrap();
        met.get_i32("count").unwrap() - self.met_before
    }
}
