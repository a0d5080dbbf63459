//! What was measured, for people and for machines.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer};

use super::{
    profile::Profile,
    scenario::{Measurement, Scenario},
};
use crate::audit;

#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    /// Of each system.
    #[serde(rename = "audit", serialize_with = "violations")]
    pub(super) audits: Vec<Option<audit::Report>>,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    calls: String,
    clients: usize,
    lines: usize,
    products: usize,
    /// How many orders lay there beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<usize>,
    per_second: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    errors: BTreeMap<String, u64>,
    /// The median over that of the first history.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_to_first: Option<f64>,
    /// The first answer, nothing of it kept yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mongodb_alone: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
}

/// The same number of callers without OrderFlow.
#[derive(Debug, Serialize)]
struct Raw {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Ours over this.
    ratio: f64,
    errors: BTreeMap<String, u64>,
}

impl Row {
    pub(super) fn new(scenario: Scenario, measurement: Measurement) -> Self {
        let Measurement {
            ours: measured,
            raw,
            first,
            profile,
        } = measurement;
        let per_second = measured.per_second();
        let raw = raw.map(|raw| Raw {
            per_second: raw.per_second(),
            p50_ms: raw.quantile_ms(0.5),
            p99_ms: raw.quantile_ms(0.99),
            ratio: per_second / raw.per_second(),
            errors: raw.errors,
        });
        Self {
            calls: scenario.task.to_string(),
            clients: scenario.clients,
            lines: scenario.lines,
            products: scenario.products,
            history: None,
            per_second,
            p50_ms: measured.quantile_ms(0.5),
            p90_ms: measured.quantile_ms(0.9),
            p99_ms: measured.quantile_ms(0.99),
            p999_ms: measured.quantile_ms(0.999),
            errors: measured.errors,
            ratio_to_first: None,
            first_ms: first.map(|time| time.as_secs_f64() * 1_000.0),
            mongodb_alone: raw,
            profile,
        }
    }

    /// So many orders lay there beforehand; `first` is the row of the first history, unless this is it.
    pub(super) fn has_history(&mut self, orders: usize, first: Option<&Self>) {
        self.history = Some(orders);
        self.ratio_to_first = first.map(|first| self.p50_ms / first.p50_ms);
    }
}

/// For machines: how many there are, or null where nobody looked.
fn violations<S: Serializer>(
    audits: &[Option<audit::Report>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let count = |audit: &Option<audit::Report>| Some(audit.as_ref()?.violation_count);
    let sum: Option<u64> = audits.iter().map(count).sum();
    sum.serialize(serializer)
}

impl Report {
    /// Nothing is known to be wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.audits.iter().flatten().all(audit::Report::is_clean)
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is JSON")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.calls.len())
            .fold(7, usize::max);
        let has_history = self.rows.iter().any(|row| row.history.is_some());
        write!(
            f,
            "{:<width$} {:>7} {:>5} {:>8}",
            "calls", "clients", "lines", "products"
        )?;
        if has_history {
            write!(f, " {:>9}", "history")?;
        }
        write!(
            f,
            " {:>9} {:>7} {:>7} {:>7} {:>8}",
            "a second", "p50 ms", "p90", "p99", "p99.9"
        )?;
        if has_history {
            write!(f, " {:>8}", "to first")?;
        }
        let compared = self.rows.iter().any(|row| row.mongodb_alone.is_some());
        if compared {
            write!(
                f,
                " {:>13} {:>7} {:>7} {:>6}",
                "MongoDB alone", "p50 ms", "p99", "ratio"
            )?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(
                f,
                "{:<width$} {:>7} {:>5} {:>8}",
                row.calls, row.clients, row.lines, row.products
            )?;
            if let Some(orders) = row.history {
                write!(f, " {orders:>9}")?;
            }
            write!(
                f,
                " {:>9.0} {:>7.1} {:>7.1} {:>7.1} {:>8.1}",
                row.per_second, row.p50_ms, row.p90_ms, row.p99_ms, row.p999_ms
            )?;
            match row.ratio_to_first {
                Some(ratio) => write!(f, " {ratio:>8.2}")?,
                None if has_history => write!(f, " {:>8}", "")?,
                None => {}
            }
            if let Some(raw) = &row.mongodb_alone {
                write!(
                    f,
                    " {:>13.0} {:>7.1} {:>7.1} {:>6.2}",
                    raw.per_second, raw.p50_ms, raw.p99_ms, raw.ratio
                )?;
            }
            if let Some(first_ms) = row.first_ms {
                write!(f, "  (the first, counting all days: {first_ms:.1} ms)")?;
            }
            let raw_errors = row.mongodb_alone.iter().flat_map(|raw| &raw.errors);
            for (name, count) in row.errors.iter().chain(raw_errors) {
                write!(f, "  {count} × {name}")?;
            }
            writeln!(f)?;
        }
        for row in &self.rows {
            if let Some(profile) = &row.profile {
                write!(
                    f,
                    "\n{}: {} clients, {} lines, {} products",
                    row.calls, row.clients, row.lines, row.products
                )?;
                if let Some(orders) = row.history {
                    write!(f, ", {orders} orders beforehand")?;
                }
                writeln!(f)?;
                write!(f, "{profile}")?;
            }
        }
        for audit in &self.audits {
            match audit {
                Some(audit) => write!(f, "\n{audit}")?,
                None => writeln!(
                    f,
                    "\nnot audited: MONGO_URL does not say where the records are"
                )?,
            }
        }
        Ok(())
    }
}
