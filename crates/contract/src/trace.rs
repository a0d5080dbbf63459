//! The id under which everything that one call causes is logged.

use std::{fmt, future::Future};

tokio::task_local! {
    static CURRENT: TraceId;
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
    pub fn to_traceparent(self) -> String {
        format!("00-{self}-{:016x}-01", rand::random::<u64>().max(1))
    }

    /// The trace of the call that this task serves.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|id| *id).ok()
    }

    /// Runs `future` as a part of this trace.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_and_back() {
        let id = TraceId::random();
        assert!(TraceId::from_traceparent(&id.to_traceparent()) == Some(id));
        for wrong in ["", "00", "00-0-0-0", &format!("00-{}-1-1", "0".repeat(32))] {
            assert!(TraceId::from_traceparent(wrong).is_none(), "{wrong}");
        }
    }
}
