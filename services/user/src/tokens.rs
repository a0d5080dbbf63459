use std::{str::FromStr, time::Duration};

use orderflow_contract::Id;
use orderflow_identity::{Claims, KeyRing, KeySet, Signer, User, WeakSecret};

use crate::Config;

/// The keys of users' tokens, made from secrets: the first one signs, all of them are published and accepted. To rotate
/// without signing anybody out: `old,new`, then `new,old`, then `new`, each for as long as tokens and caches live.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    signer: Signer,
    published: KeySet,
}

impl SigningKeys {
    /// The keys to verify tokens with.
    pub fn ring(&self) -> KeyRing {
        KeyRing::new(self.published.clone())
    }

    /// The keys as the world may see them: a JSON Web Key Set.
    pub fn to_jwks(&self) -> String {
        self.published.to_json()
    }
}

impl FromStr for SigningKeys {
    type Err = WeakSecret;

    /// From secrets separated by commas. One that is weak is an error.
    fn from_str(text: &str) -> Result<Self, WeakSecret> {
        let secrets = text.split(',').map(str::trim).filter(|s| !s.is_empty());
        let signers = secrets.map(|secret| Signer::derive(secret, "user"));
        let signers: Vec<_> = signers.collect::<Result<_, _>>()?;
        let signer = signers.first().ok_or(WeakSecret)?.clone();
        let keys = signers.iter().map(|signer| signer.public_key().clone());
        Ok(Self {
            signer,
            published: KeySet::new(keys),
        })
    }
}

/// Gives out users' tokens.
pub(crate) struct Tokens {
    signer: Signer,
    lifetime: Duration,
}

impl Tokens {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            signer: config.keys.signer.clone(),
            lifetime: config.access_token_ttl,
        }
    }

    /// A token for a new session of this user.
    pub(crate) fn issue(&self, id: Id, roles: Vec<String>) -> String {
        let user = User {
            id,
            roles,
            session_id: Id::random(),
        };
        Claims::user(&user, self.lifetime).sign(&self.signer)
    }

    /// For how many seconds a token counts.
    pub(crate) fn expires_in(&self) -> i32 {
        i32::try_from(self.lifetime.as_secs()).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use orderflow_identity::{Audience, Verifier};

    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    #[test]
    fn a_rotation_signs_nobody_out() {
        let keys = |text: &str| text.parse::<SigningKeys>().unwrap();
        let token = |keys: &SigningKeys| {
            let user = User {
                id: Id::random(),
                roles: Vec::new(),
                session_id: Id::random(),
            };
            Claims::user(&user, Duration::from_secs(60)).sign(&keys.signer)
        };
        let steps = [
            keys(OLD),
            keys(&format!("{OLD},{NEW}")),
            keys(&format!("{NEW}, {OLD}")),
            keys(NEW),
        ];
        for pair in steps.windows(2) {
            // In either order: while it is rolled out, old and new replicas serve side by side.
            for (signs, verifies) in [(0, 1), (1, 0)] {
                let verifier = Verifier::new(Audience::Users, pair[verifies].ring());
                assert!(verifier.verify(&token(&pair[signs])).is_ok());
            }
        }
    }

    #[test]
    fn every_secret_must_be_strong() {
        for weak in ["", ",", "changeme", &format!("{OLD},changeme")] {
            assert!(weak.parse::<SigningKeys>().is_err(), "{weak}");
        }
    }
}
