//! Work that goes on when its caller leaves.

use orderflow_contract::{deadline::Deadline, status, trace::Call};
use tonic::Status;

/// Runs `work` to its end in a task of its own and waits for it. tonic drops a handler when its caller is gone; MongoDB's
/// futures must not be dropped half-way, and a write that was begun is finished.
pub async fn to_completion<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Status> {
    let task = match Call::current() {
        Some(call) => tokio::spawn(call.scope(work)),
        None => tokio::spawn(work),
    };
    task.await.map_err(|panicked| status::internal(&panicked))
}

/// As [`to_completion`], for reads. They are not dropped when their caller leaves, for the same reason; but they know the
/// caller's deadline and tell MongoDB, so that they end with it.
pub async fn read<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Status> {
    let deadline = Deadline::current();
    to_completion(async move {
        match deadline {
            Some(deadline) => deadline.scope(work).await,
            None => work.await,
        }
    })
    .await
}
