use std::collections::HashMap;

use futures::TryStreamExt;
use mongodb::{
    Collection,
    bson::{RawDocumentBuf, deserialize_from_slice, doc},
    error::Error,
};
use serde::de::DeserializeOwned;

use crate::max_time;

/// The documents with these ids, in one query by `_id` and nothing else, which MongoDB has no plan to make for. Each is read
/// for itself, so that one that cannot be read harms no other.
pub async fn find_by_ids<T: DeserializeOwned + Send + Sync>(
    collection: &Collection<T>,
    ids: Vec<String>,
) -> Result<HashMap<String, Result<T, Error>>, Error> {
    let documents = collection.clone_with_type::<RawDocumentBuf>();
    // All of them in the first answer, with room left: a full one would not be the last.
    let at_once = ids.len() as u32 + 1;
    let found = documents
        .find(doc! { "_id": { "$in": ids } })
        .batch_size(at_once)
        .max_time(max_time())
        .await?;
    let read = |document: RawDocumentBuf| {
        let id = document.get_str("_id").unwrap_or_default().to_owned();
        let read = deserialize_from_slice(document.as_bytes());
        (id, read.map_err(Error::from))
    };
    found.map_ok(read).try_collect().await
}
