//! Who sees which part of an order, and who may change it.

use orderflow_contract::Id;
use orderflow_identity::User;
use serde::{Deserialize, Serialize};

use super::{Day, Status};

/// A purchase.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) id: Id,
    pub(crate) user_id: Id,
    pub(crate) request_id: Option<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) currency: String,
    pub(crate) total: i64,
    pub(crate) status: Status,
    pub(crate) create_time_ms: i64,
    pub(crate) update_time_ms: i64,
}

/// A product in an order, as it was when the order was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) product_id: Id,
    pub(crate) product_name: String,
    pub(crate) seller_id: Id,
    pub(crate) quantity: i64,
    pub(crate) unit_price: i64,
}

/// What somebody may see of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// The lines that they sell.
    LinesOf(Id),
}

impl Line {
    pub(crate) fn total(&self) -> i64 {
        self.unit_price * self.quantity
    }
}

impl Order {
    /// The day that it counts on.
    pub(crate) fn day(&self) -> Day {
        Day::of(self.create_time_ms)
    }

    /// Who sells something in it, each once.
    pub(crate) fn seller_ids(&self) -> Vec<Id> {
        let mut ids: Vec<_> = self.lines.iter().map(|line| line.seller_id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What a user may see of it; to most it does not exist.
    pub(crate) fn part_for(&self, user: &User) -> Option<Part> {
        if user.is_admin() || self.user_id == user.id {
            Some(Part::Whole)
        } else if self.seller_ids().contains(&user.id) {
            Some(Part::LinesOf(user.id))
        } else {
            None
        }
    }

    /// Whether a user may ship it and say that it was delivered.
    pub(crate) fn may_move(&self, user: &User) -> bool {
        user.is_admin() || self.seller_ids() == [user.id]
    }

    /// Whether a user may cancel it.
    pub(crate) fn may_cancel(&self, user: &User) -> bool {
        self.user_id == user.id || self.may_move(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: Id, roles: &[&str]) -> User {
        User {
            id,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            session_id: Id::random(),
        }
    }

    fn order(buyer: Id, sellers: &[Id]) -> Order {
        let line = |seller_id: &Id| Line {
            product_id: Id::random(),
            product_name: "tea".to_owned(),
            seller_id: *seller_id,
            quantity: 1,
            unit_price: 1,
        };
        Order {
            id: Id::random(),
            user_id: buyer,
            request_id: None,
            lines: sellers.iter().map(line).collect(),
            currency: "TRY".to_owned(),
            total: 1,
            status: Status::Pending,
            create_time_ms: 0,
            update_time_ms: 0,
        }
    }

    #[test]
    fn each_sees_their_part_and_changes_what_is_theirs() {
        let [buyer, one, other, stranger] = std::array::from_fn(|_| Id::random());
        let shared = order(buyer, &[one, other, one]);
        let own = order(buyer, &[one, one]);
        // Of each: what they see, whether they may move it, whether they may cancel it.
        let rights = |order: &Order, id, roles: &[&str]| {
            let user = user(id, roles);
            (
                order.part_for(&user),
                order.may_move(&user),
                order.may_cancel(&user),
            )
        };
        assert_eq!(
            rights(&shared, buyer, &[]),
            (Some(Part::Whole), false, true)
        );
        assert_eq!(
            rights(&shared, one, &[]),
            (Some(Part::LinesOf(one)), false, false)
        );
        assert_eq!(
            rights(&own, one, &[]),
            (Some(Part::LinesOf(one)), true, true)
        );
        assert_eq!(rights(&shared, stranger, &[]), (None, false, false));
        assert_eq!(
            rights(&shared, stranger, &["admin"]),
            (Some(Part::Whole), true, true)
        );
    }
}
