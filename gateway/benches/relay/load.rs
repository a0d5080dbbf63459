//! Clients, each of which makes the next call when the last one is answered.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::{HeaderMap, Request};
use orderflow_proto::order::v1::GetOrderRequest;
use prost::Message;
use tokio::{net::TcpStream, task::JoinSet};

use super::service::framed;

const CONNECTIONS: usize = 8;

/// What a turn has shown.
pub(crate) struct Measured {
    pub(crate) calls: u64,
    failed: u64,
    took: Duration,
    latency_us: Histogram<u64>,
    /// What the relay took.
    pub(crate) cpu: Option<Duration>,
}

impl Measured {
    pub(crate) fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (self.latency_ms(0.5), self.latency_ms(0.99));
        write!(f, "{:>9.0}  {p50:>5.2} ms  {p99:>5.2} ms", self.rate())?;
        if let Some(cpu) = self.cpu {
            write!(
                f,
                "  {:>6.1} µs",
                cpu.as_micros() as f64 / self.calls as f64
            )?;
        }
        if self.failed > 0 {
            write!(f, "  {} failed", self.failed)?;
        }
        Ok(())
    }
}

/// A client for each token, for so long.
pub(crate) async fn turn(target: SocketAddr, tokens: &[String], duration: Duration) -> Measured {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.extend(connect(target).await.ok());
    }
    let since = Instant::now();
    let mut clients = JoinSet::new();
    for (i, token) in tokens.iter().enumerate() {
        let Some(connection) = connections.get(i % CONNECTIONS) else {
            break;
        };
        clients.spawn(client(connection.clone(), token.clone(), since + duration));
    }
    let mut all = Measured {
        calls: 0,
        failed: 0,
        took: duration,
        latency_us: histogram(),
        cpu: None,
    };
    while let Some(Ok((latency_us, failed))) = clients.join_next().await {
        all.calls += latency_us.len();
        all.failed += failed;
        all.latency_us.add(latency_us).expect("equal histograms");
    }
    all.took = since.elapsed();
    all
}

async fn connect(target: SocketAddr) -> Result<SendRequest<Bytes>, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24)
        .handshake(stream)
        .await?;
    tokio::spawn(connection);
    Ok(send)
}

async fn client(
    connection: SendRequest<Bytes>,
    token: String,
    until: Instant,
) -> (Histogram<u64>, u64) {
    let message = GetOrderRequest {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
    };
    let message = framed(&message.encode_to_vec());
    let (mut latency_us, mut failed) = (histogram(), 0);
    while Instant::now() < until {
        let since = Instant::now();
        match call(connection.clone(), &token, message.clone()).await {
            Ok(true) => latency_us.saturating_record(since.elapsed().as_micros() as u64),
            Ok(false) => failed += 1,
            Err(_) => {
                failed += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    (latency_us, failed)
}

/// True when it succeeded.
async fn call(
    connection: SendRequest<Bytes>,
    token: &str,
    message: Bytes,
) -> Result<bool, h2::Error> {
    let request = Request::post("http://localhost/orderflow.order.v1.OrderService/GetOrder")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "10S")
        .header("user-agent", "relay-bench")
        .header("authorization", format!("Bearer {token}"));
    let request = request.body(()).expect("it is one");
    let (response, mut body) = connection.ready().await?.send_request(request, false)?;
    body.send_data(message, true)?;
    let response = response.await?;
    let in_headers = is_ok(response.headers());
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        length += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    let trailers = body.trailers().await?;
    Ok(length > 0 && (in_headers || trailers.is_some_and(|trailers| is_ok(&trailers))))
}

fn is_ok(headers: &HeaderMap) -> bool {
    headers
        .get("grpc-status")
        .is_some_and(|status| status == "0")
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds in order")
}
