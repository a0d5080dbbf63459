//! The id under which everything that one call causes is logged.

use std::{fmt, future::Future};

use http::uri::PathAndQuery;

tokio::task_local! {
    static CURRENT: Call;
}

/// What a task works for, as the log names it.
#[derive(Clone)]
pub struct Call {
    /// Under which it and what it causes elsewhere is logged.
    pub trace_id: TraceId,
    /// Who was called.
    pub server: &'static str,
    /// What was called, with the query, which is not for the log.
    pub path: PathAndQuery,
}

impl Call {
    /// The call that this task serves.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs `future` as a part of this call.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }
}

/// 128 bits, as in W3C Trace Context.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    /// A new trace.
    pub fn random() -> Self {
        Self(rand::random::<u128>().max(1))
    }

    /// Reads a `traceparent` header: `00-<32 digits>-<16 digits>-<2 digits>`.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (_version, id) = (parts.next()?, parts.next()?);
        if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(id, 16)
            .ok()
            .filter(|id| *id != 0)
            .map(Self)
    }

    /// A `traceparent` header for the next hop.
    pub fn to_traceparent(self) -> [u8; 55] {
        let mut header = *b"00-................................-................-01";
        header[3..35].copy_from_slice(&self.to_digits());
        let parent = rand::random::<u64>().max(1);
        header[36..52].copy_from_slice(&hexadecimal::<16>(parent.into()));
        header
    }

    /// Its 32 hexadecimal digits.
    pub fn to_digits(self) -> [u8; 32] {
        hexadecimal(self.0)
    }

    /// The trace of the call that this task serves.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|call| call.trace_id).ok()
    }
}

/// The last digits of a number. Each call needs four of these, and `format!` takes ten times as long.
fn hexadecimal<const DIGITS: usize>(mut number: u128) -> [u8; DIGITS] {
    let mut digits = [0; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % 16) as usize];
        number /= 16;
    }
    digits
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(str::from_utf8(&self.to_digits()).expect("digits"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_and_back() {
        for id in [TraceId::random(), TraceId(1), TraceId(u128::MAX)] {
            let header = String::from_utf8(id.to_traceparent().into()).unwrap();
            assert_eq!(TraceId::from_traceparent(&header), Some(id));
            assert_eq!(header[..36], format!("00-{:032x}-", id.0));
            assert_eq!(id.to_string(), format!("{:032x}", id.0));
            assert!(header.ends_with("-01"));
            assert!(u64::from_str_radix(&header[36..52], 16).unwrap() > 0);
        }
        for wrong in ["", "00", "00-0-0-0", &format!("00-{}-1-1", "0".repeat(32))] {
            assert!(TraceId::from_traceparent(wrong).is_none(), "{wrong}");
        }
    }
}
