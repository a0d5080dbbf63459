use super::Status;
use crate::{
    Model, State,
    mongo::{Ack, Read},
    name::OrderId,
    rules::Rule,
};

/// An UpdateOrderStatus on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moving {
    /// Which order.
    pub order_id: OrderId,
    /// Where it stood when it was looked at.
    pub from: Status,
    /// Where to.
    pub to: Status,
    /// What the move is known by, whichever attempt has made it.
    pub op_id: u8,
}

impl State {
    /// UpdateOrderStatus arrives at a replica, which looks at the order: what is pending is shipped, what is shipped delivered.
    pub(crate) fn start_move(
        &mut self,
        replica: usize,
        order_id: OrderId,
        read: Read,
    ) -> Option<()> {
        let from = self.orders.majority(read)?.get(&order_id)?.status;
        let to = match from {
            Status::Pending => Status::Shipped,
            Status::Shipped => Status::Delivered,
            _ => return None,
        };
        if self.replicas[replica].moving.is_some() {
            return None;
        }
        self.clients.moves = self.clients.moves.checked_sub(1)?;
        let op_id = self.op_id();
        self.replicas[replica].moving = Some(Moving {
            order_id,
            from,
            to,
            op_id,
        });
        Some(())
    }

    /// The move, guarded by the status that it begins at.
    pub(crate) fn move_order(
        &mut self,
        model: &Model,
        replica: usize,
        ack: Ack,
        read: Read,
    ) -> Option<()> {
        let Moving {
            order_id,
            from,
            to,
            op_id,
        } = self.replicas[replica].moving?;
        let is_made = self.make_move(order_id, from, to, op_id, ack);
        match ack {
            Ack::Lost => return is_made.then_some(()),
            Ack::Majority if is_made => {}
            // Nothing matched, as a majority has acknowledged. Was it an attempt of ours? Not the status tells.
            Ack::Majority => {
                let order = self.orders.majority(read)?.get(&order_id)?;
                let was_moved = order.moves.contains(&op_id) && model.rules.has(Rule::OpIdTells);
                if !was_moved && order.status == from {
                    return None;
                }
                if !was_moved && order.status != to {
                    self.clients.denied_ops.insert(op_id);
                }
            }
        }
        self.replicas[replica].moving = None;
        Some(())
    }

    /// A guarded update. True if it has matched.
    pub(super) fn make_move(
        &mut self,
        id: OrderId,
        from: Status,
        to: Status,
        op_id: u8,
        ack: Ack,
    ) -> bool {
        let mut next = self.orders.newest().clone();
        let order = next.get_mut(&id).filter(|order| order.status == from);
        let is_made = order.is_some();
        if let Some(order) = order {
            order.status = to;
            if op_id > 0 && !order.moves.contains(&op_id) {
                order.moves.push(op_id);
            }
        }
        self.orders.write(next, ack);
        is_made
    }

    /// An id for an attempt at a move; 0 is for resumptions, of which nobody asks what became.
    pub(super) fn op_id(&mut self) -> u8 {
        self.clients.op_ids += 1;
        self.clients.op_ids
    }
}
