//! What clients asked for, and what they were told.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use orderflow_contract::{Id, status::is_definite};
use orderflow_proto::order::v1::OrderStatus;
use orderflow_testkit::Refusal;
use serde::Serialize;
use tonic::{Code, Status};

/// So many of a product, by its number.
pub(crate) type Line = (usize, i32);

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Place {
        key: String,
        lines: Vec<Line>,
    },
    Cancel,
    Move(OrderStatus),
    Get,
    /// In a list, when all was over.
    List,
    Adjust {
        key: String,
        delta: i64,
    },
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The order, as it is.
    Order(Seen),
    Adjusted,
    /// This attempt made nothing.
    Definite(Code, String),
    /// It may have, or may yet.
    Unknown(Code, String),
}

/// An order in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: Id,
    pub(crate) status: OrderStatus,
    pub(crate) lines: Vec<Line>,
}

/// One call and its outcome.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) client: usize,
    /// From 1.
    pub(crate) gateway: usize,
    /// The order, or the product whose stock is adjusted.
    pub(crate) subject: Id,
    pub(crate) call: Call,
    /// From the beginning of the load.
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    pub(crate) outcome: Outcome,
}

/// All attempts, also in a file, a JSON object a line.
pub(crate) struct History {
    begin: Instant,
    kept: Mutex<(Vec<Attempt>, BufWriter<File>)>,
    pub(crate) placed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unknown: AtomicU64,
}

impl Outcome {
    pub(crate) fn of_error(status: &Status) -> Self {
        let reason = Refusal::from(status).reason;
        let code = status.code();
        match is_definite(code) {
            true => Self::Definite(code, reason),
            false => Self::Unknown(code, reason),
        }
    }
}

impl History {
    /// Begins now.
    pub(crate) fn in_file(path: &Path) -> io::Result<Self> {
        Ok(Self {
            begin: Instant::now(),
            kept: Mutex::new((Vec::new(), BufWriter::new(File::create(path)?))),
            placed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        })
    }

    /// How long the load has been on.
    pub(crate) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    pub(crate) fn add(&self, attempt: Attempt) {
        let counter = match (&attempt.call, &attempt.outcome) {
            (Call::Place { .. }, Outcome::Order(_)) => Some(&self.placed),
            (_, Outcome::Definite(..)) => Some(&self.refused),
            (_, Outcome::Unknown(..)) => Some(&self.unknown),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (attempts, file) = &mut *kept;
        // It is for those who look into it; what counts is in memory.
        let _ = serde_json::to_writer(&mut *file, &Entry::of(&attempt));
        let _ = file.write_all(b"\n");
        attempts.push(attempt);
    }

    /// All of them, in the order in which they ended; none are kept here any more.
    pub(crate) fn take(&self) -> Vec<Attempt> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = kept.1.flush();
        std::mem::take(&mut kept.0)
    }
}

/// As it is written down.
#[derive(Serialize)]
struct Entry {
    began_ms: u128,
    ended_ms: u128,
    client: usize,
    gateway: usize,
    subject: Id,
    call: String,
    /// `ok`, `definite` or `unknown`.
    kind: &'static str,
    outcome: String,
}

impl Entry {
    fn of(attempt: &Attempt) -> Self {
        Self {
            began_ms: attempt.began.as_millis(),
            ended_ms: attempt.ended.as_millis(),
            client: attempt.client,
            gateway: attempt.gateway,
            subject: attempt.subject,
            call: attempt.call.to_string(),
            kind: match attempt.outcome {
                Outcome::Order(_) | Outcome::Adjusted => "ok",
                Outcome::Definite(..) => "definite",
                Outcome::Unknown(..) => "unknown",
            },
            outcome: attempt.outcome.to_string(),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place { key, lines } => {
                write!(f, "place {key}:")?;
                lines
                    .iter()
                    .try_for_each(|(product, quantity)| write!(f, " {quantity}×p{product}"))
            }
            Self::Cancel => f.write_str("cancel"),
            Self::Move(to) => write!(f, "move to {}", name(*to)),
            Self::Get => f.write_str("get"),
            Self::List => f.write_str("list"),
            Self::Adjust { key, delta } => write!(f, "adjust {key}: {delta:+}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(seen) => write!(f, "OK {}", name(seen.status)),
            Self::Adjusted => f.write_str("OK"),
            Self::Definite(code, reason) => write!(f, "{code:?} {reason}"),
            // Where the error was made on this side it has no reason.
            Self::Unknown(code, reason) if reason.is_empty() => write!(f, "{code:?} (unknown)"),
            Self::Unknown(code, reason) => write!(f, "{code:?} {reason} (unknown)"),
        }
    }
}

/// Without what all of them have in common.
fn name(status: OrderStatus) -> &'static str {
    status.as_str_name().trim_start_matches("ORDER_STATUS_")
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (began, ended) = (self.began.as_secs_f64(), self.ended.as_secs_f64());
        write!(
            f,
            "{began:8.3}–{ended:.3} s  client {} by gateway-{}  {} → {}",
            self.client, self.gateway, self.call, self.outcome
        )
    }
}
