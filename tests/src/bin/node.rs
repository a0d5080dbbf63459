//! Any one program of the system, for tests that kill processes: `ORDERFLOW_PROGRAM=order node …` is `orderflow-order …`.

use std::process::ExitCode;

use orderflow_cli::processes;

#[tokio::main]
async fn main() -> ExitCode {
    match processes::as_told().await {
        Some(ended) => ended,
        None => {
            eprintln!("{} is not set", processes::PROGRAM);
            ExitCode::FAILURE
        }
    }
}
