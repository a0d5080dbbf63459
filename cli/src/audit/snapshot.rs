//! Documents as they all were at one moment, in sorted streams.

use mongodb::{
    Client, ClientSession, Collection, Database, SessionCursor,
    bson::{Bson, Document, RawDocument, RawDocumentBuf, deserialize_from_slice, doc, error},
    options::{CollectionOptions, ReadConcern},
};
use serde::de::DeserializeOwned;

use super::{Error, Report, Violation};

/// How many documents come at once. Fewer would be slower, more would be fetched in vain where a stream is left early.
const BATCH: u32 = 1_000;

/// A moment. MongoDB forgets what it was like after five minutes, unless it was told otherwise.
pub(super) struct Snapshot {
    session: ClientSession,
}

impl Snapshot {
    pub(super) async fn now(client: &Client) -> Result<Self, Error> {
        let session = client.start_session().snapshot(true).await?;
        Ok(Self { session })
    }

    /// The documents that match, with these fields, sorted by `key`.
    pub(super) async fn find<T: DeserializeOwned>(
        &mut self,
        database: &Database,
        name: &'static str,
        filter: Document,
        key: &'static str,
        fields: Document,
    ) -> Result<Sorted<T>, Error> {
        let collection = collection(database, name);
        let found = collection
            .find(filter)
            .sort(doc! { key: 1 })
            .projection(fields)
            .batch_size(BATCH)
            .allow_disk_use(true)
            .session(&mut self.session);
        let cursor = found.await?;
        self.sorted(cursor, name, key)
    }

    /// What a pipeline makes of a collection; it must sort by `_id`.
    pub(super) async fn aggregate<T: DeserializeOwned>(
        &mut self,
        database: &Database,
        name: &'static str,
        pipeline: Vec<Document>,
    ) -> Result<Sorted<T>, Error> {
        let collection = collection(database, name);
        let made = collection
            .aggregate(pipeline)
            .with_type::<RawDocumentBuf>()
            .batch_size(BATCH)
            .allow_disk_use(true)
            .session(&mut self.session);
        let cursor = made.await?;
        self.sorted(cursor, name, "_id")
    }

    fn sorted<T>(
        &self,
        cursor: SessionCursor<RawDocumentBuf>,
        collection: &'static str,
        key: &'static str,
    ) -> Result<Sorted<T>, Error> {
        // Without a time the next stream would show another moment, and a busy system would look broken.
        if self.session.snapshot_time().is_none() {
            return Err(Error::NoSnapshot);
        }
        Ok(Sorted {
            cursor,
            collection,
            key,
            head: None,
        })
    }
}

/// The driver keeps a read concern that is set elsewhere, also in a snapshot session: so it is set here.
fn collection(database: &Database, name: &str) -> Collection<RawDocumentBuf> {
    let options = CollectionOptions::builder()
        .read_concern(ReadConcern::snapshot())
        .build();
    database.collection_with_options(name, options)
}

/// Documents sorted by a key, which is a text.
pub(super) struct Sorted<T> {
    cursor: SessionCursor<RawDocumentBuf>,
    collection: &'static str,
    key: &'static str,
    head: Option<(String, Result<T, Violation>)>,
}

impl<T: DeserializeOwned> Sorted<T> {
    /// The key of the document that comes next. One whose key is no text is a violation, and passed over.
    pub(super) async fn head(
        &mut self,
        snapshot: &mut Snapshot,
        report: &mut Report,
    ) -> Result<Option<&str>, Error> {
        while self.head.is_none() && self.cursor.advance(&mut snapshot.session).await? {
            let document = self.cursor.current();
            match document.get_str(self.key) {
                Ok(key) => self.head = Some((key.to_owned(), self.read(document))),
                Err(problem) => report.found(self.unreadable(document, problem)),
            }
        }
        Ok(self.head.as_ref().map(|(key, _)| key.as_str()))
    }

    /// The document that comes next, if it has this key.
    pub(super) fn take(&mut self, key: &str) -> Option<Result<T, Violation>> {
        let (_, read) = self.head.take_if(|(head, _)| head == key)?;
        Some(read)
    }

    /// The document that comes next, whatever its key.
    pub(super) async fn next(
        &mut self,
        snapshot: &mut Snapshot,
    ) -> Result<Option<Result<T, Violation>>, Error> {
        let is_there = self.cursor.advance(&mut snapshot.session).await?;
        Ok(is_there.then(|| self.read(self.cursor.current())))
    }

    fn read(&self, document: &RawDocument) -> Result<T, Violation> {
        deserialize_from_slice(document.as_bytes())
            .map_err(|problem| self.unreadable(document, problem))
    }

    fn unreadable(&self, document: &RawDocument, problem: error::Error) -> Violation {
        let id = document.get("_id").ok().flatten().map(Bson::try_from);
        Violation::Unreadable {
            collection: self.collection,
            id: match id {
                Some(Ok(Bson::String(id))) => id,
                Some(Ok(id)) => id.to_string(),
                Some(Err(_)) | None => "without an id".to_owned(),
            },
            problem: match problem.message {
                Some(message) => message,
                None => problem.to_string(),
            },
        }
    }
}
