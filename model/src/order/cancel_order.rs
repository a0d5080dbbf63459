use super::Status;
use crate::{
    Model, State,
    mongo::{Ack, Read},
    name::OrderId,
    network::{Call, Caller, Task},
    rules::Rule,
};

/// A cancellation on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cancelling {
    /// Which order.
    pub order_id: OrderId,
    /// What its first move is known by.
    pub op_id: u8,
    /// What comes next.
    pub phase: Phase,
}

/// The steps of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// PENDING → CANCELLING: who wins this decides between cancelling and shipping.
    Claim,
    /// To ask the catalog.
    Release,
    /// It waits for the catalog.
    Releasing,
    /// CANCELLING → CANCELLED.
    Finish,
}

impl State {
    /// CancelOrder arrives at a replica, which looks at the order.
    pub(crate) fn cancel(
        &mut self,
        model: &Model,
        replica: usize,
        order_id: OrderId,
        read: Read,
    ) -> Option<()> {
        let status = self.orders.majority(read)?.get(&order_id)?.status;
        if self.replicas[replica].cancelling.is_some() {
            return None;
        }
        self.clients.cancels = self.clients.cancels.checked_sub(1)?;
        let phase = match status {
            Status::Pending if model.rules.has(Rule::ClaimedFirst) => Phase::Claim,
            Status::Pending | Status::Cancelling => Phase::Release,
            _ => return None,
        };
        let op_id = self.op_id();
        self.replicas[replica].cancelling = Some(Cancelling {
            order_id,
            op_id,
            phase,
        });
        Some(())
    }

    /// The follower takes up what it has seen in CANCELLING.
    pub(crate) fn resume(
        &mut self,
        model: &Model,
        replica: usize,
        order_id: OrderId,
        read: Read,
    ) -> Option<()> {
        let listed = match model.rules.has(Rule::MajorityCancelling) {
            true => self.orders.majority(read)?,
            false => self.orders.newest(),
        };
        let place = &mut self.replicas[replica];
        if listed.get(&order_id)?.status != Status::Cancelling || place.cancelling.is_some() {
            return None;
        }
        place.cancelling = Some(Cancelling {
            order_id,
            op_id: 0,
            phase: Phase::Release,
        });
        Some(())
    }

    /// The next of a cancellation's two moves.
    pub(crate) fn move_cancelling(
        &mut self,
        model: &Model,
        replica: usize,
        ack: Ack,
        read: Read,
    ) -> Option<()> {
        let cancelling = self.replicas[replica].cancelling?;
        let (from, to, behind) = match cancelling.phase {
            Phase::Claim => (Status::Pending, Status::Cancelling, Some(Phase::Release)),
            Phase::Finish => (Status::Cancelling, Status::Cancelled, None),
            Phase::Release | Phase::Releasing => return None,
        };
        let next = behind.map(|phase| Cancelling {
            phase,
            ..cancelling
        });
        let from_pending = behind.is_none() && !model.rules.has(Rule::ClaimedFirst);
        let newest = self
            .orders
            .newest()
            .get(&cancelling.order_id)
            .map(|order| order.status);
        let from = if from_pending && newest == Some(Status::Pending) {
            Status::Pending
        } else {
            from
        };
        let is_made = self.make_move(cancelling.order_id, from, to, cancelling.op_id, ack);
        let place = |state: &mut Self, next| {
            state.replicas[replica].cancelling = next;
            Some(())
        };
        match ack {
            Ack::Majority if is_made => return place(self, next),
            // What the primary has made counts as made.
            Ack::Lost if is_made && !model.rules.has(Rule::MajorityMoves) => {
                return place(self, next);
            }
            Ack::Lost => return is_made.then_some(()),
            Ack::Majority => {}
        }
        // Nothing matched, as a majority has acknowledged: what is so now?
        let order = self.orders.majority(read)?.get(&cancelling.order_id)?;
        let was_moved = order.moves.contains(&cancelling.op_id) && cancelling.phase == Phase::Claim;
        match order.status {
            _ if was_moved => place(self, next),
            status if status == from => None,
            status if status == to => place(self, next),
            Status::Cancelled => place(self, None),
            _ => {
                self.clients.denied_ops.insert(cancelling.op_id);
                place(self, None)
            }
        }
    }

    /// Asks the catalog to give the stock back.
    pub(crate) fn release(&mut self, replica: usize) -> Option<()> {
        let cancelling = self.replicas[replica].cancelling.as_mut()?;
        if cancelling.phase != Phase::Release {
            return None;
        }
        cancelling.phase = Phase::Releasing;
        let call = Call::Release(vec![cancelling.order_id]);
        self.network.send(
            Some(Caller {
                replica,
                task: Task::Cancel,
            }),
            call,
        );
        Some(())
    }

    /// The catalog says that the stock is back.
    pub(crate) fn released(&mut self, caller: Caller) {
        if let Some(cancelling) = &mut self.replicas[caller.replica].cancelling {
            cancelling.phase = Phase::Finish;
        }
    }

    /// No answer: the same call once more, or the order stays in CANCELLING for now.
    pub(crate) fn no_release(&mut self, replica: usize, again: bool) -> Option<()> {
        let cancelling = self.replicas[replica].cancelling?;
        if cancelling.phase != Phase::Releasing {
            return None;
        }
        self.replicas[replica].cancelling = again.then_some(Cancelling {
            phase: Phase::Release,
            ..cancelling
        });
        Some(())
    }
}
