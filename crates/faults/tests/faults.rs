//! Faults, in processes that die of them: this test binary starts itself.

#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used)]

use std::{
    env, io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output},
};

use orderflow_faults::{At, Fault, Point, Step as _, points, repeatable};
use tempfile::TempDir;

orderflow_faults::steps! { "kitchen":
    /// Tea is poured.
    Pour,
    /// The cup is filled, and not more than that.
    Fill: repeatable,
}

const SIGABRT: i32 = 6;

/// What the process does that a test starts.
#[tokio::test]
#[ignore = "the other tests start it"]
async fn pour_and_fill() {
    let work = async |what: &str| {
        println!("does {what}");
        Ok::<_, io::Error>(())
    };
    for _ in 0..2 {
        println!("pour {}", work("pour").at(Step::Pour).await.is_ok());
        let filled = repeatable(Step::Fill, || work("fill")).await;
        println!("fill {}", filled.is_ok());
    }
}

/// A process with this directory of faults, and what it has done.
fn run(faults: &Path) -> (Output, String) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "pour_and_fill", "--ignored", "--nocapture"]);
    let output = command.env("FAULTS", faults).output().unwrap();
    let done: Vec<_> = String::from_utf8(output.stdout.clone())
        .unwrap()
        .lines()
        .filter(|line| {
            ["does ", "pour ", "fill "]
                .iter()
                .any(|s| line.starts_with(s))
        })
        .map(str::to_owned)
        .collect();
    (output, done.join(", "))
}

const UNHARMED: &str = "does pour, pour true, does fill, fill true";

#[test]
fn every_fault_happens_once_where_it_is_armed() {
    let expected = [
        (
            Step::Pour,
            Fault::FailBefore,
            "pour false, does fill, fill true",
        ),
        (
            Step::Pour,
            Fault::FailAfter,
            "does pour, pour false, does fill, fill true",
        ),
        (
            Step::Fill,
            Fault::FailBefore,
            "does pour, pour true, fill false",
        ),
        (
            Step::Fill,
            Fault::FailAfter,
            "does pour, pour true, does fill, fill false",
        ),
        (
            Step::Fill,
            Fault::Twice,
            "does pour, pour true, does fill, does fill, fill true",
        ),
    ];
    for (step, fault, first) in expected {
        let faults = TempDir::new().unwrap();
        let point = Point::of(step, fault);
        point.arm(faults.path()).unwrap();
        let (output, done) = run(faults.path());
        assert!(output.status.success(), "{point}: {output:?}");
        assert_eq!(done, format!("{first}, {UNHARMED}"), "{point}");
        assert!(!point.is_armed(faults.path()), "{point}");
    }
}

#[test]
fn a_process_dies_before_or_after_what_it_does_and_not_again() {
    for (fault, done_before) in [(Fault::AbortBefore, ""), (Fault::AbortAfter, "does pour")] {
        let faults = TempDir::new().unwrap();
        Point::of(Step::Pour, fault).arm(faults.path()).unwrap();
        let (output, done) = run(faults.path());
        assert_eq!(output.status.signal(), Some(SIGABRT), "{fault}: {output:?}");
        assert_eq!(done, done_before, "{fault}");
        let (output, done) = run(faults.path());
        assert!(output.status.success(), "{fault}: {output:?}");
        assert_eq!(done, format!("{UNHARMED}, {UNHARMED}"), "{fault}");
    }
}

#[test]
fn every_step_has_its_points() {
    let names: Vec<_> = points::<Step>()
        .map(|(_, point)| point.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "kitchen.Pour, abort before",
            "kitchen.Pour, abort after",
            "kitchen.Pour, fail before",
            "kitchen.Pour, fail after",
            "kitchen.Fill, abort before",
            "kitchen.Fill, abort after",
            "kitchen.Fill, fail before",
            "kitchen.Fill, fail after",
            "kitchen.Fill, twice",
        ]
    );
    assert_eq!(Step::ALL.len(), 2);
}
