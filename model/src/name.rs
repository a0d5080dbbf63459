//! How an order is named.

use std::fmt;

/// An order's id: made of the buyer's request id, which stands for buyer and request id here, so that whoever repeats the
/// request means the same order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId {
    /// The request id.
    pub key: u8,
    /// Nothing; or, with the rule off, which attempt it was.
    pub attempt: u8,
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            ["A", "B", "C", "D"]
                .get(usize::from(self.key))
                .unwrap_or(&"?"),
        )?;
        (0..self.attempt).try_for_each(|_| f.write_str("'"))
    }
}
