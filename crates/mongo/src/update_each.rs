use mongodb::{
    Database,
    bson::{Document, doc},
    error::Error,
};

/// Runs several guarded updates as one command outside of a transaction, each on its own. Each statement (`{q, u}`) is about
/// one document.
///
/// True if every one of them matched, acknowledged by a majority. MongoDB counts them only in total, so false says nothing
/// about any one of them, and neither does an error: what became of them must be read.
pub async fn update_each(
    database: &Database,
    collection: &str,
    statements: Vec<Document>,
) -> Result<bool, Error> {
    let expected = i64::try_from(statements.len()).expect("a batch is small");
    // A command that is sent as it stands gets no write concern from the client, and no retry.
    let command = doc! {
        "update": collection,
        "updates": statements,
        "ordered": false,
        "writeConcern": { "w": "majority", "wtimeout": wtimeout() },
    };
    let reply = database.run_command(command).await?;
    let is_clean = !reply.contains_key("writeErrors") && !reply.contains_key("writeConcernError");
    if !is_clean {
        tracing::debug!(%reply, "not all updates were made");
    }
    Ok(is_clean && reply.get_i32("n").ok().map(i64::from) == Some(expected))
}

fn wtimeout() -> i64 {
    i64::try_from(crate::ACKNOWLEDGE.as_millis()).expect("seconds")
}
