//! Connections to other services.

use std::{net::SocketAddr, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

/// How a service is connected to.
pub fn endpoint(url: &Uri) -> Endpoint {
    Endpoint::from(url.clone())
        .connect_timeout(Duration::from_secs(2))
        // All calls share the connection: an answer that nobody reads must not take the window of all others with it.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(256 * 1024 * 1024)
        // Without these a peer that vanished without a word would be waited for until the kernel gives up.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
}

/// A connection to the one server at `address`, whatever else the endpoint's name may mean. It is made when first used, made again
/// when lost, and given up when the other side stays silent.
pub fn lazy(endpoint: Endpoint, address: SocketAddr) -> Channel {
    endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    }))
}
