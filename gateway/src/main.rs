//! The gateway as a program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    orderflow_gateway::main().await
}
