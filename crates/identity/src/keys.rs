use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, RwLock},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A secret from which no key may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a random secret of at least 32 bytes; `orderflow keygen` makes one")]
pub struct WeakSecret;

/// A text that is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an Ed25519 public key: 32 bytes in unpadded base64url")]
pub struct MalformedKey;

/// A private Ed25519 key.
#[derive(Clone)]
pub struct Signer {
    key: EncodingKey,
    public: PublicKey,
}

impl Signer {
    /// The key that belongs to a secret. `purpose` keeps keys for different uses apart, should a secret be used twice.
    pub fn derive(secret: &str, purpose: &str) -> Result<Self, WeakSecret> {
        let bytes = secret.as_bytes();
        let mut distinct = bytes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        // 32 random bytes, in hexadecimal too, have more than 8 different ones among them; "changemechangeme…" has not.
        if bytes.len() < 32 || distinct.len() <= 8 {
            return Err(WeakSecret);
        }

        let info = [b"orderflow ed25519 ", purpose.as_bytes()];
        let mut seed = [0; 32];
        Salt::new(HKDF_SHA256, b"")
            .extract(bytes)
            .expand(&info, Seed)
            .and_then(|okm| okm.fill(&mut seed))
            .expect("32 bytes can be derived");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed");
        let der = pair.to_pkcs8v1().expect("a key can be encoded");
        Ok(Self {
            key: EncodingKey::from_ed_der(der.as_ref()),
            public: PublicKey::new(pair.public_key().as_ref()),
        })
    }

    /// Its public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn encoding_key(&self) -> &EncodingKey {
        &self.key
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public.kid)
    }
}

struct Seed;

impl KeyType for Seed {
    fn len(&self) -> usize {
        32
    }
}

/// A public Ed25519 key as a JSON Web Key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    kty: String,
    crv: String,
    alg: String,
    #[serde(rename = "use")]
    usage: String,
    kid: String,
    x: String,
}

impl PublicKey {
    fn new(bytes: &[u8]) -> Self {
        let x = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        // The thumbprint of RFC 7638: members in alphabetical order, no blanks.
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let thumbprint = digest(&SHA256, canonical.as_bytes());
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            kid: BASE64_URL_SAFE_NO_PAD.encode(thumbprint),
            x,
        }
    }

    /// The key from its text form, as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        match BASE64_URL_SAFE_NO_PAD.decode(text) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self::new(&bytes)),
            _ => Err(MalformedKey),
        }
    }

    /// What the header of a token signed with it says.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.x)
    }
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

impl KeySet {
    /// A set of these.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }

    /// The set as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("keys are plain data")
    }

    /// A set from JSON. Each key is made anew from its public part alone, so that its kid is what it must be.
    pub fn from_json(text: &str) -> Result<Self, MalformedKey> {
        let set: Self = serde_json::from_str(text).map_err(|_| MalformedKey)?;
        let keys = set.keys.iter().map(|key| PublicKey::parse(&key.x));
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }
}

/// The keys in force at the moment. Clones share them.
#[derive(Clone, Default)]
pub struct KeyRing {
    inner: Arc<Ring>,
}

#[derive(Default)]
struct Ring {
    keys: RwLock<Keys>,
    missed: Notify,
}

#[derive(Default)]
struct Keys {
    set: KeySet,
    by_kid: HashMap<String, DecodingKey>,
    generation: u64,
}

impl KeyRing {
    /// A ring with these keys.
    pub fn new(set: KeySet) -> Self {
        let ring = Self::default();
        ring.replace(set);
        ring
    }

    /// Puts other keys in force.
    pub fn replace(&self, set: KeySet) {
        let mut keys = self
            .inner
            .keys
            .write()
            .expect("no holder of the lock panics");
        if keys.set == set {
            return;
        }
        let decoding_key = |key: &PublicKey| {
            DecodingKey::from_ed_components(&key.x).expect("its base64 was checked")
        };
        keys.by_kid = set
            .keys
            .iter()
            .map(|key| (key.kid.clone(), decoding_key(key)))
            .collect();
        keys.set = set;
        keys.generation += 1;
    }

    /// True until there are keys.
    pub fn is_empty(&self) -> bool {
        self.inner
            .keys
            .read()
            .expect("no holder of the lock panics")
            .by_kid
            .is_empty()
    }

    /// The keys, to publish them.
    pub fn set(&self) -> KeySet {
        self.inner
            .keys
            .read()
            .expect("no holder of the lock panics")
            .set
            .clone()
    }

    /// The key of this name. Not finding it wakes whoever follows the keys.
    pub(crate) fn find(&self, kid: &str) -> Option<DecodingKey> {
        let keys = self
            .inner
            .keys
            .read()
            .expect("no holder of the lock panics");
        let key = keys.by_kid.get(kid).cloned();
        if key.is_none() {
            self.inner.missed.notify_one();
        }
        key
    }

    /// Changes whenever the keys do.
    pub(crate) fn generation(&self) -> u64 {
        self.inner
            .keys
            .read()
            .expect("no holder of the lock panics")
            .generation
    }

    /// Waits until somebody looked for a key that is not there.
    pub(crate) async fn missed(&self) {
        self.inner.missed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn the_same_secret_gives_the_same_key_for_one_purpose() {
        let key = |purpose| {
            Signer::derive(SECRET, purpose)
                .unwrap()
                .public_key()
                .clone()
        };
        assert_eq!(key("user"), key("user"));
        assert_ne!(key("user"), key("service"));
    }

    #[test]
    fn a_secret_gives_the_key_that_it_always_gave() {
        // By HKDF and Ed25519 alone: another key after an upgrade would sign everybody out.
        let signer = Signer::derive("0123456789abcdefghijklmnopqrstuv", "user").unwrap();
        let key = "KoQcIu04Y7ZPCnvdBCoKAyUYJ9pnOGV8X2NREARTPmI";
        assert_eq!(signer.public_key().to_string(), key);
    }

    #[test]
    fn weak_secrets_are_refused() {
        for weak in [
            "",
            "short",
            &"a".repeat(64),
            "changemechangemechangemechangeme",
        ] {
            assert_eq!(
                Signer::derive(weak, "user").unwrap_err(),
                WeakSecret,
                "{weak}"
            );
        }
    }

    #[test]
    fn a_set_survives_json_and_a_key_its_text_form() {
        let key = Signer::derive(SECRET, "user").unwrap().public_key().clone();
        let set = KeySet::new([key.clone()]);
        assert_eq!(KeySet::from_json(&set.to_json()), Ok(set));
        assert_eq!(PublicKey::parse(&key.to_string()), Ok(key));
        assert_eq!(PublicKey::parse("AAAA"), Err(MalformedKey));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let signer = Signer::derive(SECRET, "user").unwrap();
        assert!(!format!("{signer:?}").contains(SECRET));
    }
}
