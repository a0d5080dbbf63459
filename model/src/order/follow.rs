use super::{Order, pending};
use crate::{
    Model, State,
    mongo::{Ack, Read},
    name::OrderId,
    rules::Rule,
};

/// The follower, with an entry of the journal. It takes any entry up at any time: no clock decides anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Follower {
    /// Between two looks.
    #[default]
    Idle,
    /// It has read an entry.
    Listed(Vec<OrderId>),
    /// It has seen which of the orders are missing, and what they are made from.
    Missing {
        /// The entry.
        entry: Vec<OrderId>,
        /// What is to be written.
        orders: Vec<(OrderId, Order)>,
    },
    /// Every order of the entry is acknowledged by a majority.
    Done(Vec<OrderId>),
}

impl State {
    /// ListUnsettled.
    pub(crate) fn list(
        &mut self,
        model: &Model,
        replica: usize,
        entry: usize,
        read: Read,
    ) -> Option<()> {
        let follower = &mut self.replicas[replica].follower;
        if *follower != Follower::Idle {
            return None;
        }
        let stock = match model.rules.has(Rule::MajorityJournal) {
            true => self.stock.majority(read)?,
            false => self.stock.newest(),
        };
        *follower = Follower::Listed(stock.journal.iter().nth(entry)?.clone());
        Some(())
    }

    /// Which orders of the entry are missing? Of these the reservations are read.
    pub(crate) fn look(&mut self, model: &Model, replica: usize, read: Read) -> Option<()> {
        let follower = &mut self.replicas[replica].follower;
        let Follower::Listed(entry) = follower.clone() else {
            return None;
        };
        let existing = match model.rules.has(Rule::MajorityThere) {
            true => self.orders.majority(read)?,
            false => self.orders.newest(),
        };
        let stock = match model.rules.has(Rule::MajorityJournal) {
            true => self.stock.majority(Read::Current)?,
            false => self.stock.newest(),
        };
        let missing: Vec<_> = entry
            .iter()
            .filter(|id| !existing.contains_key(id))
            .collect();
        let promised = |id: &&OrderId| Some((**id, pending(stock.reservations.get(id)?)?));
        let orders: Vec<_> = missing.iter().filter_map(promised).collect();
        *follower = match orders.len() == missing.len() {
            true if missing.is_empty() => Follower::Done(entry),
            true => Follower::Missing { entry, orders },
            // It cannot be settled now.
            false => Follower::Idle,
        };
        Some(())
    }

    /// Writes the orders that are missing. An answer that got lost is asked for again.
    pub(crate) fn write_missing(&mut self, model: &Model, replica: usize, ack: Ack) -> Option<()> {
        let Follower::Missing { entry, orders } = self.replicas[replica].follower.clone() else {
            return None;
        };
        let mut next = self.orders.newest().clone();
        for (id, order) in orders {
            next.entry(id).or_insert(order);
        }
        if ack == Ack::Lost && next == *self.orders.newest() {
            return None;
        }
        self.orders.write(next, ack);
        if ack == Ack::Majority || !model.rules.has(Rule::SettledAfterwards) {
            self.replicas[replica].follower = Follower::Done(entry);
        }
        Some(())
    }

    /// Settle: strikes the entry out.
    pub(crate) fn settle(&mut self, replica: usize, ack: Ack) -> Option<()> {
        let follower = &mut self.replicas[replica].follower;
        let Follower::Done(entry) = follower.clone() else {
            return None;
        };
        *follower = Follower::Idle;
        let mut next = self.stock.newest().clone();
        if !next.journal.remove(&entry) && ack == Ack::Lost {
            return None;
        }
        self.stock.write(next, ack);
        Some(())
    }
}
