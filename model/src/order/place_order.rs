use std::collections::btree_map::Entry;

use super::{Orders, pending};
use crate::{
    Model, State, Wish,
    catalog::{Hold, Outcome},
    mongo::{Ack, Read},
    name::OrderId,
    network::{Call, Caller, Task},
    rules::Rule,
};

/// A lane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// The next batch may begin.
    #[default]
    Idle,
    /// It waits for the catalog.
    Reserving {
        /// The batch.
        wishes: Vec<Wish>,
        /// Whether this is the call's first attempt.
        is_first: bool,
    },
    /// It writes the orders.
    Writing {
        /// The batch.
        wishes: Vec<Wish>,
        /// What the catalog has said, in the order of the wishes.
        outcomes: Vec<Outcome>,
    },
}

impl State {
    /// CreateOrder arrives at a replica and joins the queue.
    pub(crate) fn ask(
        &mut self,
        model: &Model,
        key: u8,
        quantity: u8,
        replica: usize,
    ) -> Option<()> {
        let buyer = self.clients.buyers.get_mut(usize::from(key))?;
        if buyer.asked == model.size.attempts {
            return None;
        }
        let named = model.rules.has(Rule::NamedByRequest);
        let order_id = OrderId {
            key,
            attempt: if named { 0 } else { buyer.asked },
        };
        buyer.asked += 1;
        self.replicas[replica]
            .queue
            .push(Wish { order_id, quantity });
        Some(())
    }

    /// The lane takes all that has gathered and sends one Reserve.
    pub(crate) fn reserve(&mut self, replica: usize) -> Option<()> {
        let place = &mut self.replicas[replica];
        if place.lane != Lane::Idle || place.queue.is_empty() {
            return None;
        }
        let wishes = std::mem::take(&mut place.queue);
        place.lane = Lane::Reserving {
            wishes: wishes.clone(),
            is_first: true,
        };
        self.network.send(
            Some(Caller {
                replica,
                task: Task::Place,
            }),
            Call::Reserve(wishes),
        );
        Some(())
    }

    /// The catalog's answer arrives.
    pub(crate) fn reserved(&mut self, caller: Caller, outcomes: Vec<Outcome>) {
        let lane = &mut self.replicas[caller.replica].lane;
        if let Lane::Reserving { wishes, .. } = std::mem::take(lane) {
            *lane = Lane::Writing { wishes, outcomes };
        }
    }

    /// No answer from the catalog: the same call once more, or "unknown" to all of the batch.
    pub(crate) fn no_answer(&mut self, model: &Model, replica: usize, again: bool) -> Option<()> {
        let caller = Caller {
            replica,
            task: Task::Place,
        };
        let Lane::Reserving { wishes, is_first } = self.replicas[replica].lane.clone() else {
            return None;
        };
        if again && is_first {
            self.network
                .send(Some(caller), Call::Reserve(wishes.clone()));
            self.replicas[replica].lane = Lane::Reserving {
                wishes,
                is_first: false,
            };
        } else if again {
            return None;
        } else {
            self.replicas[replica].lane = Lane::Idle;
            if !model.rules.has(Rule::OnlyOutcomesAnswer) {
                wishes.iter().for_each(|wish| self.deny(wish));
            }
        }
        Some(())
    }

    /// One insert for the whole batch, then each caller gets its own outcome.
    pub(crate) fn write(
        &mut self,
        model: &Model,
        replica: usize,
        ack: Ack,
        read: Read,
    ) -> Option<()> {
        let rules = &model.rules;
        let Lane::Writing { wishes, outcomes } = self.replicas[replica].lane.clone() else {
            return None;
        };
        let mut next = self.orders.newest().clone();
        let mut new = Vec::new();
        for (wish, outcome) in wishes.iter().zip(&outcomes) {
            let Outcome::Recorded(reservation) = outcome else {
                continue;
            };
            let Some(mut order) = pending(reservation) else {
                continue;
            };
            if !rules.has(Rule::MadeFromReservation) {
                order.price = self.stock.committed.product.price;
            }
            if let Entry::Vacant(place) = next.entry(wish.order_id) {
                place.insert(order);
                new.push(wish.order_id);
            }
        }
        if ack == Ack::Lost {
            if new.is_empty()
                && !rules.has(Rule::DuplicateAcknowledged)
                && !self.orders.tail.is_empty()
            {
                // They are there: what does it matter that no majority has acknowledged it?
                self.replicas[replica].lane = Lane::Idle;
                wishes.iter().for_each(|wish| self.acknowledge(wish));
                return Some(());
            }
            // The outcome is unknown. The same insert again tells.
            let is_written = !new.is_empty();
            self.orders.write(next, Ack::Lost);
            return is_written.then_some(());
        }
        self.orders.write(next, Ack::Majority);

        // What was there already is read as a majority knows it.
        let found: Orders = self.orders.majority(read)?.clone();
        self.replicas[replica].lane = Lane::Idle;
        for (i, wish) in wishes.iter().enumerate() {
            let outcome = match rules.has(Rule::ByIndex) {
                true => outcomes[i],
                // By id: what was said last about it.
                false => {
                    *std::iter::zip(&wishes, &outcomes)
                        .rfind(|(w, _)| w.order_id == wish.order_id)?
                        .1
                }
            };
            let is_found = found.contains_key(&wish.order_id) || new.contains(&wish.order_id);
            match outcome {
                Outcome::LinesDiffer => self.deny(wish),
                Outcome::Recorded(record) => match record.state {
                    Hold::Refused => self.deny(wish),
                    Hold::Released if !rules.has(Rule::ReleasedAnswersAlike) => self.deny(wish),
                    Hold::Held | Hold::Released if is_found => self.acknowledge(wish),
                    // Not there, it seems. It is not said that it does not exist.
                    _ if !rules.has(Rule::DuplicateIsNotAbsent) => self.deny(wish),
                    _ => {}
                },
            }
        }
        Some(())
    }

    /// The caller is told OK.
    fn acknowledge(&mut self, wish: &Wish) {
        let buyer = &mut self.clients.buyers[usize::from(wish.order_id.key)];
        buyer.acknowledged.insert((wish.order_id, wish.quantity));
    }

    /// The caller is told something definite.
    fn deny(&mut self, wish: &Wish) {
        let buyer = &mut self.clients.buyers[usize::from(wish.order_id.key)];
        buyer.denied.insert((wish.order_id, wish.quantity));
    }
}
