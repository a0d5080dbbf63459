use std::{fmt, sync::Arc, thread::available_parallelism};

use bcrypt::BcryptError;
use orderflow_contract::{Id, status};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::failure::Failure;

/// How many calls may wait for their turn: at 0.25 s each, more would wait longer than anybody does.
const MAX_WAITING: usize = 64;

/// A password that an account may have; never printed.
pub(crate) struct Password(String);

impl TryFrom<String> for Password {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // bcrypt sees 72 bytes, one of them the NUL behind the password, which it then repeats: "a" and "a\0a" are the same
        // to it.
        match text.len() {
            8..=71 if !text.contains('\0') => Ok(Self(text)),
            8..=71 => Err("must not contain NUL"),
            _ => Err("must have 8 to 71 bytes"),
        }
    }
}

/// What is kept of a password: bcrypt's text form; never printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hash(String);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Hashes passwords on all cores but one, so that a storm of logins leaves one to everything else.
pub(crate) struct Hasher {
    cost: u32,
    /// Compared with where there is no account, so that this takes as long.
    nobody: Hash,
    /// For those who wait or hash.
    places: Arc<Semaphore>,
    /// For those who hash.
    turns: Arc<Semaphore>,
}

impl Hasher {
    pub(crate) async fn new(cost: u32) -> Result<Self, BcryptError> {
        let at_once = available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1));
        let nobody = spawn_blocking(move || hash(Id::random().to_string(), cost)).await;
        Ok(Self {
            cost,
            nobody: nobody.expect("bcrypt does not panic")?,
            places: Arc::new(Semaphore::new(MAX_WAITING + at_once)),
            turns: Arc::new(Semaphore::new(at_once)),
        })
    }

    /// Waits for a turn to hash one password; refused at once where too many wait already.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, Failure> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Failure::Busy)?;
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        Ok(Turn {
            hasher: self,
            held: [place, turn],
        })
    }
}

/// The right to hash one password now.
pub(crate) struct Turn<'a> {
    hasher: &'a Hasher,
    held: [OwnedSemaphorePermit; 2],
}

impl Turn<'_> {
    /// Hashes a new password.
    pub(crate) async fn hash(self, password: Password) -> Result<Hash, Failure> {
        let cost = self.hasher.cost;
        self.work(move || hash(password.0, cost)).await
    }

    /// Whether this is the password; always false, and as slow, where there is no hash.
    pub(crate) async fn matches(
        self,
        password: Password,
        stored: Option<Hash>,
    ) -> Result<bool, Failure> {
        let exists = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.hasher.nobody.clone());
        let verify = move || bcrypt::non_truncating_verify(password.0, &stored.0);
        Ok(self.work(verify).await? && exists)
    }

    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, BcryptError> + Send + 'static,
    ) -> Result<T, Failure> {
        let held = self.held;
        let done = spawn_blocking(move || {
            // The core stays taken until the work is done, even if the caller has left by then.
            let _held = held;
            work()
        });
        let done = done.await;
        Ok(done.map_err(|panic| Failure::Broken(status::internal(&panic)))??)
    }
}

fn hash(password: String, cost: u32) -> Result<Hash, BcryptError> {
    bcrypt::non_truncating_hash(password, cost).map(Hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn lengths_are_in_bytes() {
        let ok = |text: &str| Password::try_from(text.to_owned()).is_ok();
        assert!(!ok(""));
        assert!(!ok(&"a".repeat(7)));
        assert!(ok(&"a".repeat(8)));
        assert!(ok(&"a".repeat(71)));
        assert!(!ok(&"a".repeat(72)));
        assert!(ok("şşşş"));
        assert!(!ok(&"ş".repeat(36)));
        assert!(!ok("abcdefgh\0abcdefgh"));
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_is_not_printed() {
        let hasher = Hasher::new(4).await.unwrap();
        let long = "a".repeat(71);
        let hash = hasher.turn().await.unwrap();
        let hash = hash.hash(password(&long)).await.unwrap();
        assert_eq!(format!("{hash:?}"), "***");
        let matches = async |text: &str, hash| {
            let turn = hasher.turn().await.unwrap();
            turn.matches(password(text), hash).await.unwrap()
        };
        assert!(matches(&long, Some(hash.clone())).await);
        assert!(!matches(&long[1..], Some(hash)).await);
        assert!(!matches(&long, None).await);
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let hasher = Arc::new(Hasher::new(4).await.unwrap());
        let mut turns = Vec::new();
        while hasher.turns.available_permits() > 0 {
            turns.push(hasher.turn().await.unwrap());
        }
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.turn().await.map(drop) })
            })
            .collect();
        while hasher.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(hasher.turn().await, Err(Failure::Busy)));
        drop(turns);
        for waited in waiting {
            assert!(waited.await.unwrap().is_ok());
        }
        assert!(hasher.turn().await.is_ok());
    }
}
