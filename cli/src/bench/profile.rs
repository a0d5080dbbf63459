//! Where the time of one order goes: CPU of each process, batches, and what MongoDB spent on each collection.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
};

use mongodb::{
    Client,
    bson::{Document, doc},
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// What is watched.
pub(super) struct Meter {
    /// Name and process id.
    pub(super) processes: Vec<(String, u32)>,
    pub(super) mongodb: Option<Client>,
    pub(super) batches: Batches,
}

/// Where everything stands at one moment.
pub(super) struct Sample {
    cpu_us: Vec<(String, f64)>,
    batches: BTreeMap<String, Batched>,
    collections: BTreeMap<String, Used>,
}

/// What happened between two samples.
#[derive(Debug, Serialize)]
pub(super) struct Profile {
    /// CPU time for one call, in microseconds, by process.
    cpu_us_per_call: Vec<(String, f64)>,
    /// By the name of the batcher.
    batches: BTreeMap<String, Batched>,
    /// By collection.
    mongodb: BTreeMap<String, Used>,
    calls: u64,
}

/// Commands on a collection, and the time within them.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Used {
    commands: i64,
    us: i64,
}

/// Batches of one kind.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Batched {
    batches: u64,
    items: u64,
    /// Until the first item of a batch was taken up.
    waited_us: u64,
    /// From then to the turn's end.
    turn_us: u64,
    /// From the beginning to the end.
    took_us: u64,
}

/// What the services log about their batches.
#[derive(Debug, Default, Clone)]
pub(super) struct Batches(Arc<Mutex<BTreeMap<String, Batched>>>);

#[derive(Deserialize)]
struct Line {
    target: String,
    fields: serde_json::Value,
}

#[derive(Deserialize)]
struct BatchFields {
    batch: String,
    items: u64,
    waited_us: u64,
    turn_us: u64,
    took_us: u64,
}

impl Batches {
    /// Reads a log to its end, and passes on what is not about batches.
    pub(super) async fn read(self, log: impl AsyncRead + Unpin, other: impl Fn(&str)) {
        let mut lines = BufReader::new(log).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let about_batch = serde_json::from_str(&line).ok().and_then(|line: Line| {
                if line.target != orderflow_batch::LOG_TARGET {
                    return None;
                }
                serde_json::from_value::<BatchFields>(line.fields).ok()
            });
            match about_batch {
                Some(fields) => self.add(&fields),
                None => other(&line),
            }
        }
    }

    fn add(&self, fields: &BatchFields) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let batched = all.entry(fields.batch.clone()).or_default();
        batched.batches += 1;
        batched.items += fields.items;
        batched.waited_us += fields.waited_us;
        batched.turn_us += fields.turn_us;
        batched.took_us += fields.took_us;
    }

    fn take(&self) -> BTreeMap<String, Batched> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Meter {
    /// A sample from which batches count anew.
    pub(super) async fn begin(&self) -> Sample {
        self.batches.take();
        self.sample(BTreeMap::new()).await
    }

    /// A sample with the batches since the beginning.
    pub(super) async fn end(&self) -> Sample {
        let batches = self.batches.take();
        self.sample(batches).await
    }

    async fn sample(&self, batches: BTreeMap<String, Batched>) -> Sample {
        let cpu = |(name, pid): &(String, u32)| (name.clone(), cpu_us(*pid));
        Sample {
            cpu_us: self.processes.iter().map(cpu).collect(),
            batches,
            collections: match &self.mongodb {
                Some(client) => top(client).await.unwrap_or_default(),
                None => BTreeMap::new(),
            },
        }
    }
}

impl Profile {
    /// What happened between two samples, in which so many calls were answered.
    pub(super) fn between((begin, end): (Sample, Sample), calls: u64) -> Self {
        let cpu = begin.cpu_us.iter().zip(&end.cpu_us);
        let cpu =
            cpu.map(|((name, then), (_, now))| (name.clone(), (now - then) / calls.max(1) as f64));
        let since = |(name, now): (String, Used)| {
            let then = begin.collections.get(&name).copied().unwrap_or_default();
            let used = Used {
                commands: now.commands - then.commands,
                us: now.us - then.us,
            };
            (used.commands > 0).then_some((name, used))
        };
        Self {
            cpu_us_per_call: cpu.collect(),
            batches: end.batches,
            mongodb: end.collections.into_iter().filter_map(since).collect(),
            calls,
        }
    }
}

/// CPU time of a process since it started, of all its threads; 0 if it has ended.
fn cpu_us(pid: u32) -> f64 {
    /// Linux counts in hundredths of a second, whatever its own clock does.
    const TICK_US: f64 = 10_000.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th fields behind it.
    let Some((_, fields)) = stat.rsplit_once(") ") else {
        return 0.0;
    };
    let ticks = |n| fields.split(' ').nth(n).and_then(|t| t.parse::<f64>().ok());
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) * TICK_US
}

/// MongoDB's own account of each collection of ours.
async fn top(client: &Client) -> Option<BTreeMap<String, Used>> {
    let reply = client
        .database("admin")
        .run_command(doc! { "top": 1 })
        .await;
    let totals = reply.ok()?.get_document("totals").ok()?.clone();
    let used = |(name, value): (String, mongodb::bson::Bson)| {
        if ["admin.", "local.", "config."]
            .iter()
            .any(|own| name.starts_with(own))
        {
            return None;
        }
        let total: &Document = value.as_document()?.get_document("total").ok()?;
        let number = |key| {
            total
                .get_i64(key)
                .or_else(|_| total.get_i32(key).map(i64::from))
        };
        let used = Used {
            commands: number("count").ok()?,
            us: number("time").ok()?,
        };
        Some((name, used))
    };
    Some(totals.into_iter().filter_map(used).collect())
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let calls = self.calls.max(1) as f64;
        writeln!(f, "  CPU for one call, in µs")?;
        let all: f64 = self.cpu_us_per_call.iter().map(|(_, us)| us).sum();
        for (name, us) in &self.cpu_us_per_call {
            writeln!(f, "    {name:<24} {us:>8.1}")?;
        }
        writeln!(f, "    {:<24} {all:>8.1}", "together")?;
        if !self.batches.is_empty() {
            writeln!(
                f,
                "  Batches: number, items, and on average ms that the first item waited, the turn was held, it took"
            )?;
        }
        for (name, b) in &self.batches {
            let average = |us: u64| us as f64 / b.batches.max(1) as f64 / 1_000.0;
            writeln!(
                f,
                "    {name:<24} {:>8} {:>7.1} {:>8.2} {:>8.2} {:>8.2}",
                b.batches,
                b.items as f64 / b.batches.max(1) as f64,
                average(b.waited_us),
                average(b.turn_us),
                average(b.took_us),
            )?;
        }
        if !self.mongodb.is_empty() {
            writeln!(
                f,
                "  MongoDB: commands for one call, µs for one command, µs for one call"
            )?;
        }
        for (name, used) in &self.mongodb {
            writeln!(
                f,
                "    {name:<40} {:>8.3} {:>9.1} {:>8.1}",
                used.commands as f64 / calls,
                used.us as f64 / used.commands.max(1) as f64,
                used.us as f64 / calls,
            )?;
        }
        Ok(())
    }
}
