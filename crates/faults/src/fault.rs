use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};

use crate::Step;

/// What can happen at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before it.
    AbortBefore,
    /// The process dies after it.
    AbortAfter,
    /// It fails, and nothing was done.
    FailBefore,
    /// It fails, though it was done.
    FailAfter,
    /// It is done twice.
    Twice,
}

impl Fault {
    const ALL: [Self; 5] = [
        Self::AbortBefore,
        Self::AbortAfter,
        Self::FailBefore,
        Self::FailAfter,
        Self::Twice,
    ];

    /// Whether the process dies of it.
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::AbortBefore | Self::AbortAfter)
    }
}

/// A fault at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The name of the step.
    pub step: &'static str,
    /// What happens there.
    pub fault: Fault,
}

impl Point {
    /// This fault at this step.
    pub fn of(step: impl Step, fault: Fault) -> Self {
        let step = step.name();
        Self { step, fault }
    }

    /// Lets it happen, once, in a process that has this directory in `FAULTS`.
    pub fn arm(self, directory: &Path) -> io::Result<()> {
        fs::write(self.file(directory), [])
    }

    /// Whether it is still to happen.
    pub fn is_armed(self, directory: &Path) -> bool {
        self.file(directory).exists()
    }

    fn file(self, directory: &Path) -> PathBuf {
        directory.join(self.to_string())
    }

    /// Whether it is to happen now. Who asks first is told so, and nobody else.
    fn strikes(self) -> bool {
        static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
        let directory = DIRECTORY.get_or_init(|| env::var_os("FAULTS").map(PathBuf::from));
        let take = |directory: &PathBuf| fs::remove_file(self.file(directory)).is_ok();
        directory.as_ref().is_some_and(take)
    }
}

impl fmt::Display for Point {
    /// As in `order.PlaceReserve, abort before`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.step, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AbortBefore => "abort before",
            Self::AbortAfter => "abort after",
            Self::FailBefore => "fail before",
            Self::FailAfter => "fail after",
            Self::Twice => "twice",
        })
    }
}

/// All faults at all steps of a service.
pub fn points<S: Step>() -> impl Iterator<Item = (S, Point)> {
    let points = |step: &S| {
        let step = *step;
        let is_possible = move |fault: &Fault| *fault != Fault::Twice || step.is_repeatable();
        let faults = Fault::ALL.into_iter().filter(is_possible);
        faults.map(move |fault| (step, Point::of(step, fault)))
    };
    S::ALL.iter().flat_map(points)
}

pub(crate) fn before(step: impl Step) -> io::Result<()> {
    strike(step, Fault::AbortBefore, Fault::FailBefore)
}

pub(crate) fn after(step: impl Step) -> io::Result<()> {
    strike(step, Fault::AbortAfter, Fault::FailAfter)
}

pub(crate) fn is_done_twice(step: impl Step) -> bool {
    Point::of(step, Fault::Twice).strikes()
}

fn strike(step: impl Step, abort: Fault, fail: Fault) -> io::Result<()> {
    if Point::of(step, abort).strikes() {
        process::abort();
    }
    let fail = Point::of(step, fail);
    if fail.strikes() {
        // As a connection fails: whoever is told this knows nothing about what was done.
        let told = fail.to_string();
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, told));
    }
    Ok(())
}
