//! One mongod of a replica set.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::num::NonZero;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::options::{ClientOptions, ServerAddress};
use mongodb::{Client, Database};
use rustix::process::Signal;
use tokio::time::timeout;

use crate::deadline::Deadline;
use crate::directory::{Directory, pid_in};
use crate::error::{Error, last_lines};
use crate::options::Options;
use crate::process::Process;
use crate::replica_set::NAME;

/// One mongod of a [`ReplicaSet`](crate::ReplicaSet). Tests kill it, freeze it and start it again.
#[derive(Debug)]
pub struct Node {
    program: PathBuf,
    arguments: Vec<String>,
    port: u16,
    data: PathBuf,
    log: PathBuf,
    lock: File,
    time_limit: Duration,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    process: Process,
    /// Where in the log this run begins.
    log_start: u64,
}

/// Whether the node behind [`Node::admin`] takes writes.
pub(crate) async fn is_primary(admin: &Database) -> bool {
    // A paused one would keep us waiting.
    let hello = timeout(
        Duration::from_secs(1),
        admin.run_command(doc! { "hello": 1 }),
    )
    .await;
    hello.is_ok_and(|reply| {
        reply.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false))
    })
}

/// Whether the node behind [`Node::admin`] is a primary or a secondary that may be killed.
async fn has_joined(admin: &Database) -> bool {
    let Ok(status) = admin.run_command(doc! { "replSetGetStatus": 1 }).await else {
        return false;
    };
    let is_member = matches!(status.get_i32("myState"), Ok(1 | 2));
    // One that comes back, finds that it has writes to give up and has no checkpoint from before them aborts.
    let checkpoint = status.get_timestamp("lastStableRecoveryTimestamp");
    is_member && checkpoint.is_ok_and(|checkpoint| checkpoint.time > 0)
}

/// How a node is told to store for the sake of speed.
fn for_speed() -> Vec<String> {
    // Of the threads that write pages out four at the most, as MongoDB has by itself.
    let cores = available_parallelism().map_or(1, NonZero::get);
    let threads = (cores / 2).clamp(1, 4);
    vec![
        format!(
            "--wiredTigerEngineConfigString=eviction=(threads_min={threads},threads_max={threads})"
        ),
        // One fifth of what it is by itself. An index whose keys come in no order begins as one page, and is closed while that is
        // split, as soon as it has become so large.
        "--wiredTigerIndexConfigString=memory_page_max=1m".to_owned(),
    ]
}

impl Node {
    /// A node that does not run yet.
    pub(crate) fn new(
        program: &Path,
        directory: &Directory,
        number: usize,
        port: u16,
        options: &Options,
    ) -> Result<Self, Error> {
        let data = directory.path().join(format!("node-{number}"));
        fs::create_dir_all(&data).map_err(Error::not_writable(&data))?;
        // Begun anew, else it grows for ever.
        let log = directory.path().join(format!("node-{number}.log"));
        File::create(&log).map_err(Error::not_writable(&log))?;

        let storage = match options.cache_gb {
            Some(gb) => vec![format!("--wiredTigerCacheSizeGB={gb}")],
            None => for_speed(),
        };
        let arguments = [
            format!("--port={port}"),
            "--bind_ip=127.0.0.1".to_owned(),
            "--nounixsocket".to_owned(),
            format!("--replSet={NAME}"),
            // MB; a twentieth of the disk otherwise.
            "--oplogSize=256".to_owned(),
        ];
        let parameters = options
            .parameters
            .iter()
            .map(|(name, value)| format!("--setParameter={name}={value}"));

        Ok(Self {
            program: program.to_owned(),
            arguments: arguments
                .into_iter()
                .chain(storage)
                .chain(parameters)
                .collect(),
            port,
            data,
            log,
            lock: directory.lock()?,
            time_limit: options.time_limit,
            running: Mutex::new(None),
        })
    }

    /// Its port on 127.0.0.1, the same for as long as the set runs.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        let mut running = self.running();
        let process = &mut running.as_mut()?.process;
        process.status().is_none().then(|| process.id())
    }

    /// SIGKILL. It is gone when this returns, and what it wrote in the last 0.1 s is too, unless that was acknowledged by a
    /// majority or as journaled.
    pub fn kill(&self) {
        *self.running() = None;
    }

    /// SIGSTOP: connections stay open and nothing answers, as if a network dropped every packet. The others elect a new
    /// primary, but may take 10 s to notice that they cannot replicate from this one any more; majorities wait for that.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: ends [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it on the port and the data that it had, and waits until it is a primary or a secondary again. One that still
    /// runs is killed first.
    pub async fn restart(&self) -> Result<(), Error> {
        self.kill();
        self.start()?;
        let deadline = Deadline::after(self.time_limit);
        self.accepts_connections(&deadline).await?;
        self.joins(&deadline).await
    }

    /// Asks it to end in good order.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
        // A paused one does not hear it.
        self.signal(Signal::CONT);
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn start(&self) -> Result<(), Error> {
        let open = || -> io::Result<_> {
            let log = File::options().append(true).open(&self.log)?;
            Ok((
                log.metadata()?.len(),
                log.try_clone()?,
                log,
                self.lock.try_clone()?,
            ))
        };
        let (log_start, errors, log, lock) = open().map_err(Error::not_writable(&self.log))?;
        let mut command = Command::new(&self.program);
        command
            .arg("--dbpath")
            .arg(&self.data)
            .args(&self.arguments)
            // It reads nothing, but the directory stays claimed for as long as it has this open.
            .stdin(lock)
            .stdout(log)
            .stderr(errors)
            // Else Ctrl-C on the terminal ends it before those who still use it.
            .process_group(0);
        let process = Process::spawn(command).map_err(|source| Error::Spawn {
            program: self.program.clone(),
            source,
        })?;
        *self.running() = Some(Running { process, log_start });
        Ok(())
    }

    /// Waits until it accepts connections. Trusts its log alone: on its port another program may answer.
    pub(crate) async fn accepts_connections(&self, deadline: &Deadline) -> Result<(), Error> {
        while !self.log_of_this_run().contains("Waiting for connections") {
            self.check()?;
            deadline.pause("to accept connections", self).await?;
        }
        Ok(())
    }

    /// Waits until it is a primary or a secondary.
    pub(crate) async fn joins(&self, deadline: &Deadline) -> Result<(), Error> {
        let admin = self.admin()?;
        while !has_joined(&admin).await {
            self.check()?;
            deadline.pause("to join its replica set", self).await?;
        }
        Ok(())
    }

    /// An error with the reason, if it has ended by itself.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let status = self
            .running()
            .as_mut()
            .and_then(|running| running.process.status());
        status.map_or(Ok(()), |status| Err(self.why_it_ended(status)))
    }

    fn why_it_ended(&self, status: ExitStatus) -> Error {
        let log = self.log_of_this_run();
        // Many lines about its shutdown follow the one that says why.
        let severe = |line: &&str| {
            !line.starts_with('{') || line.contains(r#""s":"E""#) || line.contains(r#""s":"F""#)
        };
        let severe: Vec<&str> = log.lines().filter(severe).collect();
        let lines = if severe.is_empty() {
            last_lines(&log, 5)
        } else {
            last_lines(&severe.join("\n"), 5)
        };
        if lines.contains("DBPathInUse") {
            Error::DirectoryInUse {
                directory: self.data.clone(),
                pid: pid_in(&self.data.join("mongod.lock")),
            }
        } else if lines.contains("Address already in use") {
            Error::PortTaken { port: self.port }
        } else {
            Error::Exited {
                status,
                log: self.log.clone(),
                lines,
            }
        }
    }

    /// The `admin` database of this very node. The client behind it belongs to the runtime it is made in, so it is never kept.
    pub(crate) fn admin(&self) -> Result<Database, Error> {
        let address = ServerAddress::Tcp {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: Some(self.port),
        };
        let options = ClientOptions::builder()
            .hosts(vec![address])
            .direct_connection(true)
            .server_selection_timeout(Duration::from_secs(1));
        match Client::with_options(options.build()) {
            Ok(client) => Ok(client.database("admin")),
            Err(error) => Err(self.refused("a connection", error)),
        }
    }

    pub(crate) fn refused(&self, command: &'static str, source: mongodb::error::Error) -> Error {
        Error::Refused {
            command,
            log: self.log.clone(),
            source: Box::new(source),
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    fn log_of_this_run(&self) -> String {
        let start = self
            .running()
            .as_ref()
            .map_or(0, |running| running.log_start);
        let mut log = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(start))?;
            file.read_to_end(&mut log)
        });
        // Nobody can read it: then there is nothing to tell from it.
        read.map_or_else(
            |_| String::new(),
            |_| String::from_utf8_lossy(&log).into_owned(),
        )
    }

    fn signal(&self, signal: Signal) {
        if let Some(running) = self.running().as_mut() {
            running.process.signal(signal);
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
