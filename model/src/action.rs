use std::fmt;

use crate::{
    Model, State,
    catalog::Catalog,
    mongo::{Ack, Database, Read},
    name::OrderId,
    network::{Caller, Task},
    order::{Follower, Lane, Orders, Phase, Replica, Status},
    rules::Rule,
};

/// One of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The catalog's.
    Stock,
    /// The order service's.
    Orders,
}

/// One step of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named")]
pub enum Action {
    /// A buyer calls CreateOrder, for the first time or again; it joins the queue of a replica.
    Ask {
        key: u8,
        quantity: u8,
        replica: usize,
    },
    /// A lane takes all that has gathered and sends one Reserve.
    Reserve { replica: usize },
    /// A lane writes the orders that were reserved, and answers.
    Write {
        replica: usize,
        ack: Ack,
        read: Read,
    },

    /// A catalog replica takes one call, or all of its kind that have gathered, and begins a transaction.
    Take {
        catalog: usize,
        request: usize,
        all: bool,
    },
    /// It ends the transaction: commit, conflict or duplicate key. What is committed is answered.
    Commit {
        catalog: usize,
        ack: Ack,
        read: Read,
    },

    /// The follower of a replica reads an entry of the journal.
    List {
        replica: usize,
        entry: usize,
        read: Read,
    },
    /// It looks which of the entry's orders are missing.
    Look { replica: usize, read: Read },
    /// It writes them.
    WriteMissing { replica: usize, ack: Ack },
    /// It strikes the entry out.
    Settle { replica: usize, ack: Ack },
    /// It takes up a cancellation that was left half-way.
    Resume {
        replica: usize,
        order_id: OrderId,
        read: Read,
    },

    /// Somebody calls CancelOrder.
    Cancel {
        replica: usize,
        order_id: OrderId,
        read: Read,
    },
    /// The first or the last step of a cancellation: PENDING → CANCELLING → CANCELLED.
    MoveCancelling {
        replica: usize,
        ack: Ack,
        read: Read,
    },
    /// The step between: Release is sent.
    Release { replica: usize },
    /// A seller calls UpdateOrderStatus.
    StartMove {
        replica: usize,
        order_id: OrderId,
        read: Read,
    },
    /// The move is made.
    MoveOrder {
        replica: usize,
        ack: Ack,
        read: Read,
    },

    /// A seller calls AdjustStock, for the first time or again.
    Restock { request: u8, ack: Ack },
    /// A seller withdraws the product.
    Withdraw,
    /// A seller changes its price.
    ChangePrice,

    /// A caller has waited long enough: it calls once more or gives up. The call goes on.
    Timeout { caller: Caller, again: bool },
    /// A call arrives twice.
    Double { request: usize },
    /// An order replica dies and is started again.
    CrashOrder { replica: usize },
    /// A catalog replica dies and is started again.
    CrashCatalog { catalog: usize },
    /// A majority gets what the primary has.
    Replicate(Side),
    /// Another primary, which has only the first so many of the versions that no majority has.
    FailOver { side: Side, kept: usize },

    /// With a rule off: stock without its row in the ledger.
    RestockApart { request: u8 },
    /// With a rule off: a seller begins to edit the product.
    OpenForm,
    /// With a rule off: a clock gives a reservation back.
    Expire { order_id: OrderId },
}

use Action::*;

impl Model {
    /// What may happen next.
    pub fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::with_capacity(32);
        self.calls(state, &mut actions);
        for replica in 0..2 {
            Self::steps(state, replica, &mut actions);
        }
        for (catalog, is) in state.catalogs.iter().enumerate() {
            match is {
                // Of two that are idle it is the same which one it is.
                Catalog::Idle if catalog == 0 || state.catalogs[0] != Catalog::Idle => {
                    let requests = state.network.0.len();
                    let all = if requests > 1 {
                        &[false, true][..]
                    } else {
                        &[false]
                    };
                    for all in all.iter().copied() {
                        actions.extend((0..requests).map(|request| Take {
                            catalog,
                            request,
                            all,
                        }));
                    }
                }
                Catalog::Idle => {}
                Catalog::Busy(_) => {
                    let commit = |ack, read| Commit { catalog, ack, read };
                    actions.extend(ways(state, &state.stock).map(|(ack, read)| commit(ack, read)));
                }
            }
        }
        self.failures(state, &mut actions);
        actions
    }

    /// What clients do.
    fn calls(&self, state: &State, actions: &mut Vec<Action>) {
        let (size, clients) = (&self.size, &state.clients);
        let replicas = if state.replicas[0] == state.replicas[1] {
            0..1
        } else {
            0..2
        };
        for (key, buyer) in (0..).zip(&clients.buyers) {
            if buyer.asked < size.attempts {
                for replica in replicas.clone() {
                    let quantities = 1..=size.quantities;
                    actions.extend(quantities.map(|quantity| Ask {
                        key,
                        quantity,
                        replica,
                    }));
                }
            }
        }
        let orders = if clients.cancels + clients.moves > 0 {
            Some(state.orders.newest())
        } else {
            None
        };
        for order_id in orders.iter().flat_map(|orders| orders.keys().copied()) {
            for replica in replicas.clone() {
                for read in reads(state, &state.orders) {
                    if clients.cancels > 0 {
                        actions.push(Cancel {
                            replica,
                            order_id,
                            read,
                        });
                    }
                    if clients.moves > 0 {
                        actions.push(StartMove {
                            replica,
                            order_id,
                            read,
                        });
                    }
                }
            }
        }
        for (request, attempts) in (0..).zip(&clients.restocks) {
            if *attempts < size.attempts {
                actions.extend(acks(state).map(|ack| Restock { request, ack }));
                if !self.rules.has(Rule::AdjustmentsWhole) {
                    actions.push(RestockApart { request });
                }
            }
        }
        if clients.withdrawals > 0 {
            actions.push(Withdraw);
        }
        if clients.prices > 0 {
            actions.push(ChangePrice);
            if !self.rules.has(Rule::StockApart) {
                actions.push(OpenForm);
            }
        }
        if !self.rules.has(Rule::NoTimers) {
            let held = state.stock.newest().journal.iter().flatten();
            actions.extend(held.map(|id| Expire { order_id: *id }));
        }
    }

    /// What an order replica does.
    fn steps(state: &State, replica: usize, actions: &mut Vec<Action>) {
        let Replica {
            queue,
            lane,
            cancelling,
            moving,
            follower,
        } = &state.replicas[replica];
        let ways = || ways(state, &state.orders);
        match lane {
            Lane::Idle if !queue.is_empty() => actions.push(Reserve { replica }),
            Lane::Writing { .. } => {
                actions.extend(ways().map(|(ack, read)| Write { replica, ack, read }))
            }
            Lane::Idle | Lane::Reserving { .. } => {}
        }
        match follower {
            Follower::Idle => {
                for entry in 0..state.stock.newest().journal.len() {
                    actions.extend(reads(state, &state.stock).map(|read| List {
                        replica,
                        entry,
                        read,
                    }));
                }
            }
            Follower::Listed(_) => {
                actions.extend(reads(state, &state.orders).map(|read| Look { replica, read }));
            }
            Follower::Missing { .. } => {
                actions.extend(acks(state).map(|ack| WriteMissing { replica, ack }))
            }
            Follower::Done(_) => actions.extend(acks(state).map(|ack| Settle { replica, ack })),
        }
        match cancelling.map(|cancelling| cancelling.phase) {
            None => {
                let is_cancelling = |orders: &Orders, id| match orders.get(id) {
                    Some(order) => order.status == Status::Cancelling,
                    None => false,
                };
                for id in state.orders.newest().keys() {
                    // Whichever of them it reads.
                    if state
                        .orders
                        .versions()
                        .any(|orders| is_cancelling(orders, id))
                    {
                        let resume = |read| Resume {
                            replica,
                            order_id: *id,
                            read,
                        };
                        actions.extend(reads(state, &state.orders).map(resume));
                    }
                }
            }
            Some(Phase::Claim | Phase::Finish) => {
                actions.extend(ways().map(|(ack, read)| MoveCancelling { replica, ack, read }));
            }
            Some(Phase::Release) => actions.push(Release { replica }),
            Some(Phase::Releasing) => {}
        }
        if moving.is_some() {
            actions.extend(ways().map(|(ack, read)| MoveOrder { replica, ack, read }));
        }
    }

    /// What fails.
    fn failures(&self, state: &State, actions: &mut Vec<Action>) {
        let faults = &state.faults;
        for side in [Side::Stock, Side::Orders] {
            let tail = match side {
                Side::Stock => state.stock.tail.len(),
                Side::Orders => state.orders.tail.len(),
            };
            if tail > 0 {
                actions.push(Replicate(side));
                if faults.may(|faults| faults.failovers) {
                    actions.extend((0..tail).map(|kept| FailOver { side, kept }));
                }
            }
        }
        for (replica, is) in state.replicas.iter().enumerate() {
            if faults.may(|faults| faults.late) {
                let places = matches!(is.lane, Lane::Reserving { .. }).then_some(Task::Place);
                let releases = is.cancelling.is_some_and(|is| is.phase == Phase::Releasing);
                for task in places.into_iter().chain(releases.then_some(Task::Cancel)) {
                    let caller = Caller { replica, task };
                    actions.extend([true, false].map(|again| Timeout { caller, again }));
                }
            }
            if faults.may(|faults| faults.crashes) && *is != Replica::default() {
                actions.push(CrashOrder { replica });
            }
        }
        for (catalog, is) in state.catalogs.iter().enumerate() {
            if faults.may(|faults| faults.crashes) && *is != Catalog::Idle {
                actions.push(CrashCatalog { catalog });
            }
        }
        if faults.may(|faults| faults.doubled) {
            actions.extend((0..state.network.0.len()).map(|request| Double { request }));
        }
    }

    /// The state behind an action, if it can happen.
    pub fn next(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action)?;
        Some(next)
    }

    pub(crate) fn apply(&self, state: &mut State, action: Action) -> Option<()> {
        let (ack, read) = action.way();
        if ack == Ack::Lost {
            state.faults.spend(|faults| &mut faults.unacknowledged)?;
        }
        if read == Read::Stale {
            state.faults.spend(|faults| &mut faults.stale)?;
        }
        match action {
            Ask {
                key,
                quantity,
                replica,
            } => state.ask(self, key, quantity, replica),
            Reserve { replica } => state.reserve(replica),
            Write { replica, .. } => state.write(self, replica, ack, read),
            Take {
                catalog,
                request,
                all,
            } => state.take(catalog, request, all),
            Commit { catalog, .. } => state.commit(self, catalog, ack, read),
            List { replica, entry, .. } => state.list(self, replica, entry, read),
            Look { replica, .. } => state.look(self, replica, read),
            WriteMissing { replica, .. } => state.write_missing(self, replica, ack),
            Settle { replica, .. } => state.settle(replica, ack),
            Resume {
                replica, order_id, ..
            } => state.resume(self, replica, order_id, read),
            Cancel {
                replica, order_id, ..
            } => state.cancel(self, replica, order_id, read),
            MoveCancelling { replica, .. } => state.move_cancelling(self, replica, ack, read),
            Release { replica } => state.release(replica),
            StartMove {
                replica, order_id, ..
            } => state.start_move(replica, order_id, read),
            MoveOrder { replica, .. } => state.move_order(self, replica, ack, read),
            Restock { request, .. } => state.restock(self, request, ack),
            Withdraw => state.withdraw(),
            ChangePrice => state.change_price(self),
            Timeout { caller, again } => {
                state.faults.spend(|faults| &mut faults.late)?;
                state.forget(caller);
                match caller.task {
                    Task::Place => state.no_answer(self, caller.replica, again),
                    Task::Cancel => state.no_release(caller.replica, again),
                }
            }
            Double { request } => {
                state.faults.spend(|faults| &mut faults.doubled)?;
                state.network.double(request)
            }
            CrashOrder { replica } => {
                state.faults.spend(|faults| &mut faults.crashes)?;
                state.replicas[replica] = Replica::default();
                state.forget(Caller {
                    replica,
                    task: Task::Place,
                });
                state.forget(Caller {
                    replica,
                    task: Task::Cancel,
                });
                Some(())
            }
            CrashCatalog { catalog } => {
                state.faults.spend(|faults| &mut faults.crashes)?;
                state.catalogs[catalog] = Catalog::Idle;
                Some(())
            }
            Replicate(side) => {
                match side {
                    Side::Stock => state.stock.replicate(),
                    Side::Orders => state.orders.replicate(),
                }
                Some(())
            }
            FailOver { side, kept } => {
                state.faults.spend(|faults| &mut faults.failovers)?;
                match side {
                    Side::Orders => state.orders.fail_over(kept),
                    Side::Stock => {
                        state.stock.fail_over(kept)?;
                        // Open transactions are gone, and begin anew.
                        for catalog in 0..2 {
                            let _ = state.begin(catalog);
                        }
                        Some(())
                    }
                }
            }
            RestockApart { request } => state.restock_apart(self, request),
            OpenForm => state.open_form(),
            Expire { order_id } => state.expire(order_id),
        }
    }
}

fn acks(state: &State) -> impl Iterator<Item = Ack> {
    let may_be_lost = state.faults.may(|faults| faults.unacknowledged);
    std::iter::once(Ack::Majority).chain(may_be_lost.then_some(Ack::Lost))
}

fn reads<T>(state: &State, database: &Database<T>) -> impl Iterator<Item = Read> {
    let may_be_stale = state.faults.may(|faults| faults.stale) && database.before.is_some();
    std::iter::once(Read::Current).chain(may_be_stale.then_some(Read::Stale))
}

/// A write and, if nothing failed so far, a read.
fn ways<T>(state: &State, database: &Database<T>) -> impl Iterator<Item = (Ack, Read)> {
    let lost = acks(state).skip(1).map(|ack| (ack, Read::Current));
    reads(state, database)
        .map(|read| (Ack::Majority, read))
        .chain(lost)
}

impl Action {
    fn way(&self) -> (Ack, Read) {
        match *self {
            Write { ack, read, .. }
            | Commit { ack, read, .. }
            | MoveCancelling { ack, read, .. }
            | MoveOrder { ack, read, .. } => (ack, read),
            WriteMissing { ack, .. } | Settle { ack, .. } | Restock { ack, .. } => {
                (ack, Read::Current)
            }
            List { read, .. }
            | Look { read, .. }
            | Resume { read, .. }
            | Cancel { read, .. }
            | StartMove { read, .. } => (Ack::Majority, read),
            _ => (Ack::Majority, Read::Current),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nth = |replica: &usize| replica + 1;
        match self {
            Ask {
                key,
                quantity,
                replica,
            } => {
                let name = OrderId {
                    key: *key,
                    attempt: 0,
                };
                write!(
                    f,
                    "buyer {name:?} asks order {} for {quantity}",
                    nth(replica)
                )
            }
            Reserve { replica } => write!(f, "order {} sends Reserve", nth(replica)),
            Write { replica, .. } => write!(f, "order {} writes the orders", nth(replica)),
            Take {
                catalog,
                request,
                all: false,
            } => {
                write!(f, "catalog {} takes call {}", nth(catalog), nth(request))
            }
            Take {
                catalog,
                request,
                all: true,
            } => {
                write!(
                    f,
                    "catalog {} takes all calls like call {}",
                    nth(catalog),
                    nth(request)
                )
            }
            Commit { catalog, .. } => write!(f, "catalog {} ends its transaction", nth(catalog)),
            List { replica, .. } => {
                write!(f, "follower {} reads an entry of the journal", nth(replica))
            }
            Look { replica, .. } => write!(f, "follower {} looks what is missing", nth(replica)),
            WriteMissing { replica, .. } => {
                write!(f, "follower {} writes what is missing", nth(replica))
            }
            Settle { replica, .. } => write!(f, "follower {} strikes the entry out", nth(replica)),
            Resume {
                replica, order_id, ..
            } => {
                write!(
                    f,
                    "follower {} goes on cancelling {order_id:?}",
                    nth(replica)
                )
            }
            Cancel {
                replica, order_id, ..
            } => write!(f, "order {} is to cancel {order_id:?}", nth(replica)),
            MoveCancelling { replica, .. } => {
                write!(f, "order {} makes a move of the cancellation", nth(replica))
            }
            Release { replica } => write!(f, "order {} sends Release", nth(replica)),
            StartMove {
                replica, order_id, ..
            } => write!(f, "order {} is to move {order_id:?} on", nth(replica)),
            MoveOrder { replica, .. } => write!(f, "order {} moves it", nth(replica)),
            Restock { .. } => write!(f, "the seller adds one to the stock"),
            Withdraw => write!(f, "the seller withdraws the product"),
            ChangePrice => write!(f, "the seller changes the price"),
            Timeout { caller, again } => {
                let then = if *again { "calls again" } else { "gives up" };
                write!(
                    f,
                    "order {} has waited long enough and {then}",
                    nth(&caller.replica)
                )
            }
            Double { request } => write!(f, "call {} is doubled", nth(request)),
            CrashOrder { replica } => write!(f, "order {} dies", nth(replica)),
            CrashCatalog { catalog } => write!(f, "catalog {} dies", nth(catalog)),
            Replicate(side) => write!(f, "a majority gets what the primary has ({side:?})"),
            FailOver { side, kept } => {
                write!(f, "failover ({side:?}), {kept} unacknowledged writes kept")
            }
            RestockApart { .. } => write!(f, "the stock grows, its row is yet to come"),
            OpenForm => write!(f, "the seller begins to edit the product"),
            Expire { order_id } => write!(f, "a clock gives the stock of {order_id:?} back"),
        }?;
        match self.way() {
            (Ack::Lost, _) => f.write_str(", and the acknowledgement is lost"),
            (_, Read::Stale) => f.write_str(", and a deposed primary answers"),
            _ => Ok(()),
        }
    }
}
