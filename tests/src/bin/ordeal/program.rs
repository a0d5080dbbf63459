//! One program, as a process that is killed and started again.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use orderflow_cli::processes;
use orderflow_testkit::Link;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, ChildStdin},
    sync::Mutex,
    time::timeout,
};

use crate::schedule::Who;

/// Ends in good order take this long at the most, with time to spare for a machine that is busy.
const TERMINATES_WITHIN: Duration = Duration::from_secs(30);

/// Before that it may not listen to signals.
const STARTS_WITHIN: Duration = Duration::from_secs(5);

pub(crate) struct Program {
    pub(crate) who: Who,
    settings: HashMap<String, String>,
    /// The ways to it.
    links: Vec<Arc<Link>>,
    log: PathBuf,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    since: Instant,
    /// Open for as long as it shall run: see [`end_with_parent`]. To wait for a child would close it.
    _stdin: Option<ChildStdin>,
}

impl Program {
    pub(crate) fn new(
        who: Who,
        settings: HashMap<String, String>,
        links: Vec<Arc<Link>>,
        log: PathBuf,
    ) -> Self {
        Self {
            who,
            settings,
            links,
            log,
            running: Mutex::new(None),
        }
    }

    /// Starts it, at another port than before, to which all ways lead from now on. One that runs is killed first.
    pub(crate) async fn start(&self) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if let Some(Running { child, .. }) = &mut *running {
            child.kill().await?;
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        // Its old port may be somebody's outgoing connection by now.
        let (mut command, address) = processes::command(self.who.program, &self.settings)?;
        let mut child = command.stdin(Stdio::piped()).stderr(log).spawn()?;
        let _stdin = child.stdin.take();
        *running = Some(Running {
            child,
            since: Instant::now(),
            _stdin,
        });
        for link in &self.links {
            link.lead_to(address);
        }
        Ok(())
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self) -> io::Result<()> {
        match &mut *self.running.lock().await {
            Some(Running { child, .. }) => child.kill().await,
            None => Ok(()),
        }
    }

    /// SIGTERM. It must end by itself, and say that it did so in good order.
    pub(crate) async fn terminate(&self) -> Result<(), String> {
        if self.ended().await.is_some() {
            return Ok(());
        }
        self.signal(Signal::TERM).await;
        let mut running = self.running.lock().await;
        let Some(Running { child, since, .. }) = &mut *running else {
            return Ok(());
        };
        match timeout(TERMINATES_WITHIN, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            // It had not come so far that it listens to signals.
            Ok(Ok(status)) if status.signal().is_some() && since.elapsed() < STARTS_WITHIN => {
                Ok(())
            }
            Ok(Ok(status)) => Err(format!("{} ended with {status} on SIGTERM", self.who)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "{} still runs {} s after SIGTERM",
                self.who,
                TERMINATES_WITHIN.as_secs()
            )),
        }
    }

    /// SIGSTOP.
    pub(crate) async fn stop(&self) {
        self.signal(Signal::STOP).await;
    }

    /// SIGCONT.
    pub(crate) async fn resume(&self) {
        self.signal(Signal::CONT).await;
    }

    async fn signal(&self, signal: Signal) {
        let running = self.running.lock().await;
        let pid = running.as_ref().and_then(|running| running.child.id());
        if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // Our own child that we have not waited for can always be signalled.
            let _ = kill_process(pid, signal);
        }
    }

    /// How it ended, if it has.
    pub(crate) async fn ended(&self) -> Option<ExitStatus> {
        let mut running = self.running.lock().await;
        running.as_mut()?.child.try_wait().ok().flatten()
    }

    /// What it said when it panicked, if it did.
    pub(crate) fn panics(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let panics = log.lines().filter(|line| line.contains("panicked at"));
        panics.map(|line| format!("{}: {line}", self.who)).collect()
    }
}

/// In a program's own process: ends it when the one that has started it is gone.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let mut nothing = Vec::new();
        let _ = io::stdin().read_to_end(&mut nothing);
        std::process::exit(1);
    });
}
