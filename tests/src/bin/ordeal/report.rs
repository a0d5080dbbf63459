//! What is said when all is over.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    time::Duration,
};

use orderflow_contract::Id;

use crate::{
    history::{Attempt, Call, Outcome},
    judge::Violation,
};

/// How many violations are told with all that belongs to them; the shortest ones.
const TOLD: usize = 3;
/// A history that is longer is told without the adjustments of stock that were made.
const LONG: usize = 50;
/// Faults this long before the first call may have to do with it.
const BEFORE: Duration = Duration::from_secs(3);

/// A fault that was, and when.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) what: String,
}

/// What came of it all.
pub(crate) struct Verdict<'a> {
    pub(crate) subjects: HashMap<Id, Vec<&'a Attempt>>,
    pub(crate) faults: Vec<Happened>,
    pub(crate) violations: Vec<Violation>,
    /// What went wrong that nobody had planned.
    pub(crate) mishaps: Vec<String>,
}

impl Verdict<'_> {
    pub(crate) fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.mishaps.is_empty()
    }

    /// The attempts at what a violation is about.
    fn history(&self, violation: &Violation) -> &[&Attempt] {
        let subject = violation.subject.and_then(|id| self.subjects.get(&id));
        subject.map_or(&[], Vec::as_slice)
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_calls(f, self.subjects.values().flatten().copied())?;
        writeln!(f, "\n{} faults", self.faults.len())?;
        for mishap in &self.mishaps {
            writeln!(f, "not planned: {mishap}")?;
        }
        if self.violations.is_empty() {
            return writeln!(f, "no violation");
        }
        let orders: HashSet<_> = self.violations.iter().filter_map(|v| v.subject).collect();
        writeln!(
            f,
            "{} violations, of {} orders and products",
            self.violations.len(),
            orders.len()
        )?;
        let mut violations: Vec<_> = self.violations.iter().collect();
        // What is wrong with a product follows from what is wrong with orders, as a rule.
        violations.sort_by_key(|violation| {
            let history = self.history(violation);
            let is_order = |attempt: &&Attempt| matches!(attempt.call, Call::Place { .. });
            (!history.iter().any(is_order), history.len())
        });
        for violation in violations.iter().take(TOLD) {
            self.write_violation(f, violation)?;
        }
        for violation in violations.iter().skip(TOLD).take(20) {
            writeln!(f, "{}", violation.what)?;
        }
        match violations.len().saturating_sub(TOLD + 20) {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

impl Verdict<'_> {
    fn write_violation(&self, f: &mut fmt::Formatter<'_>, violation: &Violation) -> fmt::Result {
        writeln!(f, "\n{}", violation.what)?;
        let history = self.history(violation);
        let (Some(first), Some(last)) = (
            history.first(),
            history.iter().rfind(|a| a.call != Call::List),
        ) else {
            return writeln!(f);
        };
        let (from, to) = (first.began.saturating_sub(BEFORE), last.ended);
        let faults = self
            .faults
            .iter()
            .filter(|fault| fault.began <= to && fault.ended >= from);
        let faults = faults.map(|fault| {
            let (began, ended) = (fault.began.as_secs_f64(), fault.ended.as_secs_f64());
            (
                fault.began,
                format!("{began:8.3}–{ended:.3} s  {}", fault.what),
            )
        });
        // Of a product there are very many, most of which came to what they should.
        let is_short = history.len() <= LONG;
        let attempts = history
            .iter()
            .filter(|attempt| is_short || attempt.outcome != Outcome::Adjusted)
            .map(|attempt| (attempt.began, attempt.to_string()));
        let mut lines: Vec<_> = faults.chain(attempts).collect();
        lines.sort();
        lines
            .iter()
            .try_for_each(|(_, line)| writeln!(f, "  {line}"))?;
        writeln!(f)
    }
}

/// How many calls of each kind came to what.
fn write_calls<'a>(
    f: &mut fmt::Formatter<'_>,
    attempts: impl Iterator<Item = &'a Attempt>,
) -> fmt::Result {
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for attempt in attempts {
        let call = match attempt.call {
            Call::Place { .. } => "place",
            Call::Cancel => "cancel",
            Call::Move(_) => "move",
            Call::Get => "get",
            Call::Adjust { .. } => "adjust",
            Call::List => continue,
        };
        let outcome = match &attempt.outcome {
            Outcome::Order(_) | Outcome::Adjusted => "OK".to_owned(),
            outcome => outcome.to_string(),
        };
        *counts.entry((call, outcome)).or_default() += 1;
    }
    for ((call, outcome), count) in counts {
        writeln!(f, "  {call:<7} {count:>8}  {outcome}")?;
    }
    Ok(())
}
