//! Finds a mongod that runs on this machine.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, last_lines};
use crate::fetch;

/// What decides which mongod runs.
pub(crate) struct Surroundings {
    /// `PATH`.
    pub(crate) path: OsString,
    /// Where a fetched mongod is kept; `None`: the user has no home.
    pub(crate) cache: Option<PathBuf>,
}

impl Surroundings {
    pub(crate) fn from_env() -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        let cache = set("ORDERFLOW_CACHE")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CACHE_HOME").map(|base| Path::new(&base).join("orderflow")))
            .or_else(|| env::home_dir().map(|home| home.join(".cache/orderflow")));
        Self {
            path: env::var_os("PATH").unwrap_or_default(),
            cache,
        }
    }

    /// The mongod on `PATH`, else the one in the cache, else the one fetched now.
    pub(crate) async fn locate(&self) -> Result<PathBuf, Error> {
        let program = match self.on_path("mongod") {
            Some(program) => program,
            None => {
                let cache = self.cache.as_deref().ok_or(Error::NoCache)?;
                fetch::cached_or_fetched(cache, self.on_path("python3")).await?
            }
        };
        probe(&program)?;
        Ok(program)
    }

    /// The first file of this name on `PATH` that may be executed.
    fn on_path(&self, name: &str) -> Option<PathBuf> {
        env::split_paths(&self.path)
            .map(|directory| directory.join(name))
            .find(|file| {
                file.metadata()
                    .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
            })
    }
}

/// Runs `mongod --version`, to say what the machine lacks before any data is touched. Takes some 20 ms.
fn probe(program: &Path) -> Result<(), Error> {
    let output = Command::new(program)
        .arg("--version")
        // What the loader says is translated otherwise.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn {
            program: program.to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(if stderr.trim().is_empty() {
        // A CPU that is too old for it ends it with a signal and no word.
        unusable(program, &output.status.to_string())
    } else {
        unusable(program, &stderr)
    })
}

/// What the dynamic loader's complaint means.
fn unusable(program: &Path, stderr: &str) -> Error {
    let program = program.to_owned();
    if let Some(library) = between(stderr, "error while loading shared libraries: ", ":") {
        let package = match library {
            "libcurl.so.4" => "libcurl4 (Debian: apt install libcurl4)".to_owned(),
            "libssl.so.3" | "libcrypto.so.3" => {
                "OpenSSL 3 (Debian: apt install libssl3)".to_owned()
            }
            "liblzma.so.5" => "liblzma5 (Debian: apt install liblzma5)".to_owned(),
            _ => "the package that brings it".to_owned(),
        };
        return Error::MissingLibrary {
            program,
            library: library.to_owned(),
            package,
        };
    }
    if let Some(version) = between(stderr, "version `GLIBC_", "' not found") {
        return Error::OldGlibc {
            program,
            version: format!("GLIBC_{version}"),
        };
    }
    Error::Unusable {
        program,
        output: last_lines(stderr, 10),
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PROGRAM: &str = "/cache/mongod";

    #[test]
    fn a_missing_library_names_its_package() {
        let missing = |library: &str| {
            let stderr = format!(
                "{PROGRAM}: error while loading shared libraries: {library}: cannot open shared object file: No such file or directory\n"
            );
            unusable(Path::new(PROGRAM), &stderr).to_string()
        };
        assert_eq!(
            missing("libcurl.so.4"),
            "/cache/mongod needs the library libcurl.so.4: install libcurl4 (Debian: apt install libcurl4)"
        );
        assert!(missing("libcrypto.so.3").contains("apt install libssl3"));
        assert!(missing("libfoo.so.1").contains("libfoo.so.1: install the package that brings it"));
    }

    #[test]
    fn an_old_c_library_is_told_from_a_missing_one() {
        let stderr = format!(
            "{PROGRAM}: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.35' not found (required by {PROGRAM})\n"
        );
        let error = unusable(Path::new(PROGRAM), &stderr);
        assert!(
            matches!(&error, Error::OldGlibc { version, .. } if version == "GLIBC_2.35"),
            "{error}"
        );
    }

    #[test]
    fn any_other_complaint_is_passed_on() {
        let error = unusable(Path::new(PROGRAM), "Illegal instruction\n");
        assert!(
            matches!(&error, Error::Unusable { output, .. } if output == "Illegal instruction"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn one_on_path_wins_and_is_probed() {
        let directory = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            path: directory.path().into(),
            cache: Some(directory.path().join("cache")),
        };
        let program = directory.path().join("mongod");

        crate::fetch::tests::script(&program, "exit 0");
        assert_eq!(surroundings.locate().await.unwrap(), program);

        crate::fetch::tests::script(&program, "echo no such luck >&2; exit 3");
        let error = surroundings.locate().await.unwrap_err();
        assert!(
            matches!(&error, Error::Unusable { output, .. } if output == "no such luck"),
            "{error}"
        );

        // What may not be executed is passed over, here for a cached one.
        fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
        let cache = surroundings.cache.as_ref().unwrap();
        fs::create_dir(cache).unwrap();
        let cached = fetch::cached(cache);
        crate::fetch::tests::script(&cached, "exit 0");
        assert_eq!(surroundings.locate().await.unwrap(), cached);
    }

    #[tokio::test]
    async fn what_is_missing_to_fetch_one_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let mut surroundings = Surroundings {
            path: empty.path().into(),
            cache: Some(empty.path().join("cache")),
        };
        let error = surroundings.locate().await.unwrap_err();
        assert!(matches!(error, Error::NoPython), "{error}");
        assert!(
            error
                .to_string()
                .contains("apt install python3 python3-pip"),
            "{error}"
        );

        surroundings.cache = None;
        let error = surroundings.locate().await.unwrap_err();
        assert!(matches!(error, Error::NoCache), "{error}");
    }
}
