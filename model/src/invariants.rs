//! What must hold, at every moment. All of it is about what a majority has: the rest may be gone after a failover.

use std::{collections::BTreeSet, fmt};

use crate::{
    Action, Model, State,
    catalog::{Catalog, Hold, Reservation, Stock},
    mongo::{Ack, Read},
    network::Network,
    order::{Follower, Status},
};

/// The invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// Stock is never less than nothing.
    I1,
    /// First stock + adjustments = stock + held; an adjustment is made once, however often it is asked for.
    I2,
    /// An acknowledged order exists, with the lines that were asked for.
    I3,
    /// A request id has one order.
    I4,
    /// What is HELD has its order or stands in the journal, and when nothing fails any more, everything becomes whole.
    I5,
    /// An order is live exactly if its reservation is HELD, with equal lines and prices.
    I6,
    /// What ended in a definite error has made nothing.
    I7,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Model {
    /// The first invariant that does not hold.
    pub fn violated(&self, state: &State) -> Option<Invariant> {
        let stock = &state.stock.committed;
        let versions = [stock, state.stock.newest()];
        if versions.iter().any(|version| version.product.stock < 0) {
            return Some(Invariant::I1);
        }
        if !versions.iter().all(|version| self.is_balanced(version)) {
            return Some(Invariant::I2);
        }
        if !is_acknowledged_there(state) {
            return Some(Invariant::I3);
        }
        let keys: BTreeSet<_> = state.orders.committed.keys().map(|id| id.key).collect();
        if keys.len() < state.orders.committed.len() {
            return Some(Invariant::I4);
        }
        if !is_consistent(state) {
            return Some(Invariant::I6);
        }
        if !is_denied_absent(state) {
            return Some(Invariant::I7);
        }
        (!is_owed(state)).then_some(Invariant::I5)
    }

    /// The rest of I5: if everything in memory and on its way were lost and nothing else failed, one follower would make everything
    /// whole. When nothing fails any more, that is what each run comes to: whatever is on its way ends in a state that is one of
    /// these, and then only followers are left.
    pub fn recovers(&self, state: &State) -> bool {
        is_whole(&self.recovered(state))
    }

    fn is_balanced(&self, stock: &Stock) -> bool {
        let adjustments: BTreeSet<_> = stock.ledger.iter().map(|(request, _)| request).collect();
        let held = stock
            .reservations
            .values()
            .filter(|r| r.state == Hold::Held);
        let held: i8 = held.map(|r| r.quantity as i8).sum();
        self.size.stock + adjustments.len() as i8 == stock.product.stock + held
    }

    /// The state if everything in memory and on its way were lost, and one follower then ran as long as it finds something to do.
    fn recovered(&self, state: &State) -> State {
        let mut now = state.clone();
        now.replicas = Default::default();
        now.catalogs = Default::default();
        now.network = Network::default();
        now.stock.tail.clear();
        now.orders.tail.clear();
        // Each round finishes something, or is the last.
        while self.settle_one(&mut now) || self.cancel_one(&mut now) {}
        now
    }

    fn settle_one(&self, state: &mut State) -> bool {
        let (replica, ack, read) = (0, Ack::Majority, Read::Current);
        for entry in 0..state.stock.committed.journal.len() {
            let _ = self.apply(
                state,
                Action::List {
                    replica,
                    entry,
                    read,
                },
            );
            let _ = self.apply(state, Action::Look { replica, read });
            let _ = self.apply(state, Action::WriteMissing { replica, ack });
            if self.apply(state, Action::Settle { replica, ack }).is_some() {
                return true;
            }
            state.replicas[replica].follower = Follower::Idle;
        }
        false
    }

    fn cancel_one(&self, state: &mut State) -> bool {
        let (replica, catalog, ack, read) = (0, 0, Ack::Majority, Read::Current);
        let orders = state.orders.committed.iter();
        let mut cancelling = orders.filter(|(_, order)| order.status == Status::Cancelling);
        let Some(order_id) = cancelling.next().map(|(id, _)| *id) else {
            return false;
        };
        let steps = [
            Action::Resume {
                replica,
                order_id,
                read,
            },
            Action::Release { replica },
            Action::Take {
                catalog,
                request: 0,
                all: false,
            },
            Action::Commit { catalog, ack, read },
            Action::MoveCancelling { replica, ack, read },
        ];
        steps
            .into_iter()
            .all(|step| self.apply(state, step).is_some())
    }
}

fn is_acknowledged_there(state: &State) -> bool {
    let mut acknowledged = state
        .clients
        .buyers
        .iter()
        .flat_map(|buyer| &buyer.acknowledged);
    acknowledged.all(|(id, quantity)| {
        let order = state.orders.committed.get(id);
        order.is_some_and(|order| order.quantity == *quantity)
    })
}

fn is_denied_absent(state: &State) -> bool {
    let mut denied = state.clients.buyers.iter().flat_map(|buyer| &buyer.denied);
    let of_attempts = denied.all(|(id, quantity)| {
        let order = state.orders.committed.get(id);
        let reservation = state.stock.committed.reservations.get(id);
        let reservation = reservation.filter(|reservation| reservation.state != Hold::Refused);
        order.is_none_or(|order| order.quantity != *quantity)
            && reservation.is_none_or(|reservation| reservation.quantity != *quantity)
    });
    let denied_ops = &state.clients.denied_ops;
    let was_made = |op_id| denied_ops.contains(op_id);
    of_attempts
        && !state
            .orders
            .committed
            .values()
            .any(|order| order.moves.iter().any(was_made))
}

fn is_consistent(state: &State) -> bool {
    let reservations = &state.stock.committed.reservations;
    state.orders.committed.iter().all(|(id, order)| {
        let reservation = reservations.get(id).filter(|r| r.state != Hold::Refused);
        let is_held = reservation.is_some_and(|r| r.state == Hold::Held);
        let is_equal = |r: &Reservation| (r.quantity, r.price) == (order.quantity, order.price);
        reservation.is_none_or(is_equal)
            && match order.status {
                // On the way from one to the other.
                Status::Cancelling => true,
                status => status.is_live() == is_held,
            }
    })
}

fn is_owed(state: &State) -> bool {
    let stock = &state.stock.committed;
    let mut held = stock
        .reservations
        .iter()
        .filter(|(_, r)| r.state == Hold::Held);
    held.all(|(id, _)| {
        state.orders.committed.contains_key(id)
            || stock.journal.iter().any(|entry| entry.contains(id))
    })
}

fn is_whole(state: &State) -> bool {
    let (orders, reservations) = (&state.orders.committed, &state.stock.committed.reservations);
    let held = reservations.iter().filter(|(_, r)| r.state == Hold::Held);
    let live = orders.iter().filter(|(_, order)| order.status.is_live());
    held.map(|(id, _)| id).eq(live.map(|(id, _)| id))
        && orders
            .values()
            .all(|order| order.status != Status::Cancelling)
}

/// Whether something is to be seen in a state.
pub type Sight = fn(&State) -> bool;

/// What must be seen in a run, or the model would show nothing.
pub const SIGHTS: [(&str, Sight); 11] = [
    ("an order is acknowledged", |state| {
        state
            .clients
            .buyers
            .iter()
            .any(|buyer| !buyer.acknowledged.is_empty())
    }),
    ("an order is refused", |state| {
        let mut records = state.stock.committed.reservations.values();
        records.any(|record| record.state == Hold::Refused)
    }),
    ("two buyers' orders go in one batch", |state| {
        state
            .stock
            .committed
            .journal
            .iter()
            .any(|entry| entry.len() > 1)
    }),
    ("calls of two replicas go in one transaction", |state| {
        state
            .catalogs
            .iter()
            .any(|catalog| matches!(catalog, Catalog::Busy(batch) if batch.requests.len() > 1))
    }),
    ("both catalogs are in a transaction", |state| {
        state
            .catalogs
            .iter()
            .all(|catalog| *catalog != Catalog::Idle)
    }),
    ("a follower finds an order missing", |state| {
        state
            .replicas
            .iter()
            .any(|replica| matches!(replica.follower, Follower::Missing { .. }))
    }),
    ("two followers have the same entry", |state| {
        let [one, other] = &state.replicas;
        one.follower == other.follower && one.follower != Follower::Idle
    }),
    ("an order is cancelled", |state| {
        has(state, Status::Cancelled)
    }),
    ("an order is delivered", |state| {
        has(state, Status::Delivered)
    }),
    ("two replicas cancel", |state| {
        state
            .replicas
            .iter()
            .all(|replica| replica.cancelling.is_some())
    }),
    ("a call arrives though nobody waits for it", |state| {
        state.network.0.iter().any(|request| request.from.is_none())
    }),
];

fn has(state: &State, status: Status) -> bool {
    state
        .orders
        .committed
        .values()
        .any(|order| order.status == status)
}
