//! The user service's program; all of it is in the library.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    orderflow_user::main().await
}
