//! A file of timings that several builders read and add to.
//!
//! The file is what the library wrote, so that its own tools take it too. Beside it lies `FILE.lock`, held while the file
//! is replaced; readers need none, because a rename replaces it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A larger file is not begun with, and none grows larger.
const MAX_BYTES: u64 = 256 << 20;

/// What became of the timings of earlier builds.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Timings {
    /// Bytes of timings the build began with; 0 where it took every timing itself.
    pub began_with_bytes: u64,
    /// Bytes kept for the next build; 0 where none were.
    pub kept_bytes: u64,
    /// What went otherwise than it should; costs the next build time, and nothing else.
    pub remarks: Vec<String>,
}

/// The file, and what a build began with.
#[derive(Debug)]
pub(super) struct TimingFile<'a> {
    path: &'a Path,
    began_with: Option<Vec<u8>>,
    timings: Timings,
}

impl<'a> TimingFile<'a> {
    /// Reads the file. One that cannot be used costs a remark.
    pub(super) fn read(path: &'a Path) -> Self {
        let mut file = Self {
            path,
            began_with: None,
            timings: Timings::default(),
        };
        match read(path) {
            Ok(bytes) => {
                file.timings.began_with_bytes = bytes.as_ref().map_or(0, |it| it.len() as u64);
                file.began_with = bytes;
            }
            Err(error) => file.remark(&format!("not begun with: {error}")),
        }
        file
    }

    /// What to begin with.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.began_with.as_deref()
    }

    /// Notes that the library took none of what was read, so that nothing of it is kept.
    pub(super) fn refuse(&mut self, reason: &str) {
        self.remark(&format!("not begun with: {reason}"));
        self.timings.began_with_bytes = 0;
    }

    /// Puts `ours` in the file's place. Where another builder did so meanwhile, `merge(ours, theirs)` goes there; where
    /// that fails, `ours` alone, being newer.
    pub(super) fn keep(
        mut self,
        ours: &[u8],
        merge: impl FnOnce(&[u8], &[u8]) -> Result<Vec<u8>, String>,
    ) -> Timings {
        match self.replace(ours, merge) {
            Ok(kept) => self.timings.kept_bytes = kept,
            Err(error) => self.remark(&format!("not kept: {error}")),
        }
        self.timings
    }

    fn replace(
        &mut self,
        ours: &[u8],
        merge: impl FnOnce(&[u8], &[u8]) -> Result<Vec<u8>, String>,
    ) -> io::Result<u64> {
        let lock = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(beside(self.path, "lock"))?;
        lock.lock()?;
        let mut content = ours.to_vec();
        match read(self.path) {
            Ok(Some(theirs)) if self.began_with.as_ref() != Some(&theirs) => {
                match merge(ours, &theirs) {
                    Ok(merged) => content = merged,
                    Err(reason) => self.remark(&format!(
                        "those another build kept meanwhile are dropped: {reason}"
                    )),
                }
            }
            // What cannot be read is replaced.
            _ => {}
        }
        let bytes = content.len() as u64;
        if bytes > MAX_BYTES {
            self.remark(&format!("they outgrew {MAX_BYTES} bytes and begin anew"));
            remove(self.path)?;
            return Ok(0);
        }
        let temporary = beside(self.path, "tmp");
        let replaced =
            write_synced(&temporary, &content).and_then(|()| fs::rename(&temporary, self.path));
        if replaced.is_err() {
            // Where this fails too, the next build writes over it.
            let _ = fs::remove_file(&temporary);
        }
        replaced.map(|()| bytes)
    }

    fn remark(&mut self, what: &str) {
        let path = self.path.display();
        self.timings.remarks.push(format!("timings {path} {what}"));
    }
}

/// The content; `None` where there is no such file, or nothing in it.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if found.len() > MAX_BYTES {
        let what = format!("{} bytes are no timing cache", found.len());
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    let bytes = fs::read(path)?;
    Ok((!bytes.is_empty()).then_some(bytes))
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(ours: &[u8], theirs: &[u8]) -> Vec<u8> {
        [ours, theirs].join(&b"+"[..])
    }

    fn unmerged(_: &[u8], _: &[u8]) -> Result<Vec<u8>, String> {
        panic!("nobody else wrote")
    }

    #[test]
    fn a_build_goes_on_from_the_one_before() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("timings");
        let first = TimingFile::read(&path);
        assert_eq!(first.bytes(), None);
        let kept = first.keep(b"one", unmerged);
        assert_eq!((kept.began_with_bytes, kept.kept_bytes), (0, 3));
        assert!(kept.remarks.is_empty(), "{:?}", kept.remarks);

        let second = TimingFile::read(&path);
        assert_eq!(second.bytes(), Some(&b"one"[..]));
        assert_eq!(second.keep(b"one, two", unmerged).kept_bytes, 8);
        assert_eq!(fs::read(&path).expect("there"), b"one, two");
        assert!(!beside(&path, "tmp").exists());
    }

    #[test]
    fn what_another_build_kept_meanwhile_is_merged() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("timings");
        let (a, b) = (TimingFile::read(&path), TimingFile::read(&path));
        a.keep(b"a", unmerged);
        b.keep(b"b", |ours, theirs| Ok(joined(ours, theirs)));
        assert_eq!(fs::read(&path).expect("there"), b"b+a");

        let (c, d) = (TimingFile::read(&path), TimingFile::read(&path));
        c.keep(b"c", unmerged);
        let kept = d.keep(b"d", |_, _| Err("they do not fit".to_owned()));
        assert_eq!(fs::read(&path).expect("there"), b"d", "the newest stays");
        assert!(kept.remarks[0].contains("they do not fit"), "{kept:?}");
    }

    #[test]
    fn builders_side_by_side_lose_nothing() {
        const BUILDERS: usize = 8;
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("timings");
        std::thread::scope(|scope| {
            for builder in 0..BUILDERS {
                let path = &path;
                scope.spawn(move || {
                    let file = TimingFile::read(path);
                    let own = format!("{builder};");
                    let ours = [file.bytes().unwrap_or_default(), own.as_bytes()].concat();
                    file.keep(&ours, |ours, theirs| Ok([ours, theirs].concat()));
                });
            }
        });
        let text = fs::read_to_string(&path).expect("there");
        for builder in 0..BUILDERS {
            assert!(text.contains(&format!("{builder};")), "{builder}: {text}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_written_costs_a_remark() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let kept = TimingFile::read(folder.path()).keep(b"x", unmerged);
        assert_eq!(kept.kept_bytes, 0);
        assert_eq!(kept.remarks.len(), 2, "neither read nor replaced: {kept:?}");
        assert!(
            !beside(folder.path(), "tmp").exists(),
            "nothing is left of it"
        );

        let path = folder.path().join("large");
        let file = File::create(&path).expect("writable");
        file.set_len(MAX_BYTES + 1).expect("sparse");
        let large = TimingFile::read(&path);
        assert_eq!(large.bytes(), None);
        let kept = large.keep(b"small again", unmerged);
        assert_eq!((kept.kept_bytes, kept.remarks.len()), (11, 1), "{kept:?}");

        let mut strange = TimingFile::read(&path);
        strange.refuse("no timings");
        let kept = strange.keep(b"new", unmerged);
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(kept.began_with_bytes, 0);
        assert!(kept.remarks[0].contains("no timings"), "{kept:?}");
    }
}
