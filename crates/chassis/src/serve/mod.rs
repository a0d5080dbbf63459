//! A gRPC server with bounds: on its connections, on what each may cost and how long it may stay silent, and on its own end.
//!
//! What the HTTP libraries bound by themselves is left to them; the rest is here, a file each: [`connection`] has the life of
//! a connection, `wire` its bytes, `frames` those that make work for nothing, `request` and `answer` the bodies of its calls.

mod activity;
mod addresses;
mod answer;
mod connection;
mod frames;
mod options;
mod request;
pub(crate) mod tls;
mod trace;
mod wire;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::TaskTracker;
use tower::Service;

use self::{
    addresses::Addresses,
    connection::{End, Server},
};
use crate::Shutdown;

pub use self::{
    addresses::network,
    options::Options,
    tls::{Error, Tls},
    trace::TRACE_ID,
};

/// How long a server takes to end at the most: a second less than what most supervisors grant.
pub const DRAIN: Duration = Duration::from_secs(9);

/// How long the connection of a flood still counts for its address, and as how many.
const PENALTY: (Duration, usize) = (Duration::from_secs(5), 20);

/// An error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves until shutdown, then lets the calls in flight finish, for [`DRAIN`] at most: neither silent connections nor streams
/// without an end keep a process alive.
pub async fn serve<S, B>(
    name: &'static str,
    options: Options,
    listener: TcpListener,
    service: S,
    shutdown: Shutdown,
) where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let room = Arc::new(Semaphore::new(options.max_connections));
    let addresses = Addresses::new(options.max_connections_per_address);
    let server = Arc::new(Server::new(name, options, shutdown.clone()));
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            let (stream, permit) = accept(&listener, &room).await;
            let Ok(peer) = stream.peer_addr() else {
                continue; // It has gone already.
            };
            let Some(place) = addresses.enter(peer.ip()) else {
                tracing::debug!(server = name, %peer, "too many connections from this address");
                continue;
            };
            let (server, service) = (server.clone(), service.clone());
            connections.spawn(async move {
                let end = connection::serve(server, stream, peer, service).await;
                drop(permit);
                if end == End::Flood {
                    // Or whoever floods would only have to connect again.
                    let (time, weight) = PENALTY;
                    place.keep(time, weight);
                }
            });
        }
    };
    shutdown.run_until_cancelled(accepting).await;
    // Whoever comes now is told at once that nobody is here.
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, once there is room for it: until then it waits with the kernel, whose queue is bounded as well.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    /// What is missing (file descriptors, memory) comes back when others end.
    const BACK_OFF: Duration = Duration::from_millis(100);
    let permit = room.clone().acquire_owned().await;
    let permit = permit.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small: waiting to send more at once only makes them late.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection was lost at once");
                    continue;
                }
                return (stream, permit);
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
