//! Tokens of every kind, also those that no program of ours would make.

use aws_lc_rs::{
    hkdf::{HKDF_SHA256, KeyType, Salt},
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use orderflow_identity::Signer;

/// Somebody with a key, and no scruples about what to sign with it. Derives the key by itself, from the same secret.
pub(crate) struct Forger {
    pair: Ed25519KeyPair,
    pub(crate) kid: String,
}

struct Seed;

impl KeyType for Seed {
    fn len(&self) -> usize {
        32
    }
}

impl Forger {
    pub(crate) fn new(secret: &str, purpose: &str) -> Self {
        let info = [b"orderflow ed25519 ", purpose.as_bytes()];
        let mut seed = [0; 32];
        let key = Salt::new(HKDF_SHA256, b"").extract(secret.as_bytes());
        key.expand(&info, Seed).unwrap().fill(&mut seed).unwrap();
        let kid = Signer::derive(secret, purpose)
            .unwrap()
            .public_key()
            .kid()
            .to_owned();
        Self {
            pair: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap(),
            kid,
        }
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn signature(&self, content: &str) -> Vec<u8> {
        self.pair.sign(content.as_bytes()).as_ref().to_vec()
    }

    /// A token of any header and any payload, properly signed.
    pub(crate) fn sign(&self, header: &str, payload: &str) -> String {
        let content = content(header, payload);
        format!("{content}.{}", BASE64.encode(self.signature(&content)))
    }
}

/// What is signed.
pub(crate) fn content(header: &str, payload: &str) -> String {
    format!("{}.{}", BASE64.encode(header), BASE64.encode(payload))
}
