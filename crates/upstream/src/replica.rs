use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use orderflow_chassis::{channel::Tls, health::PROBE_EVERY};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tonic::{Status, body::Body};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::Service;

use crate::{
    connection::{Connection, Failed, of_client},
    reply::Reply,
};

/// With [`PROBE_EVERY`] this makes two seconds until a replica that fell silent is known to be.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Within [`PATIENCE`], so that who cannot be connected to is told from who does not answer.
const CONNECT_TO_ASK: Duration = Duration::from_millis(800);
/// Calls on their way to one replica at a time. More would not be refused by its connection, but wait for it in memory, without
/// an end.
const ROOM: usize = 1_000;

/// What is known of a replica, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It says that it serves.
    Serving,
    /// It says that it does not.
    NotServing,
    /// It says nothing: it was not asked yet, is silent, or has just failed a call.
    InDoubt,
    /// It cannot be connected to.
    Gone,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Serving, Self::NotServing, Self::InDoubt, Self::Gone];
}

/// One server of a service.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    connection: Connection,
    in_flight: AtomicUsize,
    standing: AtomicU8,
    /// It was put in doubt, and is to be asked.
    doubted: Notify,
}

impl Replica {
    /// At `address`, under the name that `url` gives it. Connects when first called, and again when the connection is lost.
    pub(crate) fn new(address: SocketAddr, url: &Uri, tls: &Tls) -> Self {
        Self {
            address,
            connection: Connection::lazy(address, url, tls, CONNECT),
            in_flight: AtomicUsize::new(0),
            standing: AtomicU8::new(Standing::InDoubt as u8),
            doubted: Notify::new(),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing::ALL[usize::from(self.standing.load(Relaxed))]
    }

    /// What stood before.
    pub(crate) fn stands(&self, standing: Standing) -> Standing {
        Standing::ALL[usize::from(self.standing.swap(standing as u8, Relaxed))]
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.in_flight() < ROOM
    }

    /// Makes a call. Who fails it is in doubt.
    async fn call(
        &self,
        head: impl Fn() -> Request<()>,
        message: &Bytes,
    ) -> Result<Response<Reply>, Failed> {
        let answer = self.connection.send(head, message).await;
        if answer.is_err() {
            self.stands(Standing::InDoubt);
            self.doubted.notify_one();
        }
        answer
    }

    /// Asks how it is, again and again. On a connection of its own: neither calls that fill the other one nor answers that
    /// nobody reads can hide how it is. `lost` hears of it whenever it does not answer.
    pub(crate) async fn follow(&self, upstream: &'static str, url: &Uri, tls: &Tls, lost: &Notify) {
        let connection = Connection::lazy(self.address, url, tls, CONNECT_TO_ASK);
        let mut client = HealthClient::new(connection);
        loop {
            let standing = ask(&mut client).await;
            let before = self.stands(standing);
            if before != standing {
                tracing::info!(upstream, address = %self.address, ?standing, "a replica");
            }
            if standing >= Standing::InDoubt {
                lost.notify_one();
            }
            let pause = match standing {
                Standing::Serving => PROBE_EVERY,
                _ => PROBE_EVERY / 10,
            };
            tokio::select! {
                () = sleep(pause) => {}
                // Not at once: calls that fail one after another must not make as many questions.
                () = self.doubted.notified() => sleep(PROBE_EVERY / 100).await,
            }
        }
    }
}

async fn ask(client: &mut HealthClient<Connection>) -> Standing {
    match timeout(PATIENCE, client.check(HealthCheckRequest::default())).await {
        Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Standing::Serving,
        Ok(Ok(_)) => Standing::NotServing,
        // Made here of an error, where one that was sent has no source.
        Ok(Err(status)) if std::error::Error::source(&status).is_some() => Standing::Gone,
        Ok(Err(_)) => Standing::NotServing,
        Err(_) => Standing::InDoubt,
    }
}

/// A replica for one call. While it is held the call counts as on its way: it is to be dropped when the answer begins.
pub struct Lease {
    replica: Arc<Replica>,
}

impl Lease {
    pub(crate) fn new(replica: Arc<Replica>) -> Self {
        replica.in_flight.fetch_add(1, Relaxed);
        Self { replica }
    }

    /// Where the replica is.
    pub fn address(&self) -> SocketAddr {
        self.replica.address
    }

    /// Makes the call: with this head, made again should it be sent again, and this one message.
    pub async fn call(
        &self,
        head: impl Fn() -> Request<()>,
        message: &Bytes,
    ) -> Result<Response<Reply>, Failed> {
        self.replica.call(head, message).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.replica.in_flight.fetch_sub(1, Relaxed);
    }
}

/// For generated clients.
impl Service<Request<Body>> for Lease {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let replica = self.replica.clone();
        of_client(request, |head, message| async move {
            replica.call(|| head.clone(), &message).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_fails_on_its_way_puts_the_replica_in_doubt_at_once() {
        // Nobody listens there any more.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let replica = Arc::new(Replica::new(
            address,
            &Uri::from_static("http://catalog:7002"),
            &Tls::default(),
        ));
        replica.stands(Standing::Serving);

        let lease = Lease::new(replica.clone());
        let mut client = HealthClient::new(lease);
        let called = client.check(HealthCheckRequest::default());
        assert_eq!(replica.in_flight(), 1);
        called.await.unwrap_err();
        assert_eq!(replica.standing(), Standing::InDoubt);
        drop(client);
        assert_eq!(replica.in_flight(), 0);
    }
}
