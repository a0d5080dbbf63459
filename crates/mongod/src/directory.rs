//! The directory that a set keeps everything in: whose it is, its ports, and its end.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::getuid;
use tokio::time::sleep;

use crate::error::Error;

/// Below the ports that systems hand out to clients (from 32768 on Linux), so that a remembered port, or that of a node
/// which is down, is not lost to somebody's outgoing connection.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

const PORTS_FILE: &str = "ports";

/// A data directory that is ours alone while this lives, or while a mongod lives that we gave [`Self::lock`] to.
///
/// ```text
/// lock         held by the owner, holds its process id
/// ports        a line a node
/// node-0/      the data of a node
/// node-0.log
/// ```
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
    ephemeral: bool,
}

impl Directory {
    /// The directory at `path`, made if need be.
    pub(crate) async fn persistent(path: &Path) -> Result<Self, Error> {
        // A mongod whose parent was killed holds the lock until it is gone as well, so that it pays to wait a moment.
        let patience = Instant::now() + Duration::from_secs(1);
        loop {
            match Self::claim(path, false) {
                Err(Error::DirectoryInUse { .. }) if Instant::now() < patience => {
                    sleep(Duration::from_millis(20)).await
                }
                claimed => return claimed,
            }
        }
    }

    /// A new one among the temporary files. Removes those whose owners died without removing them.
    pub(crate) fn ephemeral() -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        // Per user, since another one's files could not be locked.
        let all = std::env::temp_dir().join(format!("orderflow-mongod-{}", getuid().as_raw()));
        fs::create_dir_all(&all).map_err(Error::not_writable(&all))?;
        // Else a directory that is made but not claimed yet looks like one left behind.
        let path = all.join("lock");
        let turn = File::create(&path).map_err(Error::not_writable(&path))?;
        turn.lock().map_err(Error::not_writable(&path))?;
        for left_over in fs::read_dir(&all)
            .map_err(Error::not_writable(&all))?
            .flatten()
        {
            if left_over.path().is_dir() {
                drop(Self::claim(&left_over.path(), true));
            }
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::claim(&all.join(format!("{}-{count}", std::process::id())), true)
    }

    fn claim(path: &Path, ephemeral: bool) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(Error::not_writable(path))?;
        // mongod is given paths from here, and must find them from wherever it runs.
        let path = path.canonicalize().map_err(Error::not_writable(path))?;
        let file = path.join("lock");
        let not_writable = || Error::not_writable(&file);
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&file)
            .map_err(not_writable())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::DirectoryInUse {
                    pid: pid_in(&file),
                    directory: path,
                });
            }
            Err(TryLockError::Error(source)) => return Err(not_writable()(source)),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(not_writable())?;
        Ok(Self {
            path,
            lock,
            ephemeral,
        })
    }

    pub(crate) fn is_ephemeral(&self) -> bool {
        self.ephemeral
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle that keeps the directory claimed for as long as a process has it open.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        self.lock
            .try_clone()
            .map_err(Error::not_writable(&self.path))
    }

    /// A free port for each node: the one it had, unless that is taken now.
    pub(crate) fn ports(&self, nodes: usize) -> Result<Vec<u16>, Error> {
        let file = self.path.join(PORTS_FILE);
        let remembered = ports_in(&self.path);
        if !remembered.is_empty() && remembered.len() != nodes {
            let directory = self.path.clone();
            return Err(Error::NodeCount {
                directory,
                found: remembered.len(),
                asked: nodes,
            });
        }

        let mut ports: Vec<u16> = Vec::with_capacity(nodes);
        for node in 0..nodes {
            let port = match remembered.get(node) {
                Some(&port) if is_free(port) => port,
                taken => {
                    let new = free_port(&ports)?;
                    if let Some(taken) = taken {
                        tracing::warn!(
                            taken,
                            new,
                            "another program has the port of this mongod: it moves to a new one"
                        );
                    }
                    new
                }
            };
            ports.push(port);
        }
        let lines: String = ports.iter().map(|port| format!("{port}\n")).collect();
        fs::write(&file, lines).map_err(Error::not_writable(&file))?;
        Ok(ports)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.ephemeral {
            // What stays is removed at the next start.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The ports that the nodes in a directory have, or had when they last ran.
pub(crate) fn ports_in(directory: &Path) -> Vec<u16> {
    let lines = fs::read_to_string(directory.join(PORTS_FILE)).unwrap_or_default();
    lines.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The process id that a lock file holds.
pub(crate) fn pid_in(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A port at random, so that two sets that start at once hardly choose the same.
fn free_port(chosen: &[u16]) -> Result<u16, Error> {
    let start = RandomState::new().hash_one(()) as usize % PORTS.len();
    PORTS
        .cycle()
        .skip(start)
        .take(PORTS.len())
        .find(|port| !chosen.contains(port) && is_free(*port))
        .ok_or(Error::PortTaken { port: PORTS.start })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
