//! The secrets of a deployment, as settings.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use orderflow_identity::service;

/// New secrets: the user service's signing key, and a key for each service that calls another, with the public halves where
/// they are accepted. Each name carries the program it is for, so that one file serves all of them.
pub fn generate() -> Vec<(&'static str, String)> {
    let (catalog, order, gateway) = (secret(), secret(), secret());
    let public = |secret: &str| service::public_key(secret).expect("a random secret is strong");
    let (catalog_key, order_key, gateway_key) =
        (public(&catalog), public(&order), public(&gateway));
    vec![
        ("SECRET_KEY", secret()),
        ("CATALOG_SERVICE_KEY", catalog),
        ("ORDER_SERVICE_KEY", order),
        ("GATEWAY_SERVICE_KEY", gateway),
        // Who may ask for the users' public keys, and who may reserve stock.
        (
            "USER_SERVICE_KEYS_ALLOWED",
            format!("{catalog_key},{order_key},{gateway_key}"),
        ),
        ("CATALOG_SERVICE_KEYS_ALLOWED", order_key),
    ]
}

/// Writes new secrets to a file that does not exist yet, readable by its owner alone. The file is there whole or not at all.
pub fn write(path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let draft = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let lines = generate()
        .into_iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    let written = file
        .write_all(lines.collect::<String>().as_bytes())
        .and_then(|()| file.sync_all())
        // Unlike a rename, this fails if the file exists.
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    written
}

/// Reads secrets, after making them if there are none yet.
pub fn read_or_write(path: &Path) -> io::Result<HashMap<String, String>> {
    match write(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let broken = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not a file of NAME=value");
    let lines = dotenvy::from_path_iter(path).map_err(broken)?;
    lines.collect::<Result<_, _>>().map_err(broken)
}

fn secret() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
