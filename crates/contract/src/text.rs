//! The limits of texts and amounts that clients send, wherever they occur.

use std::ops::RangeInclusive;

/// A text of so many characters, without control characters. Blanks around it do not count as content.
pub fn bounded(text: &str, chars: RangeInclusive<usize>) -> Result<String, String> {
    let (min, max) = (*chars.start(), *chars.end());
    let count = text.chars().count();
    if !chars.contains(&count) || (min > 0 && text.trim().is_empty()) {
        return Err(match min {
            0 => format!("must have at most {max} characters"),
            _ => format!("must have {min} to {max} characters, not only blanks"),
        });
    }
    // Line breaks and tabs belong into texts; NUL and the rest break terminals, logs and other people's databases.
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err("must not contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// A bounded text on one line.
pub fn line(text: &str, chars: RangeInclusive<usize>) -> Result<String, String> {
    let text = bounded(text, chars)?;
    if text.contains(['\n', '\r', '\t']) {
        return Err("must be on one line".to_owned());
    }
    Ok(text)
}

/// A request id: 1–128 visible ASCII characters; `None` when the client sent none.
pub fn request_id(text: &str) -> Result<Option<String>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > 128 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must be 1 to 128 visible ASCII characters");
    }
    Ok(Some(text.to_owned()))
}

/// A whole number in a range.
pub fn integer(value: i64, range: RangeInclusive<i64>) -> Result<i64, String> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(format!("must be {} to {}", range.start(), range.end()))
    }
}

/// Three capital letters, as in ISO 4217.
pub fn currency_code(text: &str) -> Result<String, &'static str> {
    if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        Ok(text.to_owned())
    } else {
        Err("must be a currency code of three capital letters, as in ISO 4217")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        assert!(bounded(&"ş".repeat(200), 1..=200).is_ok());
        assert!(bounded(&"ş".repeat(201), 1..=200).is_err());
        assert!(bounded("", 0..=5).is_ok());
        for wrong in ["", "  ", "a\0b", "\u{1b}[31m"] {
            assert!(bounded(wrong, 1..=200).is_err(), "{wrong:?}");
        }
        assert!(bounded("two\nlines", 1..=200).is_ok());
        assert!(line("two\nlines", 1..=200).is_err());
    }

    #[test]
    fn request_ids_are_visible_ascii() {
        assert_eq!(request_id(""), Ok(None));
        assert_eq!(request_id("a$gt"), Ok(Some("a$gt".to_owned())));
        assert!(request_id(&"a".repeat(128)).is_ok());
        for wrong in [&"a".repeat(129), "a b", "ş", "\n"] {
            assert!(request_id(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn currencies_are_three_capitals() {
        assert!(currency_code("TRY").is_ok());
        for wrong in ["", "try", "TR", "TRYY", "T$Y"] {
            assert!(currency_code(wrong).is_err(), "{wrong}");
        }
    }
}
