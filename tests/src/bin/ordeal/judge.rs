//! Whether what clients were told can be true.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use orderflow_cli::audit;
use orderflow_contract::Id;
use orderflow_proto::order::v1::OrderStatus::{
    self, Cancelled, Cancelling, Delivered, Pending, Shipped,
};
use tonic::Code;

use crate::{
    history::{Attempt, Call, Outcome, Seen},
    shop::initial,
};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The order or product that it is about, if it is about one.
    pub(crate) subject: Option<Id>,
    pub(crate) what: String,
}

/// What is known of an order from all that was told about it.
struct Told<'a> {
    id: Id,
    attempts: &'a [&'a Attempt],
    /// From then on nothing failed any more.
    whole_from: Duration,
}

/// The attempts by what they were about, in the order in which they began.
pub(crate) fn by_subject(attempts: &[Attempt]) -> HashMap<Id, Vec<&Attempt>> {
    let mut all: HashMap<Id, Vec<&Attempt>> = HashMap::new();
    for attempt in attempts {
        all.entry(attempt.subject).or_default().push(attempt);
    }
    for attempts in all.values_mut() {
        attempts.sort_by_key(|attempt| attempt.began);
    }
    all
}

/// What contradicts itself in what clients were told, and what the auditor has to know of it.
pub(crate) fn judge(
    subjects: &HashMap<Id, Vec<&Attempt>>,
    products: &[Id],
    stocks: &[i64],
    whole_from: Duration,
) -> (audit::History, Vec<Violation>) {
    let mut history = audit::History::default();
    let mut violations = Vec::new();
    let are_products: HashSet<_> = products.iter().collect();
    let mut books: Vec<_> = (0..products.len()).map(initial).collect();
    for (id, attempts) in subjects {
        if are_products.contains(id) {
            continue;
        }
        let told = Told {
            id: *id,
            attempts,
            whole_from,
        };
        violations.extend(told.violations());
        if told.is_made() {
            history.acknowledged.push(*id);
        } else if told.is_refused() {
            history.refused.push(*id);
        }
        for (product, quantity) in told.holds() {
            if let Some(stock) = books.get_mut(product) {
                *stock -= i64::from(quantity);
            }
        }
    }
    for (n, id) in products.iter().enumerate() {
        let adjusted = adjusted(subjects.get(id).map_or(&[], Vec::as_slice));
        let balance = adjusted.map(|delta| books[n] + delta);
        let what = match balance {
            Ok(balance) if balance == stocks[n] => continue,
            Ok(balance) => format!(
                "I2 product p{n}: by what was told there must be {balance}, and there are {}",
                stocks[n]
            ),
            Err(key) => format!("I5 product p{n}: nobody could say what became of {key}"),
        };
        let subject = Some(*id);
        violations.push(Violation { subject, what });
    }
    (history, violations)
}

/// What acknowledged adjustments come to, each counted once; or the key of one of which nothing is known.
fn adjusted(attempts: &[&Attempt]) -> Result<i64, String> {
    let mut known: BTreeMap<&str, (i64, bool)> = BTreeMap::new();
    for attempt in attempts {
        if let Call::Adjust { key, delta } = &attempt.call {
            let is_made = attempt.outcome == Outcome::Adjusted;
            known.entry(key).or_insert((*delta, false)).1 |= is_made;
        }
    }
    let open = known.iter().find(|(_, (_, is_made))| !is_made);
    match open {
        Some((key, _)) => Err((*key).to_owned()),
        None => Ok(known.values().map(|(delta, _)| delta).sum()),
    }
}

impl Told<'_> {
    fn seen(&self) -> impl Iterator<Item = (&Attempt, &Seen)> {
        self.attempts
            .iter()
            .filter_map(|attempt| match &attempt.outcome {
                Outcome::Order(seen) => Some((*attempt, seen)),
                _ => None,
            })
    }

    /// What was asked for first: another attempt under the same key may have asked for something else.
    fn lines(&self) -> Option<&[(usize, i32)]> {
        self.attempts
            .iter()
            .find_map(|attempt| match &attempt.call {
                Call::Place { lines, .. } => Some(lines.as_slice()),
                _ => None,
            })
    }

    /// The codes by which attempts at it ended, other ones under its key left out.
    fn placing(&self) -> impl Iterator<Item = &Outcome> {
        let attempts = self.attempts.iter().filter(|attempt| match &attempt.call {
            Call::Place { lines, .. } => Some(lines.as_slice()) == self.lines(),
            _ => false,
        });
        attempts.map(|attempt| &attempt.outcome)
    }

    fn is_made(&self) -> bool {
        self.seen().next().is_some()
    }

    /// For good, or since it was turned away each time.
    fn is_refused(&self) -> bool {
        let is_definite = |outcome: &Outcome| matches!(outcome, Outcome::Definite(..));
        self.is_refused_for_good() || self.placing().all(is_definite)
    }

    fn is_refused_for_good(&self) -> bool {
        self.placing()
            .any(|outcome| matches!(outcome, Outcome::Definite(Code::FailedPrecondition, _)))
    }

    /// What it has of each product, in the end.
    fn holds(&self) -> Vec<(usize, i32)> {
        let last = self.seen().max_by_key(|(attempt, _)| attempt.ended);
        match last {
            Some((_, seen)) if !matches!(seen.status, Cancelling | Cancelled) => seen.lines.clone(),
            _ => Vec::new(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        let mut found = BTreeSet::new();
        self.check_identity(&mut found);
        self.check_codes(&mut found);
        self.check_statuses(&mut found);
        let violation = |what: String| Violation {
            subject: Some(self.id),
            what: what.replace("{}", &format!("order {}", self.id)),
        };
        found.into_iter().map(violation).collect()
    }

    fn check_identity(&self, found: &mut BTreeSet<String>) {
        let Some(lines) = self.lines() else {
            found.insert("I4 {}: nobody has asked for it".to_owned());
            return;
        };
        for (attempt, seen) in self.seen() {
            if seen.id != self.id {
                found.insert(format!("I4 {{}}: its key gave order {}", seen.id));
            }
            let asked = match &attempt.call {
                Call::Place { lines, .. } => lines,
                _ => lines,
            };
            let mut asked = asked.to_vec();
            asked.sort_unstable();
            if seen.lines != asked {
                found.insert("I3 {}: it was acknowledged with other lines".to_owned());
            }
        }
        if self.is_made() && self.is_refused_for_good() {
            found.insert("I7 {}: it was refused for good, and exists".to_owned());
        }
        // Who went away did not want to know.
        let is_asked = self.attempts.iter().any(|a| a.began >= self.whole_from);
        if is_asked && !self.is_made() && !self.is_refused() {
            found.insert("I5 {}: nobody could say what became of it".to_owned());
        }
        let is_listed = self.attempts.iter().any(|a| a.call == Call::List);
        if self.is_made() && !is_listed {
            found.insert("I3 {}: it was acknowledged, and is in no list".to_owned());
        }
    }

    /// That no attempt ended in a way that says something untrue, or that should never be said.
    fn check_codes(&self, found: &mut BTreeSet<String>) {
        let made = self.seen().map(|(attempt, _)| attempt.ended).min();
        for attempt in self.attempts {
            let (code, reason) = match &attempt.outcome {
                Outcome::Definite(code, reason) | Outcome::Unknown(code, reason) => (*code, reason),
                Outcome::Order(_) | Outcome::Adjusted => continue,
            };
            let was_there = made.is_some_and(|made| made <= attempt.began);
            let is_other = match &attempt.call {
                Call::Place { lines, .. } => Some(lines.as_slice()) != self.lines(),
                _ => false,
            };
            let is_true = match code {
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => true,
                // It is what comes of a connection that is cut.
                Code::Unknown | Code::Cancelled => true,
                // Refused for good is compared with the rest elsewhere; a move that cannot be made any more is a matter of
                // statuses.
                Code::FailedPrecondition => true,
                Code::AlreadyExists => is_other,
                Code::NotFound => !was_there,
                _ => false,
            };
            if !is_true {
                found.insert(format!(
                    "{{}}: {} ended with {code:?} {reason}",
                    attempt.call
                ));
            }
        }
    }

    /// That it has gone forward only, and one way.
    fn check_statuses(&self, found: &mut BTreeSet<String>) {
        let seen: Vec<_> = self.seen().collect();
        for (one, before) in &seen {
            for (other, after) in &seen {
                let in_sequence = one.ended < other.began;
                let (before, after) = (before.status, after.status);
                let is_possible = follows(before, after) || !in_sequence && follows(after, before);
                if !is_possible {
                    found.insert(format!(
                        "I6 {{}}: it was {}, then {}",
                        before.as_str_name(),
                        after.as_str_name()
                    ));
                }
            }
        }
    }
}

/// Whether an order in one status may be seen in the other one later.
fn follows(before: OrderStatus, after: OrderStatus) -> bool {
    before == after
        || matches!(
            (before, after),
            (Pending, _) | (Shipped, Delivered) | (Cancelling, Cancelled)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE_FROM: Duration = Duration::from_secs(80);

    fn attempt(times: (u64, u64), call: Call, outcome: Outcome) -> Attempt {
        Attempt {
            client: 0,
            gateway: 1,
            subject: id(),
            call,
            began: Duration::from_secs(times.0),
            ended: Duration::from_secs(times.1),
            outcome,
        }
    }

    fn id() -> Id {
        Id::derived(&[b"order"])
    }

    fn place(product: usize) -> Call {
        Call::Place {
            key: "k".to_owned(),
            lines: vec![(product, 1)],
        }
    }

    fn seen(status: OrderStatus) -> Outcome {
        Outcome::Order(Seen {
            id: id(),
            status,
            lines: vec![(1, 1)],
        })
    }

    fn definite(code: Code) -> Outcome {
        Outcome::Definite(code, String::new())
    }

    fn lost() -> Outcome {
        Outcome::Unknown(Code::Unavailable, String::new())
    }

    /// What is wrong with such a history of the one order; its product has what is left of the first stock.
    fn wrong(attempts: &[Attempt], left: i64) -> Vec<String> {
        let products = [0, 1].map(|n: u8| Id::derived(&[&[n]]));
        let stocks = [initial(0), left];
        let (_, violations) = judge(&by_subject(attempts), &products, &stocks, WHOLE_FROM);
        let mut wrong: Vec<_> = violations.into_iter().map(|v| v.what).collect();
        wrong.sort();
        wrong
    }

    #[test]
    fn a_history_that_can_be_true() {
        let history = [
            attempt((0, 1), place(1), lost()),
            attempt((1, 2), Call::Get, definite(Code::NotFound)),
            attempt((1, 4), place(1), seen(Pending)),
            // Two that overlap may come in either sequence.
            attempt((2, 6), Call::Cancel, seen(Cancelled)),
            attempt((3, 7), Call::Get, seen(Cancelling)),
            attempt((8, 9), place(2), definite(Code::AlreadyExists)),
            attempt((10, 11), Call::List, seen(Cancelled)),
        ];
        assert_eq!(wrong(&history, initial(1)), [""; 0]);
        let refused = [
            attempt((0, 1), place(1), definite(Code::ResourceExhausted)),
            attempt((1, 2), place(1), lost()),
            attempt((2, 3), place(1), definite(Code::FailedPrecondition)),
        ];
        assert_eq!(wrong(&refused, initial(1)), [""; 0]);
        let left = [attempt((0, 1), place(1), lost())];
        assert_eq!(wrong(&left, initial(1)), [""; 0]);
    }

    #[test]
    fn each_lie_is_found() {
        let list = || attempt((90, 91), Call::List, seen(Pending));
        let placed = || attempt((0, 1), place(1), seen(Pending));
        let later = |call, outcome| attempt((2, 3), call, outcome);
        let lies = [
            (vec![placed()], "is in no list"),
            (vec![list()], "nobody has asked for it"),
            (
                vec![attempt((85, 86), place(1), lost())],
                "nobody could say",
            ),
            (
                vec![
                    placed(),
                    later(place(1), definite(Code::FailedPrecondition)),
                    list(),
                ],
                "refused for good, and exists",
            ),
            (
                vec![
                    placed(),
                    later(place(1), definite(Code::AlreadyExists)),
                    list(),
                ],
                "ended with AlreadyExists",
            ),
            (
                vec![placed(), later(place(2), seen(Pending)), list()],
                "with other lines",
            ),
            (
                vec![placed(), later(Call::Get, definite(Code::NotFound)), list()],
                "ended with NotFound",
            ),
            (
                vec![
                    placed(),
                    later(Call::Get, Outcome::Unknown(Code::Internal, String::new())),
                    list(),
                ],
                "ended with Internal",
            ),
            (
                vec![placed(), later(Call::Move(Shipped), seen(Shipped)), list()],
                "it was ORDER_STATUS_SHIPPED, then ORDER_STATUS_PENDING",
            ),
        ];
        for (history, lie) in lies {
            let left = if history
                .iter()
                .any(|a| matches!(a.outcome, Outcome::Order(_)))
            {
                initial(1) - 1
            } else {
                initial(1)
            };
            let wrong = wrong(&history, left);
            assert_eq!(wrong.len(), 1, "{lie}: {wrong:?}");
            assert!(wrong[0].contains(lie), "{lie}: {wrong:?}");
        }
    }

    #[test]
    fn both_ways_at_once_is_one_too_many() {
        let history = [
            attempt((0, 1), place(1), seen(Pending)),
            attempt((2, 5), Call::Cancel, seen(Cancelled)),
            attempt((2, 5), Call::Move(Shipped), seen(Shipped)),
            attempt((6, 7), Call::List, seen(Shipped)),
        ];
        assert!(!wrong(&history, initial(1) - 1).is_empty());
    }

    #[test]
    fn clients_keep_books() {
        let adjust = |times, key: &str, outcome| Attempt {
            subject: Id::derived(&[&[1]]),
            ..attempt(
                times,
                Call::Adjust {
                    key: key.to_owned(),
                    delta: 5,
                },
                outcome,
            )
        };
        let history = [
            attempt((0, 1), place(1), seen(Pending)),
            adjust((0, 1), "a", lost()),
            adjust((1, 2), "a", Outcome::Adjusted),
            adjust((1, 2), "a", Outcome::Adjusted),
            adjust((1, 2), "b", Outcome::Adjusted),
            attempt((90, 91), Call::List, seen(Pending)),
        ];
        assert_eq!(wrong(&history, initial(1) - 1 + 10), [""; 0]);
        let twice = wrong(&history, initial(1) - 1 + 15);
        assert!(twice[0].contains("I2 product p1"), "{twice:?}");
        let open = wrong(&history[1..2], initial(1));
        assert!(
            open[0].contains("nobody could say what became of a"),
            "{open:?}"
        );
    }
}
