use std::{
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{self, BoxFuture},
};
use http::{Request, Response, Uri};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use orderflow_chassis::channel::Tls;
use orderflow_contract::deadline::{self, GRPC_TIMEOUT};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body};
use tower::Service;

/// Without an answer to a ping within this time and once more, a peer that vanished without a word would be waited for until the
/// kernel gives up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// All calls share the connection: an answer that nobody reads must not take the window of all others with it.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;

/// The connection to one server: made when it is first needed, made again when it is lost. Clones share it.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    url: Uri,
    tls: Tls,
    patience: Duration,
    /// The one that is there, or on its way: everybody waits for the same one.
    current: Mutex<Option<Connecting>>,
}

type Connecting = future::Shared<BoxFuture<'static, Result<SendRequest<Body>, NotConnected>>>;

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no connection")]
pub struct NotConnected(#[source] Arc<dyn std::error::Error + Send + Sync>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Nothing was sent.
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// What was sent may have had an effect.
    #[error("the connection was lost")]
    Lost(#[source] hyper::Error),
}

impl From<Failed> for Status {
    fn from(failed: Failed) -> Self {
        let mut status = Self::unavailable(failed.to_string());
        status.set_source(Arc::new(failed));
        status
    }
}

impl Connection {
    /// To the server at `address`, under the name that `url` gives it, once it is needed; given up after `patience`.
    pub(crate) fn lazy(address: SocketAddr, url: &Uri, tls: &Tls, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            address,
            url: url.clone(),
            tls: tls.clone(),
            patience,
            current: Mutex::default(),
        }))
    }

    /// Makes a call. What was not sent, because the other side had just ended the connection, goes over a new one.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, Failed> {
        *request.uri_mut() = self.0.at_this_server(mem::take(request.uri_mut()));
        let mut connection = self.0.established().await?;
        let mut unsent = match connection.try_send_request(request).await {
            Ok(answer) => return Ok(answer),
            Err(unsent) => unsent,
        };
        let Some(request) = unsent.take_message() else {
            return Err(Failed::Lost(unsent.into_error()));
        };
        let mut connection = self.0.established().await?;
        let answer = connection.send_request(request).await;
        answer.map_err(Failed::Lost)
    }
}

impl Shared {
    fn at_this_server(&self, uri: Uri) -> Uri {
        let mut parts = uri.into_parts();
        parts.scheme = self.url.scheme().cloned();
        parts.authority = self.url.authority().cloned();
        Uri::from_parts(parts).expect("a URL's scheme and authority, and a path")
    }

    async fn established(&self) -> Result<SendRequest<Body>, NotConnected> {
        let connecting = {
            let mut current = self.current.lock().expect("no holder of the lock panics");
            match current.as_ref().map(|there| (there, there.peek())) {
                Some((_, Some(Ok(there)))) if !there.is_closed() => return Ok(there.clone()),
                Some((on_its_way, None)) => on_its_way.clone(),
                // There was none yet, or it was lost, or could not be made.
                _ => current.insert(self.connect()).clone(),
            }
        };
        connecting.await
    }

    fn connect(&self) -> Connecting {
        let connecting = connect(self.address, self.url.clone(), self.tls.clone());
        // A task of its own: it gets on also when all who wait for it have gone.
        let connecting = AbortOnDropHandle::new(tokio::spawn(timeout(self.patience, connecting)));
        let connecting = connecting.map(|made| match made {
            Ok(Ok(made)) => made.map_err(|error| NotConnected(error.into())),
            Ok(Err(late)) => Err(NotConnected(Arc::new(late))),
            Err(panicked) => Err(NotConnected(Arc::new(panicked))),
        });
        connecting.boxed().shared()
    }
}

/// A call of a generated client: it ends when it says that it should, whatever becomes of it on the other side.
pub(crate) fn of_client<F>(
    request: Request<Body>,
    call: impl FnOnce(Request<Body>) -> F,
) -> BoxFuture<'static, Result<Response<Body>, Status>>
where
    F: Future<Output = Result<Response<Incoming>, Failed>> + Send + 'static,
{
    let limit = request.headers().get(GRPC_TIMEOUT);
    let limit = limit
        .map(|limit| deadline::read(limit.as_bytes()))
        .transpose();
    let call = call(request);
    Box::pin(async move {
        let answer = match limit? {
            None => call.await,
            Some(limit) => timeout(limit, call)
                .await
                .map_err(|_| deadline::exceeded())?,
        };
        Ok(answer?.map(Body::new))
    })
}

/// For generated clients.
impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = self.clone();
        of_client(
            request,
            |request| async move { connection.send(request).await },
        )
    }
}

async fn connect(
    address: SocketAddr,
    url: Uri,
    tls: Tls,
) -> Result<SendRequest<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = tls.connect(&url, address).await?;
    let (requests, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%address, error = &error as &dyn std::error::Error, "a connection was lost");
        }
    });
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use futures::future::join_all;
    use hyper::{server, service::service_fn};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A server that ends each connection after so many calls, and the number of connections that it has had.
    fn serve(listener: TcpListener, calls: usize) -> Arc<AtomicUsize> {
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Relaxed);
                tokio::spawn(serve_connection(TokioIo::new(stream), calls));
            }
        });
        connections
    }

    async fn serve_connection(io: TokioIo<tokio::net::TcpStream>, calls: usize) {
        let (called, mut enough) = tokio::sync::mpsc::unbounded_channel();
        let answer = service_fn(move |_: Request<Incoming>| {
            called.send(()).ok();
            async { Ok::<_, Infallible>(Response::new(String::new())) }
        });
        let connection =
            server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, answer);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return drop(ended),
            () = async {
                for _ in 0..calls {
                    enough.recv().await;
                }
            } => connection.as_mut().graceful_shutdown(),
        }
        drop(connection.await);
    }

    async fn listener() -> (TcpListener, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = Uri::from_static("http://catalog:7002");
        let patience = Duration::from_secs(20);
        let connection = Connection::lazy(address, &url, &Tls::default(), patience);
        (listener, connection)
    }

    async fn call(connection: &Connection) -> Result<(), Failed> {
        let request = Request::post("http://gateway/a.Service/Method");
        let request = request.body(Body::empty()).unwrap();
        connection.send(request).await.map(drop)
    }

    #[tokio::test]
    async fn calls_that_come_together_share_a_connection() {
        let (listener, connection) = listener().await;
        let connections = serve(listener, usize::MAX);
        let calls = join_all((0..100).map(|_| call(&connection))).await;
        assert!(calls.iter().all(Result::is_ok));
        assert_eq!(connections.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_connection_that_the_other_side_ends_is_made_again_and_no_call_is_lost() {
        let (listener, connection) = listener().await;
        let connections = serve(listener, 1);
        for _ in 0..100 {
            call(&connection).await.unwrap();
        }
        assert!(connections.load(Relaxed) > 10);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_for_a_connection_leaves_it_to_the_next() {
        let (listener, connection) = listener().await;
        let gone = timeout(Duration::ZERO, call(&connection)).await;
        gone.unwrap_err();
        let connections = serve(listener, usize::MAX);
        call(&connection).await.unwrap();
        assert_eq!(connections.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_call_of_a_generated_client_ends_in_its_time() {
        // It accepts, and says nothing.
        let (_listener, mut connection) = listener().await;
        let request = Request::post("http://gateway/a.Service/Method").header(GRPC_TIMEOUT, "50m");
        let request = request.body(Body::empty()).unwrap();
        let status = Service::call(&mut connection, request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn where_nobody_listens_each_call_asks_again() {
        let (listener, connection) = listener().await;
        let address = listener.local_addr().unwrap();
        drop(listener);
        let lost = call(&connection).await.unwrap_err();
        assert!(matches!(lost, Failed::NotConnected(_)), "{lost:?}");
        serve(TcpListener::bind(address).await.unwrap(), usize::MAX);
        call(&connection).await.unwrap();
    }

    /// On the clock of the runtime, which goes on by itself while nothing happens.
    #[tokio::test]
    async fn a_connection_that_fell_silent_is_given_up_within_30_s() {
        let (listener, connection) = listener().await;
        let (connected, is_connected) = tokio::sync::oneshot::channel();
        let silent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).await.unwrap();
            connected.send(()).unwrap();
            // Settings, and not a word more.
            stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
        });
        let called = tokio::spawn(async move { call(&connection).await });
        // While the connection is made the clock goes as it should.
        is_connected.await.unwrap();
        tokio::time::pause();
        let given_up = timeout(Duration::from_secs(30), called).await;
        let given_up = given_up.expect("it is still waited for").unwrap();
        assert!(matches!(given_up, Err(Failed::Lost(_))), "{given_up:?}");
        silent.await.unwrap();
    }
}
