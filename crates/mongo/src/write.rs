use mongodb::{
    ClientSession, Collection, Database,
    bson::{Document, doc},
    error::ErrorKind,
};
use serde::Serialize;

use crate::failure::{DUPLICATE_KEY, Failure, INTERRUPTED, WRITE_CONFLICT};

/// Runs several guarded updates as one command within a transaction. Together the statements (`{q, u, multi}`) must match
/// exactly `expected` documents.
///
/// Inside a transaction a failing statement comes back as `ok: 1` with `writeErrors`, and the server has by then ended the
/// transaction: unseen, the next operation would fail in a way that looks transient and be replayed for ever.
pub async fn update(
    database: &Database,
    session: &mut ClientSession,
    collection: &str,
    statements: Vec<Document>,
    expected: usize,
) -> Result<(), Failure> {
    let command = doc! { "update": collection, "updates": statements };
    let reply = database.run_command(command).session(session).await?;
    if let Ok(errors) = reply.get_array("writeErrors") {
        let codes: Vec<_> = errors
            .iter()
            .filter_map(|error| error.as_document()?.get_i32("code").ok())
            .collect();
        return Err(match codes.first() {
            Some(&(WRITE_CONFLICT | INTERRUPTED)) => Failure::Conflict,
            _ => Failure::Rejected(format!("writeErrors with codes {codes:?}")),
        });
    }
    if reply.contains_key("writeConcernError") {
        return Err(Failure::Rejected(
            "a writeConcernError within a transaction".to_owned(),
        ));
    }
    let n = reply.get_i32("n").unwrap_or_default();
    if usize::try_from(n) != Ok(expected) {
        return Err(Failure::Rejected(format!(
            "{n} of {expected} documents matched"
        )));
    }
    Ok(())
}

/// Inserts documents outside of a transaction, each on its own, and gives the indices of those whose key was there already.
///
/// `Ok` means that all of them are now acknowledged by a majority. A duplicate key alone does not say that: the document it
/// met may yet be rolled back. So it counts only if the reply carries no write concern error.
pub async fn insert<T: Serialize + Send + Sync>(
    collection: &Collection<T>,
    documents: &[T],
) -> Result<Vec<usize>, mongodb::error::Error> {
    let Err(error) = collection.insert_many(documents).ordered(false).await else {
        return Ok(Vec::new());
    };
    match error.kind.as_ref() {
        ErrorKind::InsertMany(failed) if failed.write_concern_error.is_none() => {
            let errors = failed.write_errors.as_deref().unwrap_or_default();
            if errors.iter().all(|e| e.code == DUPLICATE_KEY) {
                return Ok(errors.iter().map(|e| e.index).collect());
            }
            Err(error)
        }
        _ => Err(error),
    }
}
