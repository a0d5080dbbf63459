use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// 128 bits that name something; written as 32 lower-case hexadecimal digits. Opaque to clients.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u128);

/// The text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an id as the service gave it: 32 hexadecimal digits in lower case")]
pub struct MalformedId;

impl Id {
    /// An id that nothing else has.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The id that these parts, and only these, always give: the first 128 bits of SHA-256 over each part behind its
    /// length. Without the lengths "a-b" + "c" would meet "a" + "b-c".
    pub fn derived(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let digest = context.finish();
        let first = digest
            .as_ref()
            .first_chunk()
            .expect("SHA-256 gives 32 bytes");
        Self(u128::from_be_bytes(*first))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl FromStr for Id {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        // One spelling an id: a second one would be a second key for the same thing.
        if text.len() != 32 || !text.bytes().all(digit) {
            return Err(MalformedId);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| MalformedId)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = Id::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(Id(1).to_string().len(), 32);
    }

    #[test]
    fn one_spelling_only() {
        let id = "0123456789abcdef0123456789abcdef";
        assert!(id.parse::<Id>().is_ok());
        let too_long = format!("{id}0");
        for wrong in [
            "",
            "1",
            &id.to_uppercase(),
            &id.replace('0', "+"),
            &too_long,
            "$gt",
        ] {
            assert_eq!(wrong.parse::<Id>(), Err(MalformedId), "{wrong}");
        }
    }

    #[test]
    fn derived_ids_stay_what_they_are() {
        // Names of orders and products, under which requests are sent again across an upgrade.
        let id = Id::derived(&[b"a", b"b"]);
        assert_eq!(id.to_string(), "3c9d591045bc8876f9d0399bbfb05c6a");
    }

    #[test]
    fn derived_ids_keep_their_parts_apart() {
        let id = |parts: [&str; 2]| Id::derived(&parts.map(str::as_bytes));
        assert_eq!(id(["a", "b"]), id(["a", "b"]));
        assert_ne!(id(["a-b", "c"]), id(["a", "b-c"]));
        assert_ne!(id(["ab", ""]), id(["a", "b"]));
    }
}
