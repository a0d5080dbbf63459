//! The catalog service.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    orderflow_catalog::main().await
}
