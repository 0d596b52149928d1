//! Putting one wheel's files in place.

use super::wheels::WETEXT;
use super::{Kind, SetupError, Wheel, adopt, pip};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A set of files that is in place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Installed {
    /// What it is.
    pub kind: Kind,
    /// The package it came in.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The folder with its files.
    pub folder: PathBuf,
    /// How it got there.
    pub origin: Origin,
    /// Bytes of its files.
    pub bytes: u64,
}

/// How a set of files came to be in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It was there.
    Present,
    /// pip had installed it; it is used where it is.
    Adopted,
    /// It was unpacked from a wheel now.
    Unpacked,
}

const STAGING: &str = ".staging-";
/// Longer than any download takes.
const STALE: Duration = Duration::from_hours(6);

/// Puts a wheel's files into `root`, unless they are there or installed already.
///
/// `from`: a folder of wheels to use instead of pip's download.
///
/// # Errors
/// [`SetupError`]; what was in place before stays.
pub fn install(wheel: &Wheel, root: &Path, from: Option<&Path>) -> Result<Installed, SetupError> {
    let folder = root.join(wheel.kind.folder());
    if let Some(bytes) = complete(wheel, &folder) {
        return Ok(report(wheel, folder, Origin::Present, bytes));
    }
    if let Some((folder, bytes)) = adopted(wheel) {
        return Ok(report(wheel, folder, Origin::Adopted, bytes));
    }
    create(root)?;
    let failed = |source| SetupError::File {
        path: root.to_owned(),
        source,
    };
    sweep(root);
    let staging = tempfile::Builder::new()
        .prefix(STAGING)
        .tempdir_in(root)
        .map_err(failed)?;
    let archives = match from {
        Some(from) => pip::find(wheel, from)?,
        None => pip::fetch(wheel, staging.path())?,
    };
    let archive = with_digest(wheel, archives)?;
    let unpacked = staging.path().join("unpacked");
    create(&unpacked)?;
    unpack(wheel, &archive, &unpacked)?;
    create(&folder)?;
    for member in wheel.members {
        let (source, target) = (unpacked.join(member), folder.join(member));
        create_parent(&target)?;
        fs::rename(&source, &target).map_err(|source| SetupError::File {
            path: target,
            source,
        })?;
    }
    let (stamp, bytes) = stamp(wheel, &folder).unwrap_or_default();
    let path = folder.join(stamp_name(wheel));
    fs::write(&path, stamp).map_err(|source| SetupError::File { path, source })?;
    Ok(report(wheel, folder, Origin::Unpacked, bytes))
}

/// The folder of the text normalisation graphs: what `install` put below `root` or would adopt, else where it would put
/// them.
pub fn text_graphs(root: &Path) -> PathBuf {
    let folder = root.join(WETEXT.kind.folder());
    if complete(&WETEXT, &folder).is_some() {
        return folder;
    }
    adopted(&WETEXT).map_or(folder, |(folder, _)| folder)
}

fn report(wheel: &Wheel, folder: PathBuf, origin: Origin, bytes: u64) -> Installed {
    Installed {
        kind: wheel.kind,
        package: wheel.package,
        version: wheel.version,
        folder,
        origin,
        bytes,
    }
}

/// Bytes of the files, where all of them are in `folder` as this wheel brought them.
///
/// Another version has files of the same names, so a stamp written last says which wheel they came out of.
fn complete(wheel: &Wheel, folder: &Path) -> Option<u64> {
    let (expected, bytes) = stamp(wheel, folder)?;
    let found = fs::read_to_string(folder.join(stamp_name(wheel))).ok()?;
    (found == expected).then_some(bytes)
}

/// What the stamp says while the files are in place: the wheel's digest, and each file's size; and their bytes in all.
fn stamp(wheel: &Wheel, folder: &Path) -> Option<(String, u64)> {
    let (mut text, mut bytes) = (format!("{}\n", wheel.sha256), 0);
    for member in wheel.members {
        let data = fs::metadata(folder.join(member)).ok()?;
        if !data.is_file() {
            return None;
        }
        writeln!(text, "{} {member}", data.len()).expect("a string takes all");
        bytes += data.len();
    }
    Some((text, bytes))
}

fn stamp_name(wheel: &Wheel) -> String {
    format!(".{}.stamp", wheel.package)
}

/// Removes what an earlier run that was killed left; a younger folder may be another run's.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let staging = entry.file_name().to_string_lossy().starts_with(STAGING);
        let age = entry.metadata().and_then(|data| data.modified());
        let old = age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > STALE));
        if staging && old && fs::remove_dir_all(entry.path()).is_err() {
            tracing::warn!(path = %entry.path().display(), "cannot be removed");
        }
    }
}

fn adopted(wheel: &Wheel) -> Option<(PathBuf, u64)> {
    let info = format!(
        "{}-{}.dist-info",
        wheel.package.replace('-', "_"),
        wheel.version
    );
    let site = adopt::site_packages()
        .into_iter()
        .find(|site| site.join(&info).is_dir())?;
    let folder = site.join(wheel.base);
    let (_, bytes) = stamp(wheel, &folder)?;
    Some((folder, bytes))
}

/// The one of several files that is the wheel cvtrt was tried with.
fn with_digest(wheel: &Wheel, archives: Vec<PathBuf>) -> Result<PathBuf, SetupError> {
    let mut other = None;
    for archive in archives {
        let found = digest(&archive)?;
        if found == wheel.sha256 {
            return Ok(archive);
        }
        other = other.or(Some((archive, found)));
    }
    let (path, found) = other.expect("a search that found none is an error before");
    Err(SetupError::Digest {
        path,
        expected: wheel.sha256,
        found,
        command: pip::command_line(wheel),
    })
}

fn digest(archive: &Path) -> Result<String, SetupError> {
    let failed = |source| SetupError::File {
        path: archive.to_owned(),
        source,
    };
    let mut hasher = Sha256::new();
    let mut file = File::open(archive).map_err(failed)?;
    io::copy(&mut file, &mut HashWriter(&mut hasher)).map_err(failed)?;
    Ok(hex(&hasher.finalize()))
}

fn unpack(wheel: &Wheel, archive: &Path, folder: &Path) -> Result<(), SetupError> {
    let failed = |source| SetupError::File {
        path: archive.to_owned(),
        source,
    };
    let unreadable = |source| SetupError::Archive {
        path: archive.to_owned(),
        source,
    };
    let mut zip = zip::ZipArchive::new(File::open(archive).map_err(failed)?).map_err(unreadable)?;
    for member in wheel.members {
        let inside = wheel.archive_path(member);
        let missing = || SetupError::Member {
            path: archive.to_owned(),
            member: inside.clone(),
        };
        let mut entry = zip.by_name(&inside).map_err(|_| missing())?;
        let target = folder.join(member);
        create_parent(&target)?;
        let write = |source| SetupError::File {
            path: target.clone(),
            source,
        };
        let mut file = File::create(&target).map_err(write)?;
        io::copy(&mut entry, &mut file).map_err(write)?;
        file.sync_all().map_err(write)?;
    }
    Ok(())
}

fn create_parent(file: &Path) -> Result<(), SetupError> {
    file.parent().map_or(Ok(()), create)
}

fn create(folder: &Path) -> Result<(), SetupError> {
    fs::create_dir_all(folder).map_err(|source| SetupError::File {
        path: folder.to_owned(),
        source,
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all");
            text
        })
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn wheel(sha256: &'static str) -> Wheel {
        Wheel {
            kind: Kind::OnnxRuntime,
            package: "no-such-package",
            version: "1.0",
            tags: &[],
            sha256,
            base: "pkg",
            members: &["sub/libx.so.1"],
        }
    }

    fn write_wheel(folder: &Path, member: &str) -> PathBuf {
        let path = folder.join("no_such_package-1.0-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).expect("file"));
        zip.start_file(member, zip::write::FileOptions::default())
            .expect("entry");
        zip.write_all(b"library").expect("bytes");
        zip.finish().expect("archive");
        path
    }

    fn digest_of(path: &Path) -> &'static str {
        let bytes = fs::read(path).expect("wheel");
        Box::leak(hex(&Sha256::digest(bytes)).into_boxed_str())
    }

    #[test]
    fn a_wheel_is_unpacked_once() {
        let (root, from) = (
            tempfile::tempdir().expect("root"),
            tempfile::tempdir().expect("from"),
        );
        let wheel = wheel(digest_of(&write_wheel(from.path(), "pkg/sub/libx.so.1")));
        let first = install(&wheel, root.path(), Some(from.path())).expect("first");
        assert_eq!((first.origin, first.bytes), (Origin::Unpacked, 7));
        let second = install(&wheel, root.path(), Some(from.path())).expect("second");
        assert_eq!(second.origin, Origin::Present);
        let left: Vec<_> = fs::read_dir(root.path()).expect("root").collect();
        assert_eq!(
            left.len(),
            1,
            "nothing but the library folder is left: {left:?}"
        );
        let file = root.path().join("onnxruntime/sub/libx.so.1");
        assert_eq!(fs::read(file).expect("unpacked"), b"library");
    }

    #[test]
    fn text_graphs_are_looked_for_where_they_are_installed() {
        let root = tempfile::tempdir().expect("root");
        let own = root.path().join("wetext");
        for member in WETEXT.members {
            let file = own.join(member);
            fs::create_dir_all(file.parent().expect("a folder")).expect("folder");
            fs::write(file, "graph").expect("file");
        }
        assert_eq!(text_graphs(root.path()), own);
    }

    #[test]
    fn a_foreign_wheel_is_refused_and_leaves_nothing() {
        let (root, from) = (
            tempfile::tempdir().expect("root"),
            tempfile::tempdir().expect("from"),
        );
        write_wheel(from.path(), "pkg/sub/libx.so.1");
        let error =
            install(&wheel(EMPTY), root.path(), Some(from.path())).expect_err("another digest");
        assert!(matches!(error, SetupError::Digest { .. }), "{error}");
        assert_eq!(fs::read_dir(root.path()).expect("root").count(), 0);
    }

    #[test]
    fn a_wheel_without_the_library_is_named() {
        let (root, from) = (
            tempfile::tempdir().expect("root"),
            tempfile::tempdir().expect("from"),
        );
        let wheel = wheel(digest_of(&write_wheel(from.path(), "pkg/other.so")));
        let error = install(&wheel, root.path(), Some(from.path())).expect_err("no library");
        assert!(matches!(error, SetupError::Member { .. }), "{error}");
    }

    #[test]
    fn an_empty_folder_of_wheels_is_an_input_error() {
        let (root, from) = (
            tempfile::tempdir().expect("root"),
            tempfile::tempdir().expect("from"),
        );
        let error = install(&wheel(EMPTY), root.path(), Some(from.path())).expect_err("no wheel");
        assert!(matches!(error, SetupError::NotInFolder { .. }), "{error}");
    }
}
