//! Changes of stock from outside of orders.

use orderflow_contract::Id;

pub(crate) const MAX_STOCK: i64 = 1_000_000_000_000;

/// A wish to add stock or take some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adjustment {
    pub(crate) product_id: Id,
    pub(crate) delta: i64,
    pub(crate) reason: String,
}

/// The stock after an adjustment, unless it would leave 0–10¹². Cancelled orders may have brought it above; then it can still be
/// lowered.
pub(crate) fn adjusted(stock: i64, delta: i64) -> Option<i64> {
    let after = stock.checked_add(delta)?;
    (after >= 0 && (delta < 0 || after <= MAX_STOCK)).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_stays_between_its_bounds() {
        assert_eq!(adjusted(5, -5), Some(0));
        assert_eq!(adjusted(5, -6), None);
        assert_eq!(adjusted(MAX_STOCK - 1, 1), Some(MAX_STOCK));
        assert_eq!(adjusted(MAX_STOCK, 1), None);
        assert_eq!(adjusted(1, i64::MAX), None);
        assert_eq!(adjusted(MAX_STOCK + 10, -1), Some(MAX_STOCK + 9));
    }
}
