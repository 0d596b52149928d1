//! Fetching wheels with the user's pip.

use super::{SetupError, Wheel};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fetches a wheel into `folder` and returns its path, alone in a list.
///
/// `pip download` is used rather than `pip install`: it works where the system's Python is externally managed, and
/// leaves no environment behind.
pub(super) fn fetch(wheel: &Wheel, folder: &Path) -> Result<Vec<PathBuf>, SetupError> {
    let mut command = Command::new("python3");
    command.args([
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]);
    command
        .args(wheel.tags)
        .arg("--dest")
        .arg(folder)
        .arg(format!("{}=={}", wheel.package, wheel.version));
    tracing::info!(
        package = wheel.package,
        version = wheel.version,
        "fetching wheel"
    );
    let output = command.output().map_err(|source| SetupError::NoPython {
        program: "python3".to_owned(),
        source,
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said
            .lines()
            .rfind(|line| line.contains("ERROR") || line.contains("No module"))
            .or(said.lines().last());
        let reason = reason
            .unwrap_or("it said nothing")
            .trim_start_matches("ERROR: ")
            .to_owned();
        return Err(SetupError::Fetch {
            package: wheel.package,
            version: wheel.version,
            reason,
            command: command_line(wheel),
        });
    }
    find(wheel, folder)
}

/// The files of a folder that carry the wheel's name and version; never none.
pub(super) fn find(wheel: &Wheel, folder: &Path) -> Result<Vec<PathBuf>, SetupError> {
    let prefix = format!("{}-{}-", wheel.package.replace('-', "_"), wheel.version);
    let is_wheel = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "whl")
            && path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(is_wheel)
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(SetupError::NotInFolder {
            folder: folder.to_owned(),
            package: wheel.package,
            version: wheel.version,
            command: command_line(wheel),
        });
    }
    Ok(found)
}

/// What to type on a machine with a network to get just this wheel, under any Python.
pub(super) fn command_line(wheel: &Wheel) -> String {
    let Wheel {
        package,
        version,
        tags,
        ..
    } = wheel;
    let mut words = vec!["pip download --no-deps --only-binary=:all:"];
    words.extend(*tags);
    format!("{} {package}=={version}", words.join(" "))
}
