//! The life of a connection.

use std::{
    convert::Infallible, error::Error, iter::successors, net::SocketAddr, pin::pin, sync::Arc,
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    net::TcpStream,
    time::{Instant, interval_at, sleep_until, timeout},
};
use tokio_util::either::Either;
use tonic::transport::server::TcpConnectInfo;
use tower::{Service, ServiceExt};

use super::{
    BoxError, DRAIN, Options,
    activity::Activity,
    answer::Answer,
    request::Received,
    trace::{Name, traced},
    wire::Wire,
};
use crate::{Shutdown, gather::Gathering};

/// What calls in flight have when their connection ends while the server goes on; none takes longer.
const GRACE: Duration = Duration::from_secs(60);
/// Streams get this much less: who reads one is told how it ends.
const FAREWELL: Duration = Duration::from_secs(6);
/// No end, or none that matters.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

/// The largest headers of a request, all together.
const MAX_HEADERS: u32 = 16 * 1024;

/// What all connections share.
pub(super) struct Server {
    name: Name,
    options: Options,
    shutdown: Shutdown,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Server {
    pub(super) fn new(name: &'static str, options: Options, shutdown: Shutdown) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // Also between two requests.
            .header_read_timeout(options.header_timeout)
            .max_buf_size(MAX_HEADERS as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(options.max_streams)
            .max_header_list_size(MAX_HEADERS)
            // All calls may be taken back before they have begun. What resets may cost the client is counted beside.
            .max_pending_accept_reset_streams(options.max_streams as usize)
            // Over the whole life of a connection: calls beyond those that it may have, and what comes for calls that were refused.
            .max_local_error_reset_streams(1024)
            // What a stream that nobody reads may keep.
            .max_send_buf_size(64 * 1024)
            // Who does not answer a ping is gone.
            .keep_alive_interval(2 * options.header_timeout)
            .keep_alive_timeout(options.header_timeout);
        Self {
            name: Name(name),
            options,
            shutdown,
            http1,
            http2,
        }
    }
}

/// How a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As most do.
    Ordinary,
    /// It asked for too much work that is none of a request, and was told to calm down.
    Flood,
}

/// Serves a connection to its end.
pub(super) async fn serve<S, B>(
    server: Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
) -> End
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let options = &server.options;
    let activity = Arc::new(Activity::default());
    let connect_info = TcpConnectInfo {
        local_addr: stream.local_addr().ok(),
        remote_addr: Some(peer),
    };
    let opening = async {
        let io = match &options.tls {
            None => Either::Left(stream),
            Some(tls) => Either::Right(Box::new(tls.accept(stream).await?)),
        };
        let max_streams = options.max_streams as usize;
        Wire::open(io, activity.clone(), max_streams, options.write_timeout).await
    };
    let opening = timeout(options.header_timeout, opening);
    // Who has not said anything yet has nothing in flight.
    let Some(Ok(Ok(wire))) = server.shutdown.run_until_cancelled(opening).await else {
        tracing::debug!(server = server.name.0, %peer, "a connection that never began");
        return End::Ordinary;
    };

    let (name, body_timeout) = (server.name, options.body_timeout);
    // For the streams of this connection, which ends before the server does when it is old.
    let ending = Shutdown::new();
    let calls = {
        let (activity, ending) = (activity.clone(), ending.clone());
        service_fn(move |request: Request<Incoming>| {
            let call = activity.begin();
            let (service, ending) = (service.clone(), ending.clone());
            let mut request = request.map(|body| Body::new(Received::new(body, body_timeout)));
            request.extensions_mut().insert(connect_info.clone());
            // Boxed where it is made: hyper and tokio pass it on by value, from hand to hand, and it is large.
            Box::pin(async move {
                let response = traced(name, request, |request| service.oneshot(request)).await?;
                Ok::<_, Infallible>(Answer::new(response, call, ending))
            })
        })
    };
    let life = Life {
        server: &server,
        peer,
        activity: &activity,
        ending,
    };
    if wire.is_http2() {
        let wire = TokioIo::new(Gathering::new(wire));
        let connection = server.http2.serve_connection(wire, calls);
        life.run(connection).await
    } else if options.http1 {
        let connection = server.http1.serve_connection(TokioIo::new(wire), calls);
        life.run(connection).await
    } else {
        End::Ordinary
    }
}

struct Life<'a> {
    server: &'a Server,
    peer: SocketAddr,
    activity: &'a Activity,
    ending: Shutdown,
}

impl Life<'_> {
    async fn run<C: GracefulConnection<Error = hyper::Error>>(self, connection: C) -> End {
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return self.ended(result),
            reason = self.reason_to_end() => match reason {
                Reason::NotRead => return self.cut("its client does not read"),
                Reason::Old | Reason::Idle | Reason::Shutdown => {}
            },
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            result = connection => self.ended(result),
            () = self.quiet() => End::Ordinary,
            () = self.grace() => self.cut("it did not end by itself"),
        }
    }

    /// Waits until it is time to end.
    async fn reason_to_end(&self) -> Reason {
        let options = &self.server.options;
        let period = (options.write_timeout.min(options.idle_timeout) / 2).max(SHORTEST);
        let mut periods = interval_at(Instant::now() + period, period);
        let old = options.max_age.map_or(LONG, with_jitter);
        let mut old = pin!(sleep_until(Instant::now() + old));
        let (mut begun, mut active) = (0, Instant::now());
        loop {
            tokio::select! {
                () = self.server.shutdown.cancelled() => return Reason::Shutdown,
                () = &mut old => return Reason::Old,
                _ = periods.tick() => {}
            }
            if !self.activity.next_period() {
                return Reason::NotRead;
            }
            if self.activity.open() > 0 || self.activity.begun() != begun {
                (begun, active) = (self.activity.begun(), Instant::now());
            } else if active.elapsed() >= options.idle_timeout {
                return Reason::Idle;
            }
        }
    }

    /// After GOAWAY: waits until there is nothing in flight any more, neither calls nor bytes. The client might take its time
    /// to close.
    async fn quiet(&self) {
        const QUIET: Duration = Duration::from_millis(500);
        let mut ticks = interval_at(Instant::now() + QUIET, QUIET);
        let mut bytes = usize::MAX;
        loop {
            ticks.tick().await;
            let before = std::mem::replace(&mut bytes, self.activity.bytes());
            if self.activity.open() == 0 && before == bytes {
                return;
            }
        }
    }

    /// After GOAWAY: the time that is left for calls in flight, and before that for streams.
    async fn grace(&self) {
        let spend = async |time: Duration| {
            tokio::time::sleep(time - FAREWELL).await;
            self.ending.cancel();
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            () = spend(GRACE) => {}
            () = async { self.server.shutdown.cancelled().await; spend(DRAIN).await } => {}
        }
    }

    fn ended(&self, result: Result<(), hyper::Error>) -> End {
        let Err(error) = result else {
            return End::Ordinary;
        };
        let error: &(dyn Error + 'static) = &error;
        tracing::debug!(server = self.server.name.0, peer = %self.peer, error, "a connection failed");
        // What the HTTP library finds: too many calls that are taken back, errors of streams, pieces of headers.
        let is_flood = successors(Some(error), |&error| error.source()).any(has_to_calm_down);
        if is_flood || self.activity.is_flood() {
            End::Flood
        } else {
            End::Ordinary
        }
    }

    fn cut(&self, why: &'static str) -> End {
        tracing::debug!(server = self.server.name.0, peer = %self.peer, why, "a connection is cut off");
        End::Ordinary
    }
}

fn has_to_calm_down(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<h2::Error>();
    error.is_some_and(|error| {
        error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
    })
}

enum Reason {
    Shutdown,
    Old,
    Idle,
    NotRead,
}

/// How often it is looked at, at the most.
const SHORTEST: Duration = Duration::from_millis(100);

/// So that connections that were made together do not all end together.
fn with_jitter(age: Duration) -> Duration {
    age.mul_f64(rand::random_range(0.9..1.1))
}
