//! The order service.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    orderflow_order::main().await
}
