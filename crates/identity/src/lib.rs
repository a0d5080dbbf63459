#![doc = include_str!("../README.md")]

mod authorize;
mod caller;
mod keys;
mod policy;
pub mod service;
mod token;

pub use authorize::{Authorize, Authorizer};
pub use caller::{Caller, Expiry, User};
pub use keys::{KeyRing, KeySet, MalformedKey, Signer, WeakSecret};
pub use policy::{Denied, Policy, Rule, Unprotected};
pub use token::{Audience, Claims, Rejected, Verifier};
