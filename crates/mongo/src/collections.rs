use mongodb::{
    Database,
    error::{Error, ErrorKind},
};

/// Makes sure that the collections exist. A transaction that had to create one would conflict with every other.
pub async fn ensure_collections(database: &Database, names: &[&str]) -> Result<(), Error> {
    let existing = database.list_collection_names().await?;
    for name in names {
        if !existing.iter().any(|collection| collection == name) {
            match database.create_collection(*name).await {
                Err(error) if !already_exists(&error) => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Another replica was faster.
fn already_exists(error: &Error) -> bool {
    const NAMESPACE_EXISTS: i32 = 48;
    matches!(error.kind.as_ref(), ErrorKind::Command(e) if e.code == NAMESPACE_EXISTS)
}
