//! Child processes that never outlive us, not even when we are killed.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

/// A child that is killed when this is dropped and when this process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, from a thread that lives as long as this process.
    pub(crate) fn spawn(mut command: Command) -> io::Result<Self> {
        type Job = (Command, Sender<io::Result<Child>>);
        // The kernel takes the end of the thread that forked for the end of the parent, and the caller's thread
        // may be that of a test or of a runtime's pool.
        static SPAWNER: LazyLock<Sender<Job>> = LazyLock::new(|| {
            let (jobs, inbox) = channel::<Job>();
            // Where no thread can be had, the inbox is dropped and sending fails.
            let _ = thread::Builder::new()
                .name("mongod-spawner".to_owned())
                .spawn(move || {
                    for (mut command, reply) in inbox {
                        let _ = reply.send(command.spawn());
                    }
                });
            jobs
        });

        end_with_parent(&mut command);
        let no_thread = || io::Error::other("there is no thread to start processes from");
        let (reply, child) = channel();
        SPAWNER.send((command, reply)).map_err(|_| no_thread())?;
        child.recv().map_err(|_| no_thread())?.map(Self)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// Does nothing once it has ended: the id may be another's by then.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.status().is_none() {
            // Our own child that we have not waited for can always be signalled.
            let _ = kill_process(Pid::from_child(&self.0), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "the death signal can only be asked for between fork and exec"
)]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    use rustix::io::Errno;
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    // SAFETY: other threads' locks may be held for ever in the forked child, so the closure must neither allocate nor
    // lock; it makes two system calls and builds errors that hold a number.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the signal was asked for.
            if getppid() != Some(parent) {
                return Err(Errno::SRCH.into());
            }
            Ok(())
        });
    }
}

/// Other systems have no such signal: there a killed parent leaves its mongod running.
#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command) {}
