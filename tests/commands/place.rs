//! A folder of its own for each test, and the built program run in it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Nothing a test asks for takes this long, on a loaded machine with a real builder neither.
const TIME_LIMIT: Duration = Duration::from_mins(5);

/// A working folder and a home that nothing else uses; both go with it.
pub(crate) struct Place {
    root: tempfile::TempDir,
    time_limit: Duration,
}

/// What a run said and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; `None` after a signal, as the time limit sends one.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) wall: Duration,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        for folder in ["work", "home"] {
            fs::create_dir(root.path().join(folder)).expect("a new folder");
        }
        Self {
            root,
            time_limit: TIME_LIMIT,
        }
    }

    /// The same place where a run that takes longer is killed.
    pub(crate) fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// A path in the working folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join("work").join(name)
    }

    /// Writes a file into the working folder.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let folder = path.parent().expect("below the working folder");
        fs::create_dir_all(folder).expect("folders");
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// A copy of the bundle that belongs to the repository.
    pub(crate) fn bundle_copy(&self) -> PathBuf {
        let copy = self.path("bundle");
        copy_folder(&bundle(), &copy);
        copy
    }

    /// A copy of engines that `ort-cpu` built for the bundle.
    pub(crate) fn engines_copy(&self, built: &Path) -> PathBuf {
        let copy = self.path("engines");
        copy_folder(built, &copy);
        copy
    }

    /// Runs the program to its end.
    pub(crate) fn cvtrt(&self, arguments: &[impl AsRef<OsStr>]) -> Run {
        self.cvtrt_with(arguments, &[])
    }

    /// Runs the program with variables beside those of a clean environment.
    pub(crate) fn cvtrt_with(
        &self,
        arguments: &[impl AsRef<OsStr>],
        variables: &[(&str, &str)],
    ) -> Run {
        let mut command = assert_cmd::Command::from_std(self.command(arguments));
        command.envs(variables.iter().copied());
        let started = Instant::now();
        let output = command.timeout(self.time_limit).output().expect("it runs");
        Run {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            wall: started.elapsed(),
        }
    }

    /// The program with its arguments in a clean environment, to be started by the test.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cvtrt"));
        command
            .args(arguments)
            .current_dir(self.path("."))
            .env_clear()
            .env("HOME", self.root.path().join("home"))
            .env("CVTRT_RUNTIME_DIR", cvtrt::testkit::runtime_dir())
            .stdin(Stdio::null());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }

    /// Every file and folder below the working folder.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        files_below(&self.path("."))
    }
}

impl Run {
    /// What was written to stdout.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("stdout is text")
    }

    /// The one JSON document on stdout.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON document ({error}): {self:?}"))
    }

    /// The words of the table row that begins with this one.
    #[track_caller]
    pub(crate) fn row(&self, first: &str) -> Vec<&str> {
        let text = std::str::from_utf8(&self.stdout).expect("stdout is text");
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find(|words| words.first() == Some(&first))
            .unwrap_or_else(|| panic!("no row `{first}`: {text}"))
    }

    /// The run, whose exit code must be this.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The run, whose stderr must hold every one of these.
    #[track_caller]
    pub(crate) fn complains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing: {self:#?}");
        }
        self
    }

    /// The run, whose stdout must hold every one of these.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        let text = self.text();
        for word in words {
            assert!(text.contains(word), "`{word}` is missing: {text}");
        }
        self
    }
}

/// The bundle that belongs to the repository.
pub(crate) fn bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/cosyvoice2-tiny")
}

/// Every file and folder below one, by its path from there.
pub(crate) fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let Ok(entries) = fs::read_dir(&next) else {
            continue;
        };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                open.push(path.clone());
            }
            let below = path.strip_prefix(folder).expect("it is below");
            found.insert(below.to_owned());
        }
    }
    found
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for name in files_below(from) {
        let (source, target) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            fs::create_dir_all(&target).expect("a folder");
        } else {
            fs::create_dir_all(target.parent().expect("a folder")).expect("folders");
            fs::copy(&source, &target).expect("a copy");
        }
    }
}
