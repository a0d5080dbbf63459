//! What was measured, for people and for machines.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer};

use super::{Calls, Scenario, load::Measured, profile::Profile};
use crate::audit;

#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    #[serde(serialize_with = "violations")]
    pub(super) audit: Option<audit::Report>,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    calls: &'static str,
    clients: usize,
    lines: usize,
    products: usize,
    per_second: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    errors: BTreeMap<String, u64>,
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
    pub(super) fn new(
        scenario: Scenario,
        measured: &Measured,
        raw: Option<&Measured>,
        profile: Option<Profile>,
    ) -> Self {
        let per_second = measured.per_second();
        let raw = raw.map(|raw| Raw {
            per_second: raw.per_second(),
            p50_ms: raw.quantile_ms(0.5),
            p99_ms: raw.quantile_ms(0.99),
            ratio: per_second / raw.per_second(),
            errors: raw.errors.clone(),
        });
        Self {
            calls: match scenario.calls {
                Calls::Orders => "orders",
                Calls::Reads => "reads",
            },
            clients: scenario.clients,
            lines: scenario.lines,
            products: scenario.products,
            per_second,
            p50_ms: measured.quantile_ms(0.5),
            p90_ms: measured.quantile_ms(0.9),
            p99_ms: measured.quantile_ms(0.99),
            p999_ms: measured.quantile_ms(0.999),
            errors: measured.errors.clone(),
            mongodb_alone: raw,
            profile,
        }
    }
}

/// For machines: how many there are, or null where nobody looked.
fn violations<S: Serializer>(
    audit: &Option<audit::Report>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    audit
        .as_ref()
        .map(|report| report.violation_count)
        .serialize(serializer)
}

impl Report {
    /// Nothing is known to be wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.audit.as_ref().is_none_or(audit::Report::is_clean)
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is JSON")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<7} {:>7} {:>5} {:>8} {:>9}",
            "calls", "clients", "lines", "products", "a second"
        )?;
        write!(
            f,
            " {:>7} {:>7} {:>7} {:>8}",
            "p50 ms", "p90", "p99", "p99.9"
        )?;
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
                "{:<7} {:>7} {:>5} {:>8} {:>9.0} {:>7.1} {:>7.1} {:>7.1} {:>8.1}",
                row.calls,
                row.clients,
                row.lines,
                row.products,
                row.per_second,
                row.p50_ms,
                row.p90_ms,
                row.p99_ms,
                row.p999_ms
            )?;
            if let Some(raw) = &row.mongodb_alone {
                write!(
                    f,
                    " {:>13.0} {:>7.1} {:>7.1} {:>6.2}",
                    raw.per_second, raw.p50_ms, raw.p99_ms, raw.ratio
                )?;
            }
            let raw_errors = row.mongodb_alone.iter().flat_map(|raw| &raw.errors);
            for (name, count) in row.errors.iter().chain(raw_errors) {
                write!(f, "  {count} × {name}")?;
            }
            writeln!(f)?;
        }
        for row in &self.rows {
            if let Some(profile) = &row.profile {
                writeln!(
                    f,
                    "\n{} clients, {} lines, {} products",
                    row.clients, row.lines, row.products
                )?;
                write!(f, "{profile}")?;
            }
        }
        match &self.audit {
            Some(audit) => write!(f, "\n{audit}"),
            None => writeln!(
                f,
                "\nnot audited: MONGO_URL does not say where the records are"
            ),
        }
    }
}
