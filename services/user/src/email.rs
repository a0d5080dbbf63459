use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An e-mail address in the one form in which it is kept and compared: trimmed and in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Email(String);

/// The longest address that SMTP can carry (RFC 5321, 4.5.3.1.3, less the angle brackets).
const MAX_LENGTH: usize = 254;

impl Email {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = &'static str;

    /// Takes what mail systems use, in ASCII: among other letters some look alike, and lower case depends on the language.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let email = text.trim().to_ascii_lowercase();
        match email.split_once('@') {
            Some((local, domain))
                if email.len() <= MAX_LENGTH && is_local(local) && is_domain(domain) =>
            {
                Ok(Self(email))
            }
            _ => Err("must be an e-mail address like ada@example.com, of at most 254 characters"),
        }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// RFC 5321's `Dot-string`: words of RFC 5322's `atext`.
fn is_local(text: &str) -> bool {
    let is_atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_atext);
    text.len() <= 64 && text.split('.').all(is_word)
}

/// Two labels or more, as hosts on the Internet are named.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_all_spellings() {
        let email: Email = " Ada.Lovelace+Orders@Example.COM\n".parse().unwrap();
        assert_eq!(email.as_str(), "ada.lovelace+orders@example.com");
        // An operator of MongoDB, but a legal name of a mailbox.
        assert!("$gt@x.example".parse::<Email>().is_ok());
    }

    #[test]
    fn what_is_no_address() {
        let long = format!("a@{}com", "abcdefghi.".repeat(26));
        let wrong = [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@@example.com",
            "ada@b@example.com",
            ".ada@example.com",
            "a..da@example.com",
            "ada@.com",
            "ada@example..com",
            "ada@-example.com",
            "ada lovelace@example.com",
            "ada\0@example.com",
            "ada@exam\0ple.com",
            "{\"$gt\":\"\"}",
            "şule@example.com",
            &long,
            &format!("{}@example.com", "a".repeat(65)),
        ];
        for wrong in wrong {
            assert!(wrong.parse::<Email>().is_err(), "{wrong:?}");
        }
    }
}
