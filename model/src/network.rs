//! Calls from order to catalog. One that its caller no longer waits for may still arrive, whenever it likes; one that never
//! arrives is lost; and one may arrive twice.

use crate::{Wish, name::OrderId};

/// A call on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    /// Who waits for the answer. Nobody, once patience has run out or the caller has died.
    pub from: Option<Caller>,
    /// What is asked for.
    pub call: Call,
}

/// A task of an order replica. It waits for one call at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller {
    /// Which of the replicas.
    pub replica: usize,
    /// Which of its tasks.
    pub task: Task,
}

/// The tasks that call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// A lane that places orders.
    Place,
    /// A cancellation.
    Cancel,
}

/// The calls that change something. Reading the journal and settling need none in the model: to read late, or to strike out
/// late what is done, is to do so at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// Take the stock of these orders.
    Reserve(Vec<Wish>),
    /// Give the stock of these orders back.
    Release(Vec<OrderId>),
}

impl Request {
    /// The orders whose stock is to be given back.
    pub(crate) fn releases(&self) -> std::slice::Iter<'_, OrderId> {
        match &self.call {
            Call::Release(ids) => ids.iter(),
            Call::Reserve(_) => [].iter(),
        }
    }
}

/// The calls on their way, in no order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(pub(crate) Vec<Request>);

impl Network {
    /// Sends a call.
    pub fn send(&mut self, from: Option<Caller>, call: Call) {
        self.0.push(Request { from, call });
        self.0.sort_unstable();
    }

    /// It arrives.
    pub fn take(&mut self, index: usize) -> Option<Request> {
        (index < self.0.len()).then(|| self.0.remove(index))
    }

    /// A copy of it is on its way too, whose answer nobody waits for.
    pub fn double(&mut self, index: usize) -> Option<()> {
        let call = self.0.get(index)?.call.clone();
        self.send(None, call);
        Some(())
    }
}

/// `caller` waits no longer; what it has sent goes on.
pub(crate) fn forget<'a>(requests: impl IntoIterator<Item = &'a mut Request>, caller: Caller) {
    for request in requests {
        if request.from == Some(caller) {
            request.from = None;
        }
    }
}
