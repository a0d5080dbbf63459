use std::{
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    FutureExt,
    future::{self, BoxFuture},
};
use h2::{
    Ping, PingPong, Reason,
    client::{Builder, SendRequest},
};
use http::{Request, Response, Uri, Version};
use http_body_util::BodyExt;
use orderflow_chassis::{channel::Tls, gather::Gathering};
use orderflow_contract::deadline::{self, GRPC_TIMEOUT};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body};
use tower::Service;

use crate::{reply::Reply, room::Room};

/// How often the other side is asked for a sign of life, and how long it has to give one: or a peer that vanished without a word
/// would be waited for until the kernel gives up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// All calls share the connection: an answer that nobody reads must not take the window of all others with it.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;
/// The largest headers of an answer, all together.
const MAX_HEADERS: u32 = 16 * 1024;
/// Calls that were given up and are remembered for a while: what still comes for others is answered with an error.
const GIVEN_UP: usize = 1_000;

/// The connection to one server: made when it is first needed, made again when it is lost. Clones share it.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    url: Uri,
    tls: Tls,
    patience: Duration,
    /// The one that is there, or on its way: everybody waits for the same one.
    current: Mutex<Option<Connecting>>,
}

type Connecting = future::Shared<BoxFuture<'static, Result<Made, NotConnected>>>;

/// A connection that is there.
#[derive(Clone)]
struct Made {
    requests: SendRequest<Bytes>,
    room: Room,
}

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
    Lost(#[source] h2::Error),
}

impl From<Failed> for Status {
    fn from(failed: Failed) -> Self {
        let mut status = Self::unavailable(failed.to_string());
        status.set_source(Arc::new(failed));
        status
    }
}

/// What became of a call on one connection.
enum Unanswered {
    /// The other side had just ended the connection, or says that it has not looked at the call.
    Unseen(h2::Error),
    Failed(Failed),
}

impl Connection {
    /// A connection that is there, as [`Connection::lazy`] will make it.
    pub async fn connect(
        address: SocketAddr,
        url: &Uri,
        tls: &Tls,
        patience: Duration,
    ) -> Result<Self, NotConnected> {
        let connection = Self::lazy(address, url, tls, patience);
        connection.0.established().await?;
        Ok(connection)
    }

    /// To the server at `address`, under the name that `url` gives it, once it is needed; given up after `patience`.
    pub fn lazy(address: SocketAddr, url: &Uri, tls: &Tls, patience: Duration) -> Self {
        Self(Arc::new(Shared {
            address,
            url: url.clone(),
            tls: tls.clone(),
            patience,
            current: Mutex::default(),
        }))
    }

    /// Makes a call with this head, whose URL needs no more than a path, and this one message. What the other side has not seen goes
    /// once more.
    pub(crate) async fn send(
        &self,
        head: impl Fn() -> Request<()>,
        message: &Bytes,
    ) -> Result<Response<Reply>, Failed> {
        for is_last in [false, true] {
            match self.0.send(head(), message.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Unseen(error)) if is_last => return Err(Failed::Lost(error)),
                Err(Unanswered::Unseen(_)) => {}
                Err(Unanswered::Failed(failed)) => return Err(failed),
            }
        }
        unreachable!("the last one returns")
    }
}

impl Shared {
    async fn send(
        &self,
        mut head: Request<()>,
        message: Bytes,
    ) -> Result<Response<Reply>, Unanswered> {
        *head.uri_mut() = self.at_this_server(mem::take(head.uri_mut()));
        *head.version_mut() = Version::HTTP_2;
        let connected = self.established().await;
        let Made { mut requests, room } = connected.map_err(|e| Unanswered::Failed(e.into()))?;
        let place = room.enter().await;
        let sent = requests.send_request(head, false);
        let (answer, mut body) = sent.map_err(Unanswered::Unseen)?;
        // Where it goes no more, the answer says why.
        let _ = body.send_data(message, true);
        let answer = answer.await.map_err(unanswered)?;
        Ok(answer.map(|body| Reply::new(body, place)))
    }

    fn at_this_server(&self, uri: Uri) -> Uri {
        let mut parts = uri.into_parts();
        parts.scheme = self.url.scheme().cloned();
        parts.authority = self.url.authority().cloned();
        Uri::from_parts(parts).expect("a URL's scheme and authority, and a path")
    }

    async fn established(&self) -> Result<Made, NotConnected> {
        let connecting = {
            let mut current = self.current.lock().expect("no holder of the lock panics");
            let on_its_way = match current.as_ref().map(|made| (made, made.peek())) {
                Some((_, Some(Ok(made)))) => match made.usable() {
                    Some(made) => return Ok(made),
                    None => None,
                },
                Some((on_its_way, None)) => Some(on_its_way.clone()),
                Some((_, Some(Err(_)))) | None => None,
            };
            // There was none yet, or it was lost, or could not be made.
            on_its_way.unwrap_or_else(|| current.insert(self.connect()).clone())
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

impl Made {
    /// A handle to it, unless it has ended or is about to.
    fn usable(&self) -> Option<Self> {
        let mut made = self.clone();
        let ready = made
            .requests
            .poll_ready(&mut Context::from_waker(Waker::noop()));
        // A new handle is not held up by calls that wait for room: this is ready, or an error.
        matches!(ready, Poll::Ready(Ok(()))).then_some(made)
    }
}

/// Where the other side refuses a call, or ends the connection and does not count the call among those that it has seen, HTTP
/// promises that it has done nothing about it.
fn unanswered(error: h2::Error) -> Unanswered {
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && (is_refused || error.is_go_away()) {
        Unanswered::Unseen(error)
    } else {
        Unanswered::Failed(Failed::Lost(error))
    }
}

/// A call of a generated client, which takes one message: it ends when it says that it should, whatever becomes of it on the other
/// side.
pub(crate) fn of_client<F>(
    request: Request<Body>,
    call: impl FnOnce(Request<()>, Bytes) -> F + Send + 'static,
) -> BoxFuture<'static, Result<Response<Body>, Status>>
where
    F: Future<Output = Result<Response<Reply>, Failed>> + Send + 'static,
{
    let limit = request.headers().get(GRPC_TIMEOUT);
    let limit = limit
        .map(|limit| deadline::read(limit.as_bytes()))
        .transpose();
    Box::pin(async move {
        let (head, body) = request.into_parts();
        let message = body.collect().await?.to_bytes();
        let call = call(Request::from_parts(head, ()), message);
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
        of_client(request, |head, message| async move {
            connection.send(|| head.clone(), &message).await
        })
    }
}

async fn connect(
    address: SocketAddr,
    url: Uri,
    tls: Tls,
) -> Result<Made, Box<dyn std::error::Error + Send + Sync>> {
    let stream = tls.connect(&url, address).await?;
    let (requests, mut connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .enable_push(false)
        .initial_max_send_streams(Room::AT_FIRST)
        .max_concurrent_reset_streams(GIVEN_UP)
        // What comes late for a call that is forgotten counts as an attack, over the whole life of the connection.
        .max_local_error_reset_streams(None)
        .handshake(Gathering::new(stream))
        .await?;
    let pings = connection.ping_pong().expect("it is taken once");
    let room = Room::new();
    let made = Made { requests, room };
    let first = made.clone();
    tokio::spawn(async move {
        // Whoever still waits for an answer when the connection is dropped learns that it was lost.
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%address, error = &error as &dyn std::error::Error, "a connection was lost");
            },
            () = silence(pings, first) => tracing::debug!(%address, "a connection fell silent"),
        }
    });
    Ok(made)
}

/// Waits until the other side gives no sign of life.
async fn silence(mut pings: PingPong, made: Made) {
    let mut first = Some(made);
    loop {
        match timeout(KEEP_ALIVE, pings.ping(Ping::opaque())).await {
            // Before its first sign it has said how many calls it takes. The connection ends when nobody has it any more.
            Ok(Ok(_)) => {
                if let Some(made) = first.take() {
                    made.room.grow(&made.requests);
                }
            }
            // Its end is known already.
            Ok(Err(_)) => future::pending().await,
            Err(_) => return,
        }
        sleep(KEEP_ALIVE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use futures::future::join_all;
    use hyper::{body::Incoming, server, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
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
        let head = || Request::post("/a.Service/Method").body(()).unwrap();
        connection.send(head, &Bytes::new()).await.map(drop)
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

    /// A server that gives the calls it sees these ends, one after another, on as many connections as it takes, and answers those that
    /// come later; and the number of calls that it has seen.
    fn end(listener: TcpListener, mut ends: Vec<End>) -> Arc<AtomicUsize> {
        ends.reverse();
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_call, mut answer))) = connection.accept().await {
                    counted.fetch_add(1, Relaxed);
                    match ends.pop() {
                        None => _ = answer.send_response(Response::new(()), true),
                        Some(End::Reset(reason)) => answer.send_reset(reason),
                        Some(End::GoAway) => {
                            connection.abrupt_shutdown(Reason::NO_ERROR);
                            break;
                        }
                        Some(End::Cut) => break,
                    }
                }
            }
        });
        seen
    }

    enum End {
        Reset(Reason),
        GoAway,
        Cut,
    }

    #[tokio::test]
    async fn a_call_that_the_other_side_refuses_goes_once_more() {
        let (listener, connection) = listener().await;
        let refused = || End::Reset(Reason::REFUSED_STREAM);
        let seen = end(listener, vec![refused(), refused(), refused()]);
        let lost = call(&connection).await;
        assert!(matches!(lost, Err(Failed::Lost(_))), "{lost:?}");
        assert_eq!(seen.load(Relaxed), 2);
        call(&connection).await.unwrap();
        assert_eq!(seen.load(Relaxed), 4);
    }

    #[tokio::test]
    async fn a_call_that_may_have_been_seen_does_not() {
        let (listener, connection) = listener().await;
        let ends = vec![End::Cut, End::Reset(Reason::INTERNAL_ERROR), End::GoAway];
        let seen = end(listener, ends);
        for n in 1..=3 {
            let lost = call(&connection).await;
            assert!(matches!(lost, Err(Failed::Lost(_))), "{n}: {lost:?}");
            assert_eq!(seen.load(Relaxed), n);
        }
        call(&connection).await.unwrap();
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_is_taken_back() {
        let (listener, connection) = listener().await;
        let (seen, is_seen) = tokio::sync::oneshot::channel();
        let given_up = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = h2::server::handshake(stream).await.unwrap();
            let (_call, mut answer) = server.accept().await.unwrap().unwrap();
            seen.send(()).unwrap();
            tokio::spawn(async move { while server.accept().await.is_some() {} });
            future::poll_fn(|cx| answer.poll_reset(cx)).await.unwrap()
        });
        tokio::select! {
            _ = call(&connection) => panic!("nobody answers"),
            seen = is_seen => seen.unwrap(),
        }
        assert_eq!(given_up.await.unwrap(), Reason::CANCEL);
    }

    #[tokio::test]
    async fn as_many_calls_go_as_the_other_side_takes_though_none_is_answered() {
        const MANY: usize = 100;
        let (listener, connection) = listener().await;
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = h2::server::handshake(stream).await.unwrap();
            let mut held = Vec::new();
            while let Some(Ok((_call, answer))) = server.accept().await {
                held.push(answer);
                if held.len() == MANY {
                    for mut answer in held.drain(..) {
                        answer.send_response(Response::new(()), true).unwrap();
                    }
                }
            }
        });
        let calls = join_all((0..MANY).map(|_| call(&connection)));
        let calls = timeout(Duration::from_secs(20), calls).await.unwrap();
        assert!(calls.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_while_there_is_no_room_is_never_sent() {
        let (listener, connection) = listener().await;
        let (held, mut holding) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = h2::server::Builder::new();
            server.max_concurrent_streams(20);
            let mut server = server.handshake::<_, Bytes>(stream).await.unwrap();
            while let Some(Ok((_call, answer))) = server.accept().await {
                held.send(answer).unwrap();
            }
        });
        let answer = |mut held: h2::server::SendResponse<Bytes>| {
            held.send_response(Response::new(()), true).unwrap();
        };
        // Now it is known how many there may be.
        let (first, ()) = tokio::join!(call(&connection), async {
            answer(holding.recv().await.unwrap());
        });
        first.unwrap();

        let calls: Vec<_> = (0..100)
            .map(|_| {
                let connection = connection.clone();
                AbortOnDropHandle::new(tokio::spawn(async move { call(&connection).await }))
            })
            .collect();
        let mut held = Vec::new();
        while held.len() < 20 {
            held.push(holding.recv().await.unwrap());
        }
        sleep(Duration::from_millis(100)).await;
        drop((calls, held));
        let (last, ()) = tokio::join!(call(&connection), async {
            answer(holding.recv().await.unwrap());
        });
        last.unwrap();
        assert!(holding.is_empty());
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
