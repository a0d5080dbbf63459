use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use mongodb::{
    Collection, Database, IndexModel,
    bson::{DateTime, Document, doc},
    options::{IndexOptions, ReturnDocument},
};
use orderflow_chassis::{config::Secret, task};
use orderflow_contract::Id;
use orderflow_mongo as mongo;
use serde::{Deserialize, Serialize};

use crate::{email::Email, failure::Failure, password::Hash};

/// An account as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct User {
    #[serde(rename = "_id")]
    pub(crate) id: Id,
    pub(crate) name: String,
    /// Unique.
    pub(crate) email: Email,
    pub(crate) password_hash: Hash,
    pub(crate) roles: Vec<String>,
    pub(crate) create_time: DateTime,
    pub(crate) update_time: DateTime,
}

/// The collection `users`.
#[derive(Clone)]
pub(crate) struct Store {
    database: Database,
    users: Collection<User>,
    /// Without its index the collection would take one address twice.
    indexed: Arc<AtomicBool>,
}

impl Store {
    /// Connects lazily: an error means that the URL is not one.
    pub(crate) async fn connect(mongo_url: &Secret, database: &str) -> Result<Self, mongo::BadUrl> {
        let client = mongo::connect(mongo_url.expose(), "orderflow-user").await?;
        let database = client.database(database);
        Ok(Self {
            users: database.collection("users"),
            database,
            indexed: Arc::default(),
        })
    }

    /// Makes what every other operation asks for.
    pub(crate) async fn ensure_indexes(&self) -> Result<(), mongodb::error::Error> {
        let unique = IndexOptions::builder().unique(true).build();
        let email = IndexModel::builder()
            .keys(doc! { "email": 1 })
            .options(unique)
            .build();
        mongo::ensure_indexes(&self.users, [email]).await?;
        self.indexed.store(true, Relaxed);
        Ok(())
    }

    pub(crate) async fn is_ready(&self) -> bool {
        self.indexed.load(Relaxed) && mongo::ping(&self.database).await
    }

    pub(crate) async fn with_id(&self, id: Id) -> Result<Option<User>, Failure> {
        self.find(doc! { "_id": id.to_string() }).await
    }

    pub(crate) async fn with_email(&self, email: &Email) -> Result<Option<User>, Failure> {
        self.find(doc! { "email": email.as_str() }).await
    }

    /// Keeps a new account, unless its e-mail address has one already.
    pub(crate) async fn insert(&self, user: User) -> Result<User, Failure> {
        let insert = |users| async move {
            let known = mongo::insert(&users, std::slice::from_ref(&user)).await?;
            Ok((user, known.is_empty()))
        };
        match self.run(insert).await? {
            (user, true) => Ok(user),
            (_, false) => Err(Failure::EmailTaken),
        }
    }

    /// Changes an account; `None` if it is gone.
    pub(crate) async fn update(
        &self,
        id: Id,
        name: Option<String>,
        email: Option<Email>,
    ) -> Result<Option<User>, Failure> {
        let mut set = doc! { "update_time": DateTime::now() };
        set.extend(name.map(|name| ("name".to_owned(), name.into())));
        set.extend(email.map(|email| ("email".to_owned(), email.as_str().into())));
        self.change(doc! { "_id": id.to_string() }, doc! { "$set": set })
            .await
    }

    /// Gives a role or takes it away; `None` if nobody has the e-mail address.
    pub(crate) async fn set_role(
        &self,
        email: &Email,
        role: &str,
        granted: bool,
    ) -> Result<Option<User>, Failure> {
        let change = if granted { "$addToSet" } else { "$pull" };
        let update = doc! { change: { "roles": role }, "$set": { "update_time": DateTime::now() } };
        self.change(doc! { "email": email.as_str() }, update).await
    }

    async fn find(&self, filter: Document) -> Result<Option<User>, Failure> {
        let users = self.indexed()?;
        let find = async move { users.find_one(filter).max_time(mongo::max_time()).await };
        Ok(task::read(find).await.map_err(Failure::Broken)??)
    }

    async fn change(&self, filter: Document, update: Document) -> Result<Option<User>, Failure> {
        let change = |users: Collection<User>| async move {
            users
                .find_one_and_update(filter, update)
                .return_document(ReturnDocument::After)
                .await
        };
        match self.run(change).await {
            Err(Failure::Mongo(error)) => Err(match mongo::Failure::from(error.clone()) {
                mongo::Failure::Duplicate => Failure::EmailTaken,
                _ => Failure::Mongo(error),
            }),
            result => result,
        }
    }

    /// Runs a write to its end, whether or not the caller waits for it.
    async fn run<T, F>(&self, operation: impl FnOnce(Collection<User>) -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, mongodb::error::Error>> + Send + 'static,
    {
        let done = task::to_completion(operation(self.indexed()?)).await;
        Ok(done.map_err(Failure::Broken)??)
    }

    fn indexed(&self) -> Result<Collection<User>, Failure> {
        if self.indexed.load(Relaxed) {
            Ok(self.users.clone())
        } else {
            Err(Failure::Starting)
        }
    }
}
