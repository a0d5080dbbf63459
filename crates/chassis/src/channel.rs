//! Connections to other services.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Uri};

/// A connection that is made when first used, made again when lost, and given up when the other side stays silent.
pub fn lazy(uri: &Uri) -> Channel {
    Endpoint::from(uri.clone())
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        // All calls share the connection: an answer that nobody reads must not take the window of all others with it.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(256 * 1024 * 1024)
        // Without these a peer that vanished without a word would be waited for until the kernel gives up.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .connect_lazy()
}
