//! The gateway's health: what it can serve at the moment.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use orderflow_chassis::{
    Shutdown,
    health::{Health, PROBE_EVERY},
};
use orderflow_identity::KeyRing;
use tokio::time::{sleep, timeout};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::upstream::{Upstream, Upstreams};

/// With [`PROBE_EVERY`] this makes two seconds until a service that went away is known to be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps the health of each service at what its upstream says of itself, and that of "" at whether all are ready and there
/// are keys to verify tokens with. On shutdown nothing is ready any more.
///
/// It asks again and again instead of watching: an open stream would keep an upstream that shuts down from finishing.
pub(crate) async fn follow(
    health: Health,
    upstreams: Arc<Upstreams>,
    services: Vec<(String, &'static str)>,
    keys: KeyRing,
    shutdown: Shutdown,
) {
    let mut known = None;
    loop {
        let ready = tokio::select! {
            ready = join_all(upstreams.all().map(probe)) => ready,
            () = shutdown.cancelled() => break,
        };
        let all = ready.iter().all(|(_, ready)| *ready) && !keys.is_empty();
        for (service, upstream) in &services {
            health
                .set(service, ready.contains(&(*upstream, true)))
                .await;
        }
        health.set("", all).await;

        if known.as_ref() != Some(&ready) {
            tracing::info!(?ready, keys = !keys.is_empty(), "health");
            known = Some(ready);
        }
        tokio::select! {
            () = sleep(if all { PROBE_EVERY } else { PROBE_EVERY / 10 }) => {}
            () = shutdown.cancelled() => break,
        }
    }
    for (service, _) in &services {
        health.set(service, false).await;
    }
    health.set("", false).await;
}

/// Whether an upstream says that all of it is ready.
async fn probe(upstream: &Upstream) -> (&'static str, bool) {
    let mut client = HealthClient::new(upstream.channel.clone());
    let answer = timeout(PATIENCE, client.check(HealthCheckRequest::default())).await;
    let ready = match answer {
        Ok(Ok(answer)) => answer.get_ref().status() == ServingStatus::Serving,
        _ => false,
    };
    (upstream.name, ready)
}
