//! I4, I6, and what can be said about I3, I5 and I7 without knowing who was told what: each order beside its reservation.

use std::collections::HashSet;

use mongodb::{
    Database,
    bson::{Document, doc},
};
use orderflow_contract::Id;

use super::{
    Audit, Error, Report, Standing, Violation,
    records::{Entry, Key, ORDERS, Order, RESERVATIONS, Reservation, State, Status, is_entry},
    snapshot::Snapshot,
    unfinished::{IDS, Unfinished, among},
};

/// How an order is unfinished, which it may be for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Reserved, and not written yet.
    Unwritten,
    /// On its way to CANCELLED.
    Cancelling,
}

/// What one snapshot has shown of the orders.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) unfinished: Vec<(Id, Stage)>,
    orders: u64,
    reservations: u64,
    cancelling: Standing,
    /// The last id that was looked at, if there may be more.
    last: Option<String>,
}

impl Audit {
    /// Walks through all orders and reservations, a fresh snapshot for so many, since none can be kept for long.
    pub(super) async fn walk_orders(
        &self,
        report: &mut Report,
        unfinished: &mut Unfinished,
    ) -> Result<(), Error> {
        self.phase("orders", &self.catalog, RESERVATIONS).await?;
        let no_entry = doc! { "$nor": [is_entry()] };
        self.name_strays(&self.catalog, RESERVATIONS, no_entry, report)
            .await?;
        self.name_strays(&self.order, ORDERS, doc! {}, report)
            .await?;
        let mut rest = doc! { "_id": { "$gte": "" } };
        loop {
            let seen = self.look_at_orders(rest, self.at_once, report).await?;
            self.progress.inc(seen.reservations);
            report.orders += seen.orders;
            report.reservations += seen.reservations;
            report.cancelling.merge(seen.cancelling);
            for (order, stage) in seen.unfinished {
                unfinished.add_order(order, stage, report);
            }
            let Some(last) = seen.last else { return Ok(()) };
            rest = doc! { "_id": { "$gt": last } };
        }
    }

    /// Names the documents that match whose ids are no texts, which no comparison with a text finds: those before and behind all
    /// texts.
    async fn name_strays(
        &self,
        database: &Database,
        name: &'static str,
        matching: Document,
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut snapshot = Snapshot::now(&self.client).await?;
        for beyond in [doc! { "$lt": ["$_id", ""] }, doc! { "$gte": ["$_id", {}] }] {
            let filter = doc! { "$and": [&matching, { "$expr": beyond }] };
            let mut strays = snapshot
                .find::<Key>(database, name, filter, "_id", doc! { "_id": 1 })
                .await?;
            while let Some(read) = strays.next(&mut snapshot).await? {
                report.readable(read);
            }
        }
        Ok(())
    }

    /// Looks at the orders and reservations that match, side by side, `at_most` so many.
    pub(super) async fn look_at_orders(
        &self,
        filter: Document,
        at_most: usize,
        report: &mut Report,
    ) -> Result<Seen, Error> {
        let mut snapshot = Snapshot::now(&self.client).await?;
        let without = doc! { "asked": 0, "refused": 0 };
        let mut reservations = snapshot
            .find::<Reservation>(&self.catalog, RESERVATIONS, filter.clone(), "_id", without)
            .await?;
        let without = doc! { "moves": 0, "seller_ids": 0 };
        let mut orders = snapshot
            .find::<Order>(&self.order, ORDERS, filter, "_id", without)
            .await?;
        let mut seen = Seen::default();
        let mut unwritten = Vec::new();
        for n in 1.. {
            let heads = [
                reservations.head(&mut snapshot, report).await?,
                orders.head(&mut snapshot, report).await?,
            ];
            let Some(id) = heads.into_iter().flatten().min().map(str::to_owned) else {
                break;
            };
            let (reservation, order) = (reservations.take(&id), orders.take(&id));
            seen.reservations += u64::from(reservation.is_some());
            seen.orders += u64::from(order.is_some());
            match (reservation.transpose(), order.transpose()) {
                (Ok(reservation), Ok(order)) => {
                    if let Some(order) = &order
                        && order.status == Status::Cancelling
                    {
                        seen.cancelling.add(order.update_time);
                    }
                    match judge(reservation.as_ref(), order.as_ref()) {
                        Ok(None) => {}
                        Ok(Some((order, Stage::Unwritten))) => unwritten.push(order),
                        Ok(Some(unfinished)) => seen.unfinished.push(unfinished),
                        Err(violations) => report.found_all(violations),
                    }
                }
                // Beside what cannot be read, nothing can be said about the other one.
                (reservation, order) => {
                    report.found_all(reservation.err().into_iter().chain(order.err()))
                }
            }
            if n == at_most {
                seen.last = Some(id);
                break;
            }
        }
        let named = self.named_in_journal(&mut snapshot, &unwritten).await?;
        for order in unwritten {
            if named.contains(&order) {
                seen.unfinished.push((order, Stage::Unwritten));
            } else {
                report.found(Violation::Forgotten { order });
            }
        }
        Ok(seen)
    }

    /// Which of the orders stand in the journal.
    async fn named_in_journal(
        &self,
        snapshot: &mut Snapshot,
        orders: &[Id],
    ) -> Result<HashSet<Id>, Error> {
        let mut named = HashSet::new();
        for orders in orders.chunks(IDS) {
            let filter = doc! { "$and": [is_entry(), { "orders": among(orders) }] };
            let mut entries = snapshot
                .find::<Entry>(&self.catalog, RESERVATIONS, filter, "_id", doc! {})
                .await?;
            while let Some(entry) = entries.next(snapshot).await? {
                // One that cannot be read was named where the journal was read.
                named.extend(entry.into_iter().flat_map(|entry| entry.orders));
            }
        }
        Ok(named)
    }
}

/// What there is to say about an order and its reservation, as they were at one moment: what is wrong, or else what is
/// unfinished.
fn judge(
    reservation: Option<&Reservation>,
    order: Option<&Order>,
) -> Result<Option<(Id, Stage)>, Vec<Violation>> {
    use State::{Held, Refused, Released};
    use Status::{Cancelled, Cancelling, Delivered, Pending, Shipped};
    let mut wrong = Vec::new();
    let mut unfinished = None;
    match (reservation, order) {
        (None, None) => {}
        (None, Some(order)) => wrong.push(Violation::WithoutReservation { order: order.id }),
        (Some(reservation), None) => match reservation.state {
            Held => unfinished = Some((reservation.order, Stage::Unwritten)),
            Released => wrong.push(Violation::ReleasedWithoutOrder {
                order: reservation.order,
            }),
            Refused => {}
        },
        (Some(reservation), Some(order)) => match (reservation.state, order.status) {
            (Refused, _) => wrong.push(Violation::RefusedAndMade { order: order.id }),
            (Released, status @ (Pending | Shipped | Delivered)) | (Held, status @ Cancelled) => {
                wrong.push(Violation::AtOdds {
                    order: order.id,
                    status,
                    state: reservation.state,
                });
                wrong.extend(unlike(reservation, order));
            }
            (Held, Pending | Shipped | Delivered) | (Released, Cancelled) => {
                wrong.extend(unlike(reservation, order));
            }
            (Held | Released, Cancelling) => {
                wrong.extend(unlike(reservation, order));
                unfinished = Some((order.id, Stage::Cancelling));
            }
        },
    }
    if let Some(order) = order {
        wrong.extend(misnamed(order));
        wrong.extend(wrong_total(order));
    }
    if wrong.is_empty() {
        Ok(unfinished)
    } else {
        Err(wrong)
    }
}

fn unlike(reservation: &Reservation, order: &Order) -> Option<Violation> {
    let total = reservation.total.as_ref();
    let fields = [
        ("user", reservation.user_id == order.user_id),
        ("request id", reservation.request_id == order.request_id),
        ("lines", reservation.lines == order.lines),
        (
            "total",
            total.is_some_and(|total| total.minor_units == order.total),
        ),
        (
            "currency",
            total.is_some_and(|total| total.currency == order.currency),
        ),
    ];
    let differing = fields.into_iter().filter(|(_, is_equal)| !is_equal);
    let fields: Vec<_> = differing.map(|(field, _)| field).collect();
    (!fields.is_empty()).then_some(Violation::Unlike {
        order: order.id,
        fields,
    })
}

/// All orders of one buyer and request id have one id, so there is one at the most.
fn misnamed(order: &Order) -> Option<Violation> {
    let request_id = order.request_id.as_ref()?;
    let user_id = order.user_id.to_string();
    let expected = Id::derived(&[user_id.as_bytes(), request_id.as_bytes()]);
    (order.id != expected).then_some(Violation::MisnamedOrder {
        order: order.id,
        expected,
    })
}

fn wrong_total(order: &Order) -> Option<Violation> {
    let line_totals = order
        .lines
        .iter()
        .map(|line| i128::from(line.quantity) * i128::from(line.unit_price));
    let lines = line_totals.sum();
    (lines != i128::from(order.total)).then_some(Violation::WrongTotal {
        order: order.id,
        lines,
        total: order.total,
    })
}

#[cfg(test)]
mod tests {
    use mongodb::bson::DateTime;

    use super::{
        super::records::{Line, Money},
        *,
    };

    const STATES: [State; 3] = [State::Held, State::Released, State::Refused];
    const STATUSES: [Status; 5] = [
        Status::Pending,
        Status::Shipped,
        Status::Delivered,
        Status::Cancelling,
        Status::Cancelled,
    ];

    fn buyer() -> Id {
        Id::derived(&[b"buyer"])
    }

    fn id() -> Id {
        Id::derived(&[buyer().to_string().as_bytes(), b"key"])
    }

    fn lines() -> Vec<Line> {
        let line = |name: &str, quantity, unit_price| Line {
            product_id: Id::derived(&[name.as_bytes()]),
            product_name: name.to_owned(),
            seller_id: Id::derived(&[b"seller"]),
            quantity,
            unit_price,
        };
        vec![line("tea", 2, 5), line("cup", 1, 7)]
    }

    fn reservation(state: State) -> Reservation {
        Reservation {
            order: id(),
            user_id: buyer(),
            request_id: Some("key".to_owned()),
            state,
            lines: lines(),
            total: Some(Money {
                currency: "TRY".to_owned(),
                minor_units: 17,
            }),
        }
    }

    fn order(status: Status) -> Order {
        Order {
            id: id(),
            user_id: buyer(),
            request_id: Some("key".to_owned()),
            lines: lines(),
            currency: "TRY".to_owned(),
            total: 17,
            status,
            update_time: DateTime::from_millis(0),
        }
    }

    #[test]
    fn every_pair_of_states() {
        use State::{Held, Refused, Released};
        use Status::{Cancelled, Cancelling};
        let order_id = id();
        for state in STATES {
            let expected = match state {
                Held => Ok(Some((order_id, Stage::Unwritten))),
                Released => Err(vec![Violation::ReleasedWithoutOrder { order: order_id }]),
                Refused => Ok(None),
            };
            assert_eq!(
                judge(Some(&reservation(state)), None),
                expected,
                "{state:?}"
            );
        }
        for status in STATUSES {
            let without = Violation::WithoutReservation { order: order_id };
            assert_eq!(
                judge(None, Some(&order(status))),
                Err(vec![without]),
                "{status:?}"
            );
            for state in STATES {
                let at_odds = Violation::AtOdds {
                    order: order_id,
                    status,
                    state,
                };
                let expected = match (state, status) {
                    (Refused, _) => Err(vec![Violation::RefusedAndMade { order: order_id }]),
                    (_, Cancelling) => Ok(Some((order_id, Stage::Cancelling))),
                    (Held, Cancelled) => Err(vec![at_odds]),
                    (Released, Cancelled) | (Held, _) => Ok(None),
                    (Released, _) => Err(vec![at_odds]),
                };
                let judged = judge(Some(&reservation(state)), Some(&order(status)));
                assert_eq!(judged, expected, "{state:?}, {status:?}");
            }
        }
    }

    #[test]
    fn every_difference_is_named() {
        let differing = |change: &dyn Fn(&mut Order)| {
            let mut order = order(Status::Pending);
            change(&mut order);
            match unlike(&reservation(State::Held), &order) {
                Some(Violation::Unlike { fields, .. }) => fields,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            unlike(&reservation(State::Held), &order(Status::Pending)),
            None
        );
        assert_eq!(differing(&|o| o.user_id = Id::random()), ["user"]);
        assert_eq!(differing(&|o| o.request_id = None), ["request id"]);
        assert_eq!(differing(&|o| o.lines.reverse()), ["lines"]);
        assert_eq!(differing(&|o| o.lines[0].unit_price += 1), ["lines"]);
        assert_eq!(differing(&|o| o.lines.truncate(1)), ["lines"]);
        assert_eq!(differing(&|o| o.total += 1), ["total"]);
        assert_eq!(differing(&|o| o.currency = "EUR".to_owned()), ["currency"]);
        let mut without_total = reservation(State::Held);
        without_total.total = None;
        let fields = vec!["total", "currency"];
        let expected = Violation::Unlike {
            order: id(),
            fields,
        };
        assert_eq!(
            unlike(&without_total, &order(Status::Pending)),
            Some(expected)
        );
    }

    #[test]
    fn an_id_follows_from_buyer_and_request_id() {
        let mut order = order(Status::Pending);
        assert_eq!(misnamed(&order), None);
        order.id = Id::random();
        let expected = id();
        let violation = Violation::MisnamedOrder {
            order: order.id,
            expected,
        };
        assert_eq!(misnamed(&order), Some(violation));
        // Without a request id every order is one of its own.
        order.request_id = None;
        assert_eq!(misnamed(&order), None);
    }

    #[test]
    fn lines_add_up() {
        let mut order = order(Status::Pending);
        assert_eq!(wrong_total(&order), None);
        order.lines[0].quantity = i64::MAX;
        order.lines[1].unit_price = i64::MAX;
        let violation = wrong_total(&order).unwrap().to_string();
        assert!(violation.contains("its total is 17"), "{violation}");
    }
}
