//! Any one program of the system, for tests that kill processes: `NODE=order node …` is `orderflow-order …`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // By the environment, since each program reads its own command line.
    match std::env::var("NODE").as_deref() {
        Ok("user") => orderflow_user::main().await,
        Ok("catalog") => orderflow_catalog::main().await,
        Ok("order") => orderflow_order::main().await,
        Ok("gateway") => orderflow_gateway::main().await,
        _ => {
            eprintln!("NODE must be user, catalog, order or gateway");
            ExitCode::FAILURE
        }
    }
}
