//! Work that goes on when its caller leaves.

use orderflow_contract::{status, trace::TraceId};
use tonic::Status;
use tracing::Instrument;

/// Runs `work` to its end in a task of its own and waits for it. tonic drops a handler when its caller is gone; MongoDB's
/// futures must not be dropped half-way, and a write that was begun is finished.
pub async fn to_completion<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Status> {
    let trace_id = TraceId::current().unwrap_or_else(TraceId::random);
    tokio::spawn(trace_id.scope(work).in_current_span())
        .await
        .map_err(|panicked| status::internal(&panicked))
}
