//! The catalog: what it keeps, and a replica of it, which runs one transaction at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Model, State, Wish,
    mongo::{Ack, Read},
    name::OrderId,
    network::{Call, Request},
    rules::Rule,
};

/// What the catalog keeps, of one product.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stock {
    /// The product.
    pub product: Product,
    /// Why its stock was adjusted, by one each: the request, and, with the rule off, the attempt.
    pub ledger: BTreeSet<(u8, u8)>,
    /// What was decided about orders.
    pub reservations: BTreeMap<OrderId, Reservation>,
    /// The journal: each entry names the orders of one committed batch.
    pub journal: BTreeSet<Vec<OrderId>>,
}

impl Stock {
    fn holds(&self, id: &OrderId) -> bool {
        let record = self.reservations.get(id);
        record.is_some_and(|record| record.state == Hold::Held)
    }
}

/// A product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Product {
    /// What is left. It may be negative, so that it can be seen.
    pub stock: i8,
    /// What one costs.
    pub price: u8,
    /// False once it is withdrawn.
    pub is_offered: bool,
}

/// What was decided about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reservation {
    /// Where it stands.
    pub state: Hold,
    /// What was asked for: the line by which a repeated order is told from another one under the same id.
    pub quantity: u8,
    /// What one cost.
    pub price: u8,
}

/// ∅ → HELD → RELEASED, ∅ → REFUSED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hold {
    /// Its stock is taken; its order exists or will.
    Held,
    /// Its stock is back; its order is cancelled, or about to be.
    Released,
    /// There was not enough.
    Refused,
}

/// What Reserve answers about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// HELD, RELEASED or REFUSED, now or by an earlier call.
    Recorded(Reservation),
    /// The order is known with other lines.
    LinesDiffer,
}

/// A replica of the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Catalog {
    /// It has nothing to do.
    #[default]
    Idle,
    /// It has a batch.
    Busy(Batch),
}

/// A batch: one call, or several of a kind that have gathered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Batch {
    /// The calls, in the order of arrival.
    pub requests: Vec<Request>,
    /// What has turned out to be known.
    pub known: BTreeMap<OrderId, Reservation>,
    /// What its transaction has read.
    pub read: Snapshot,
}

/// What a transaction has read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Snapshot {
    product: Option<Product>,
    /// Of the orders to be released, those whose stock is held.
    held: Vec<OrderId>,
}

impl Batch {
    fn wishes(&self) -> Vec<Wish> {
        let wishes = |request: &Request| match &request.call {
            Call::Reserve(wishes) => wishes.clone(),
            Call::Release(_) => Vec::new(),
        };
        self.requests.iter().flat_map(wishes).collect()
    }

    /// The wishes that are to be decided: one of each order, without those that are known.
    fn fresh(&self, model: &Model) -> Vec<Wish> {
        let mut seen = BTreeSet::new();
        let mut wishes = self.wishes();
        wishes.retain(|wish| {
            let is_first = seen.insert(wish.order_id);
            let once = model.rules.has(Rule::OnceInReserve);
            (is_first || !once) && !self.known.contains_key(&wish.order_id)
        });
        wishes
    }
}

impl State {
    /// A replica takes a call that has arrived, or all of its kind.
    pub(crate) fn take(&mut self, catalog: usize, request: usize, all: bool) -> Option<()> {
        if self.catalogs[catalog] != Catalog::Idle {
            return None;
        }
        let mut requests = vec![self.network.take(request)?];
        if all {
            let kind = std::mem::discriminant(&requests[0].call);
            let is_of_kind = |request: &mut Request| std::mem::discriminant(&request.call) == kind;
            requests.extend(self.network.0.extract_if(.., is_of_kind));
            if requests.len() == 1 {
                return None;
            }
        }
        self.catalogs[catalog] = Catalog::Busy(Batch {
            requests,
            known: BTreeMap::new(),
            read: Snapshot::default(),
        });
        self.begin(catalog)
    }

    /// A transaction begins: it reads what it needs, as the primary has it.
    pub(crate) fn begin(&mut self, catalog: usize) -> Option<()> {
        let Catalog::Busy(batch) = &mut self.catalogs[catalog] else {
            return None;
        };
        let newest = self.stock.newest();
        let releases = batch.requests.iter().flat_map(Request::releases);
        let held = releases.filter(|id| newest.holds(id)).copied().collect();
        let product = Some(newest.product);
        batch.read = Snapshot { product, held };
        Some(())
    }

    /// A transaction ends, one way or another, and its calls are answered if it is known that it is committed.
    pub(crate) fn commit(
        &mut self,
        model: &Model,
        catalog: usize,
        ack: Ack,
        read: Read,
    ) -> Option<()> {
        let Catalog::Busy(batch) = &self.catalogs[catalog] else {
            return None;
        };
        let batch = batch.clone();
        let snapshot = batch.read.clone();
        match batch.requests.first()?.call {
            Call::Reserve(_) => self.commit_reserve(model, catalog, batch, &snapshot, ack, read),
            Call::Release(_) if read == Read::Stale => None,
            Call::Release(_) => self.commit_release(model, catalog, batch, snapshot, ack),
        }
    }

    /// Reserve: the stock, the reservations and the journal entry that names them change together or not at all.
    fn commit_reserve(
        &mut self,
        model: &Model,
        catalog: usize,
        mut batch: Batch,
        snapshot: &Snapshot,
        ack: Ack,
        read: Read,
    ) -> Option<()> {
        let rules = &model.rules;
        let newest = self.stock.newest();
        let mut fresh = batch.fresh(model);

        // Each wish is decided from what the ones before it have left.
        let product = snapshot.product?;
        let mut left = product.stock;
        let mut decided = Vec::new();
        for wish in &fresh {
            let quantity = wish.quantity as i8;
            let state = match product.is_offered && quantity <= left {
                true => Hold::Held,
                false => Hold::Refused,
            };
            if state == Hold::Held {
                left -= quantity;
            }
            let price = product.price;
            decided.push((
                wish.order_id,
                Reservation {
                    state,
                    quantity: wish.quantity,
                    price,
                },
            ));
        }
        if !rules.has(Rule::KnownFirst) {
            // Who cannot be served is turned away, known or not.
            let refused = decided.extract_if(.., |(_, record)| record.state == Hold::Refused);
            batch.known.extend(refused);
            fresh.retain(|wish| !batch.known.contains_key(&wish.order_id));
        }

        // A duplicate key: look all of them up at once, and go on without the known ones.
        if fresh
            .iter()
            .any(|wish| newest.reservations.contains_key(&wish.order_id))
        {
            let looked_at = match rules.has(Rule::MajorityKnown) {
                true => self.stock.majority(read)?,
                false => newest,
            };
            let record =
                |wish: &Wish| Some((wish.order_id, *looked_at.reservations.get(&wish.order_id)?));
            let found: Vec<_> = fresh.iter().filter_map(record).collect();
            if found.is_empty() || ack == Ack::Lost {
                return None;
            }
            batch.known.extend(found);
            // With what is left over it begins anew; if nothing is, all that it answers is known to a majority.
            if batch.fresh(model).is_empty() {
                return self.answer(model, catalog, &batch, Vec::new());
            }
            self.catalogs[catalog] = Catalog::Busy(batch);
            return self.begin(catalog);
        }
        if read == Read::Stale {
            return None;
        }

        // Another transaction has changed the product meanwhile: a conflict.
        let is_held = |(_, record): &&(OrderId, Reservation)| record.state == Hold::Held;
        let held: Vec<_> = decided.iter().filter(is_held).collect();
        if !held.is_empty() && newest.product != product && rules.has(Rule::GuardedStock) {
            return self.begin(catalog);
        }

        let mut next = newest.clone();
        next.product.stock -= held
            .iter()
            .map(|(_, record)| record.quantity as i8)
            .sum::<i8>();
        if rules.has(Rule::Journaled) && !held.is_empty() {
            let mut entry: Vec<_> = held.iter().map(|(id, _)| *id).collect();
            entry.sort_unstable();
            next.journal.insert(entry);
        }
        let is_recorded = |(_, record): &&(OrderId, Reservation)| {
            record.state == Hold::Held || rules.has(Rule::RefusalsRecorded)
        };
        next.reservations
            .extend(decided.iter().filter(is_recorded).copied());
        if ack == Ack::Lost && next == *newest {
            return None;
        }
        self.stock.write(next, ack);
        match ack {
            // Committed perhaps: the whole batch again, and the ids decide.
            Ack::Lost if rules.has(Rule::UnknownCommit) => self.begin(catalog),
            _ => self.answer(model, catalog, &batch, decided),
        }
    }

    /// Answers a batch of wishes, by index, and is idle.
    fn answer(
        &mut self,
        model: &Model,
        catalog: usize,
        batch: &Batch,
        decided: Vec<(OrderId, Reservation)>,
    ) -> Option<()> {
        let mut records = batch.known.clone();
        records.extend(decided);
        let outcome = |wish: &Wish| {
            let record = records[&wish.order_id];
            match record.quantity == wish.quantity || !model.rules.has(Rule::FingerprintsCompared) {
                true => Outcome::Recorded(record),
                false => Outcome::LinesDiffer,
            }
        };
        self.catalogs[catalog] = Catalog::Idle;
        for request in &batch.requests {
            if let (Some(caller), Call::Reserve(wishes)) = (request.from, &request.call) {
                self.reserved(caller, wishes.iter().map(outcome).collect());
            }
        }
        Some(())
    }

    /// Release: HELD → RELEASED and the stock back, of each order once.
    fn commit_release(
        &mut self,
        model: &Model,
        catalog: usize,
        batch: Batch,
        snapshot: Snapshot,
        ack: Ack,
    ) -> Option<()> {
        let rules = &model.rules;
        let newest = self.stock.newest();
        let mut held = snapshot.held;
        if rules.has(Rule::OnceInRelease) {
            held.sort_unstable();
            held.dedup();
        }
        if !held.is_empty()
            && (Some(newest.product) != snapshot.product || !held.iter().all(|id| newest.holds(id)))
        {
            return self.begin(catalog);
        }

        let was_held = |id: &OrderId| {
            let record = newest.reservations.get(id);
            record.is_some_and(|record| record.state != Hold::Refused)
        };
        let requests = batch.requests.iter();
        let are_known: Vec<_> = requests
            .map(|request| request.releases().all(was_held))
            .collect();

        let mut next = newest.clone();
        for id in &held {
            let record = next.reservations.entry(*id);
            let record = record.and_modify(|record| record.state = Hold::Released);
            if next.product.is_offered || rules.has(Rule::WithdrawnToo) {
                next.product.stock += record.or_insert(newest.reservations[id]).quantity as i8;
            }
            if !rules.has(Rule::KeptForever) {
                next.reservations.remove(id);
            }
        }
        if ack == Ack::Lost && next == *newest {
            return None;
        }
        // Also one that only reads is committed: so a majority has what it has read.
        if next != *newest || rules.has(Rule::MajorityReleased) {
            self.stock.write(next, ack);
        }
        if ack == Ack::Lost && rules.has(Rule::UnknownCommit) {
            return self.begin(catalog);
        }
        self.catalogs[catalog] = Catalog::Idle;
        for (request, is_known) in batch.requests.iter().zip(are_known) {
            match request.from {
                Some(caller) if is_known => self.released(caller),
                // No stock is, or was, held for it: nobody can go on from here.
                Some(caller) => drop(self.no_release(caller.replica, false)),
                None => {}
            }
        }
        Some(())
    }

    /// AdjustStock: the ledger's row and the stock in one transaction.
    pub(crate) fn restock(&mut self, model: &Model, request: u8, ack: Ack) -> Option<()> {
        let attempt = *self.clients.restocks.get(usize::from(request))?;
        if attempt == model.size.attempts {
            return None;
        }
        let named = model.rules.has(Rule::AdjustmentsNamed);
        let mut next = self.stock.newest().clone();
        if next
            .ledger
            .insert((request, if named { 0 } else { attempt }))
        {
            next.product.stock += 1;
        } else if ack == Ack::Lost {
            return None;
        }
        self.clients.restocks[usize::from(request)] = match ack {
            Ack::Majority => model.size.attempts,
            Ack::Lost => attempt + 1,
        };
        self.stock.write(next, ack);
        Some(())
    }

    /// AdjustStock with the rule off: the stock first, the row some time later.
    pub(crate) fn restock_apart(&mut self, model: &Model, request: u8) -> Option<()> {
        let attempt = self.clients.restocks.get_mut(usize::from(request))?;
        if *attempt == model.size.attempts {
            return None;
        }
        *attempt = model.size.attempts;
        let mut next = self.stock.newest().clone();
        next.product.stock += 1;
        self.stock.write(next, Ack::Majority);
        Some(())
    }

    /// DeleteProduct.
    pub(crate) fn withdraw(&mut self) -> Option<()> {
        self.clients.withdrawals = self.clients.withdrawals.checked_sub(1)?;
        let mut next = self.stock.newest().clone();
        next.product.is_offered = false;
        self.stock.write(next, Ack::Majority);
        Some(())
    }

    /// UpdateProduct: another price. It writes what it is to change, and nothing else.
    pub(crate) fn change_price(&mut self, model: &Model) -> Option<()> {
        self.clients.prices = self.clients.prices.checked_sub(1)?;
        let mut next = self.stock.newest().clone();
        next.product.price += 1;
        if !model.rules.has(Rule::StockApart) {
            next.product.stock = self.clients.form?.stock;
        }
        self.stock.write(next, Ack::Majority);
        Some(())
    }

    /// With the rule off: reads the product that it is going to write as a whole.
    pub(crate) fn open_form(&mut self) -> Option<()> {
        if self.clients.form.is_some() {
            return None;
        }
        self.clients.form = Some(self.stock.committed.product);
        Some(())
    }

    /// With the rule off: a reservation that has stood for a while without an order is given back, by some clock.
    pub(crate) fn expire(&mut self, id: OrderId) -> Option<()> {
        let mut next = self.stock.newest().clone();
        let entry = next
            .journal
            .iter()
            .find(|entry| entry.contains(&id))?
            .clone();
        let record = next.reservations.get_mut(&id)?;
        if record.state != Hold::Held {
            return None;
        }
        record.state = Hold::Released;
        next.product.stock += record.quantity as i8;
        next.journal.remove(&entry);
        self.stock.write(next, Ack::Majority);
        Some(())
    }
}
