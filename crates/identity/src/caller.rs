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
            _ => Err(status::error(
                Code::Unauthenticated,
                "NO_USER",
                "sign in first",
            )),
        }
    }
}
