//! Keyset paging: a page token says where the page before ended.

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

/// How many items a page has when the caller does not say.
pub const DEFAULT_SIZE: usize = 50;
/// How many items a page has at the most, whatever the caller says.
pub const MAX_SIZE: usize = 500;

const CHECKSUM_LEN: usize = 8;

/// The size of a page from `page_size`: 0 means the default, too much is capped.
pub fn size(page_size: i32) -> Result<usize, &'static str> {
    match usize::try_from(page_size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err("must not be negative"),
    }
}

/// How many bytes the items of a page may have: no page may outgrow a message.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Cuts items, one more than fit a page of `size` if there are that many, to a page, and says whether any are left. A page has
/// at least one item, however large.
pub fn cut<T>(items: Vec<T>, size: usize, bytes: impl Fn(&T) -> usize) -> (Vec<T>, bool) {
    let total = items.len();
    let mut sum = 0;
    let fits = |(i, item): &(usize, T)| {
        sum += bytes(item);
        *i < size && (*i == 0 || sum <= MAX_BYTES)
    };
    let page: Vec<_> = items
        .into_iter()
        .enumerate()
        .take_while(fits)
        .map(|(_, item)| item)
        .collect();
    let more = page.len() < total;
    (page, more)
}

/// The list that a token belongs to: the method, the caller and all of the request but the page itself.
pub struct List([u8; 32]);

impl List {
    /// `parts` tell this list from every other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }

    /// The token for the page behind `position`.
    pub fn token<P: Serialize>(&self, position: &P) -> String {
        let mut bytes = serde_json::to_vec(position).expect("a position is plain data");
        let checksum = self.checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position in a token; `None` for an empty token, which asks for the first page. A token of another list, or one
    /// that was changed, is an error. The checksum is no secret and a position no right: what a caller may see is
    /// decided by the query alone.
    pub fn position<P: DeserializeOwned>(&self, token: &str) -> Result<Option<P>, &'static str> {
        const WRONG: &str =
            "must be next_page_token of the same list, with everything else as it was";
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| WRONG)?;
        let split = bytes.len().checked_sub(CHECKSUM_LEN).ok_or(WRONG)?;
        let (position, checksum) = bytes.split_at(split);
        if checksum != self.checksum(position) {
            return Err(WRONG);
        }
        serde_json::from_slice(position)
            .map(Some)
            .map_err(|_| WRONG)
    }

    fn checksum(&self, position: &[u8]) -> [u8; CHECKSUM_LEN] {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(position);
        let digest = context.finish();
        *digest
            .as_ref()
            .first_chunk()
            .expect("SHA-256 gives 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    proptest! {
        #[test]
        fn any_position_survives_its_token(parts: Vec<Vec<u8>>, number: i64, text: String) {
            let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
            let list = List::of(&parts);
            let token = list.token(&(number, &text));
            prop_assert_eq!(list.position(&token), Ok(Some((number, text))));
        }

        #[test]
        fn any_flipped_bit_is_seen(number: i64, text: String, at: Index, bit in 0..7_u8) {
            let list = List::of(&[b"x"]);
            let mut token = list.token(&(number, text)).into_bytes();
            let at = at.index(token.len());
            token[at] ^= 1_u8 << bit;
            let token = String::from_utf8(token).unwrap();
            prop_assert!(list.position::<(i64, String)>(&token).is_err());
        }

        #[test]
        fn no_other_text_is_a_token(text in ".+|[A-Za-z0-9_-]+", size: i32) {
            prop_assert!(List::of(&[b"x"]).position::<i64>(&text).is_err());
            prop_assert_eq!(size < 0, super::size(size).is_err());
        }
    }

    #[test]
    fn sizes_are_capped_and_never_negative() {
        assert_eq!(size(0), Ok(DEFAULT_SIZE));
        assert_eq!(size(1), Ok(1));
        assert_eq!(size(1_000_000_000), Ok(MAX_SIZE));
        assert!(size(-1).is_err());
    }

    #[test]
    fn a_page_is_cut_by_count_and_by_bytes() {
        assert_eq!(cut(vec![1, 2, 3], 2, |_| 1), (vec![1, 2], true));
        assert_eq!(cut(vec![1, 2], 2, |_| 1), (vec![1, 2], false));
        assert_eq!(cut(vec![1, 2], 2, |_| MAX_BYTES), (vec![1], true));
        assert_eq!(cut(vec![1], 2, |_| MAX_BYTES + 1), (vec![1], false));
        assert_eq!(cut(Vec::<i32>::new(), 2, |_| 1), (vec![], false));
    }

    #[test]
    fn a_token_fits_its_own_list_only() {
        let list = List::of(&[b"ListOrders", b"ada"]);
        let token = list.token(&(7_i64, "x"));
        assert_eq!(list.position(&token), Ok(Some((7_i64, "x".to_owned()))));
        assert_eq!(list.position::<()>(""), Ok(None));

        let other = List::of(&[b"ListOrders", b"bob"]);
        assert!(other.position::<(i64, String)>(&token).is_err());
    }

    #[test]
    fn a_token_that_was_released_is_read() {
        let list = List::of(&[b"ListOrders", b"ada"]);
        let position = Ok(Some((7_i64, "x".to_owned())));
        assert_eq!(list.position("WzcsIngiXWFuvhvThK86"), position);
    }

    #[test]
    fn a_changed_token_is_refused() {
        let list = List::of(&[b"x"]);
        let token = list.token(&7_i64);
        for i in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(list.position::<i64>(&changed).is_err(), "{changed}");
        }
        assert!(list.position::<i64>("e").is_err());
        assert!(list.position::<i64>("$gt").is_err());
    }
}
