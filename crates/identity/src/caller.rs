use std::time::{Duration, SystemTime, UNIX_EPOCH};

use orderflow_contract::{Id, status};
use tonic::{Code, Extensions, Request, Status};

/// Who calls, as a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A person.
    User(User),
    /// Another service, by its name.
    Service(String),
}

/// A signed-in person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Whom the token was given to.
    pub id: Id,
    /// What they may do beyond their own affairs.
    pub roles: Vec<String>,
    /// The login it comes from.
    pub session_id: Id,
}

impl User {
    /// True for somebody who may see and change everything.
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == "admin")
    }

    /// The user who sent a request that [`crate::Authorize`] has let through. An error where it did not stand in the way.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        Self::in_extensions(request.extensions())
    }

    fn in_extensions(extensions: &Extensions) -> Result<Self, Status> {
        match extensions.get() {
            Some(Caller::User(user)) => Ok(user.clone()),
            _ => Err(nobody()),
        }
    }
}

/// The moment at which a caller's token stops to count, for calls that may last longer: [`crate::Authorize`] leaves it beside the
/// [`Caller`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry(pub(crate) u64);

impl Expiry {
    /// That of the token that a request came with. An error where [`crate::Authorize`] did not stand in the way.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        request.extensions().get().copied().ok_or_else(nobody)
    }

    /// How long it is until then.
    pub fn left(self) -> Duration {
        let expires = Duration::from_secs(self.0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        expires.saturating_sub(now.unwrap_or_default())
    }
}

fn nobody() -> Status {
    status::error(Code::Unauthenticated, "NO_USER", "sign in first")
}
