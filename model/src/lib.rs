#![doc = include_str!("../README.md")]

pub mod catalog;
pub mod explore;
pub mod invariants;
pub mod mongo;
pub mod name;
pub mod network;
pub mod order;
pub mod rules;
pub mod size;
pub mod tables;

mod action;

use std::collections::{BTreeMap, BTreeSet};

pub use action::{Action, Side};
use catalog::{Catalog, Product, Stock};
use mongo::Database;
use name::OrderId;
use network::{Caller, Network};
use order::{Orders, Replica};
use rules::Rules;
use size::{Faults, Size};

/// The protocol, under rules, in runs of a size.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// What may happen.
    pub size: Size,
    /// The rules that are kept.
    pub rules: Rules,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The catalog's database.
    pub stock: Database<Stock>,
    /// The order service's database.
    pub orders: Database<Orders>,
    /// The catalog's replicas.
    pub catalogs: [Catalog; 2],
    /// The order service's replicas.
    pub replicas: [Replica; 2],
    /// The calls between them.
    pub network: Network,
    /// What clients may still do, and what they were told.
    pub clients: Clients,
    /// What may still fail.
    pub faults: Faults,
}

/// What clients may still do, and what they were told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Clients {
    /// One for each request id.
    pub buyers: Vec<Buyer>,
    /// For each adjustment, how often it was asked for.
    pub restocks: Vec<u8>,
    /// How many are left.
    pub cancels: u8,
    /// How many are left.
    pub moves: u8,
    /// How many are left.
    pub withdrawals: u8,
    /// How many are left.
    pub prices: u8,
    /// With a rule off: the product as it was when somebody began to edit it.
    pub form: Option<Product>,
    /// The ids given to moves.
    pub op_ids: u8,
    /// The moves whose callers were told that there is no such move.
    pub denied_ops: BTreeSet<u8>,
}

/// Who asks with one request id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Buyer {
    /// How often.
    pub asked: u8,
    /// The orders and quantities that were acknowledged.
    pub acknowledged: BTreeSet<(OrderId, u8)>,
    /// Those that ended in a definite error.
    pub denied: BTreeSet<(OrderId, u8)>,
}

/// What an attempt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wish {
    /// The order's name.
    pub order_id: OrderId,
    /// Its line.
    pub quantity: u8,
}

impl Model {
    /// A model with all rules kept.
    pub fn new(size: Size) -> Self {
        let rules = Rules::ALL;
        Self { size, rules }
    }

    /// Where every run begins.
    pub fn initial(&self) -> State {
        let size = &self.size;
        let product = Product {
            stock: size.stock,
            price: 1,
            is_offered: true,
        };
        State {
            stock: Database::new(Stock {
                product,
                ledger: BTreeSet::new(),
                reservations: BTreeMap::new(),
                journal: BTreeSet::new(),
            }),
            orders: Database::new(Orders::new()),
            catalogs: Default::default(),
            replicas: Default::default(),
            network: Network::default(),
            clients: Clients {
                buyers: vec![Buyer::default(); size.keys.into()],
                restocks: vec![0; size.restocks.into()],
                cancels: size.cancels,
                moves: size.moves,
                withdrawals: size.withdrawals,
                prices: size.prices,
                form: None,
                op_ids: 0,
                denied_ops: BTreeSet::new(),
            },
            faults: size.faults,
        }
    }
}

impl State {
    /// `caller` waits no longer for what it has sent.
    fn forget(&mut self, caller: Caller) {
        network::forget(&mut self.network.0, caller);
        self.network.0.sort_unstable();
        for catalog in &mut self.catalogs {
            if let Catalog::Busy(batch) = catalog {
                network::forget(&mut batch.requests, caller);
            }
        }
    }

    /// The same state, but for the numbers of replicas: which of two does something changes nothing.
    fn normal(mut self) -> Self {
        if self.replicas[0] > self.replicas[1] {
            self.replicas.swap(0, 1);
            let held = self
                .catalogs
                .iter_mut()
                .filter_map(|catalog| match catalog {
                    Catalog::Busy(batch) => Some(&mut batch.requests),
                    Catalog::Idle => None,
                });
            for request in held.flatten().chain(&mut self.network.0) {
                if let Some(caller) = &mut request.from {
                    caller.replica = 1 - caller.replica;
                }
            }
            self.network.0.sort_unstable();
        }
        self.catalogs.sort_unstable();
        // Of no use any more.
        if !self.faults.may(|faults| faults.stale) {
            self.stock.before = None;
            self.orders.before = None;
        }
        self
    }
}
