//! The gateway's health: what it can serve at the moment.

use std::{sync::Arc, time::Duration};

use orderflow_chassis::{Shutdown, health::Health};
use orderflow_identity::KeyRing;
use tokio::time::sleep;

use crate::upstream::Upstreams;

/// How often it is looked at what is known of the upstreams, which they ask themselves.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Keeps the health of each service at whether a replica of it serves, and that of "" at whether all services do and there are
/// keys to verify tokens with. On shutdown nothing is ready any more.
pub(crate) async fn follow(
    health: Health,
    upstreams: Arc<Upstreams>,
    services: Vec<(String, &'static str)>,
    keys: KeyRing,
    shutdown: Shutdown,
) {
    let mut known = None;
    loop {
        let ready = upstreams.all().map(|u| (u.name(), u.is_serving()));
        let state = (ready, !keys.is_empty());
        if known != Some(state) {
            let (ready, keys) = state;
            tracing::info!(?ready, keys, "health");
            for (service, upstream) in &services {
                let is_ready = ready.contains(&(*upstream, true));
                health.set(service, is_ready).await;
            }
            let all = ready.iter().all(|(_, ready)| *ready);
            health.set("", all && keys).await;
            known = Some(state);
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = shutdown.cancelled() => break,
        }
    }
    for (service, _) in &services {
        health.set(service, false).await;
    }
    health.set("", false).await;
}
