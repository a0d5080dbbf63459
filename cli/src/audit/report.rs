use std::{fmt, time::Duration};

use mongodb::bson::DateTime;

use super::Violation;

/// How many violations are kept; the others are counted.
const KEPT: usize = 1_000;

/// What an audit has found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How many orders were looked at.
    pub orders: u64,
    /// How many reservations were looked at.
    pub reservations: u64,
    /// How many products were looked at, withdrawn ones too.
    pub products: u64,
    /// The first thousand violations.
    pub violations: Vec<Violation>,
    /// How many there are.
    pub violation_count: u64,
    /// Entries of the journal, when it was read. Some are always there on a busy system.
    pub unsettled: Standing,
    /// Orders that were being cancelled when they were read.
    pub cancelling: Standing,
    /// Unfinished orders and entries beyond those that were looked at again.
    pub not_followed: u64,
    /// How long it took, the wait for what was unfinished included.
    pub took: Duration,
}

/// Things that stand somewhere for a while.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many.
    pub count: u64,
    /// Since when the oldest one does.
    pub since: Option<DateTime>,
}

impl Report {
    /// True if everything was looked at and nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violation_count == 0 && self.not_followed == 0
    }

    pub(super) fn found(&mut self, violation: Violation) {
        self.violation_count += 1;
        if self.violations.len() < KEPT {
            self.violations.push(violation);
        }
    }

    pub(super) fn found_all(&mut self, violations: impl IntoIterator<Item = Violation>) {
        violations
            .into_iter()
            .for_each(|violation| self.found(violation));
    }

    /// What could be read, if anything; what could not is a violation.
    pub(super) fn readable<T>(&mut self, read: Result<T, Violation>) -> Option<T> {
        read.map_err(|violation| self.found(violation)).ok()
    }
}

impl Standing {
    pub(super) fn add(&mut self, since: DateTime) {
        self.merge(Self {
            count: 1,
            since: Some(since),
        });
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.since = self.since.into_iter().chain(other.since).min();
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)?;
        let since = self
            .since
            .and_then(|since| since.try_to_rfc3339_string().ok());
        match since {
            Some(since) => write!(f, ", the oldest since {since}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Audited in {:.1} s\n", self.took.as_secs_f64())?;
        writeln!(f, "  orders        {}", self.orders)?;
        writeln!(f, "  reservations  {}", self.reservations)?;
        writeln!(f, "  products      {}", self.products)?;
        writeln!(f, "  unsettled     {}", self.unsettled)?;
        writeln!(f, "  cancelling    {}", self.cancelling)?;
        writeln!(f, "  violations    {}", self.violation_count)?;
        if !self.violations.is_empty() {
            writeln!(f)?;
        }
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        let kept = self.violations.len() as u64;
        if self.violation_count > kept {
            writeln!(f, "and {} more", self.violation_count - kept)?;
        }
        if self.not_followed > 0 {
            writeln!(
                f,
                "\n{} more things were unfinished than could be waited for: audit again",
                self.not_followed
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use orderflow_contract::Id;

    use super::*;

    #[test]
    fn violations_are_bounded_and_all_counted() {
        let mut report = Report::default();
        assert!(report.is_clean());
        for _ in 0..KEPT + 2 {
            report.found(Violation::Lost {
                order: Id::random(),
            });
        }
        assert!(!report.is_clean());
        let text = report.to_string();
        assert_eq!(
            text.lines().filter(|line| line.starts_with("I3 ")).count(),
            KEPT
        );
        assert!(text.ends_with("and 2 more\n"), "{text}");
    }
}
