//! Digests remembered by what `stat` says of a file, so that an unchanged one is not read again.

use crate::ids::Digest;
use crate::stat::FileStat;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tracing::{debug, warn};

/// Digests of files, keyed by path, size, modification time and inode.
///
/// Trusts `stat`: content changed behind it goes unseen. A file touched in the last two seconds is not remembered,
/// because a second change could leave the same time stamp.
#[derive(Debug, Default)]
pub struct StatCache {
    file: Option<PathBuf>,
    entries: BTreeMap<String, Entry>,
    added: BTreeMap<String, Entry>,
    hashed_bytes: u64,
}

/// Why remembered digests cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep file digests in {}", path.display())]
pub struct StatCacheError {
    /// The cache's file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Entry {
    #[serde(flatten)]
    stat: FileStat,
    sha256: Digest,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    files: BTreeMap<String, Entry>,
}

const FORMAT: u32 = 1;
const FILE_NAME: &str = "digests.json";
const LOCK_NAME: &str = "digests.lock";
/// Some tens of thousands of files.
const MAX_FILE_BYTES: u64 = 16 << 20;

impl StatCache {
    /// Opens the cache kept in `cache_dir`; the folder is made when something is saved.
    ///
    /// A file that is not such a cache is ignored with a warning: it can only cost time.
    pub fn open(cache_dir: &Path) -> Self {
        let file = cache_dir.join(FILE_NAME);
        Self {
            entries: load(&file),
            file: Some(file),
            ..Self::default()
        }
    }

    /// A cache that is forgotten with the process.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// The digest of a file's content, remembered or computed.
    ///
    /// # Errors
    /// When the file cannot be read, or changes while it is.
    pub fn digest(&mut self, path: &Path) -> io::Result<Digest> {
        let path = fs::canonicalize(path)?;
        let mut file = File::open(&path)?;
        let stat = FileStat::of(&file.metadata()?);
        let key = path.to_str();
        let known = key.and_then(|key| self.added.get(key).or_else(|| self.entries.get(key)));
        if let Some(entry) = known.filter(|entry| entry.stat == stat) {
            debug!(path = %path.display(), "digest known");
            return Ok(entry.sha256);
        }
        let started = SystemTime::now();
        let sha256 = Digest::of_reader(&mut file)?;
        self.hashed_bytes += stat.bytes;
        if FileStat::of(&file.metadata()?) != stat {
            return Err(io::Error::other("the file changed while it was read"));
        }
        if let Some(key) = key.filter(|_| stat.is_settled(started)) {
            self.added.insert(key.to_owned(), Entry { stat, sha256 });
        }
        Ok(sha256)
    }

    /// Bytes read to compute digests since the cache was opened.
    pub fn hashed_bytes(&self) -> u64 {
        self.hashed_bytes
    }

    /// Writes what was learnt; what other processes saved meanwhile stays.
    ///
    /// # Errors
    /// [`StatCacheError`] when the folder cannot be written. The digests stay usable in this process.
    pub fn save(&mut self) -> Result<(), StatCacheError> {
        let Some(path) = self.file.clone() else {
            return Ok(());
        };
        if self.added.is_empty() {
            return Ok(());
        }
        self.merge_into(&path)
            .map_err(|source| StatCacheError { path, source })
    }

    fn merge_into(&mut self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join(LOCK_NAME))?;
        lock.lock()?;

        let mut files = load(path);
        files.append(&mut self.added.clone());
        files.retain(|file, _| Path::new(file).exists());
        let document = Document {
            format: FORMAT,
            files,
        };
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        temporary.write_all(&serde_json::to_vec(&document)?)?;
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|error| error.error)?;

        self.entries = document.files;
        self.added.clear();
        Ok(())
    }
}

fn load(path: &Path) -> BTreeMap<String, Entry> {
    match try_load(path) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => {
            warn!(path = %path.display(), %error, "file digests ignored, files are hashed again");
            BTreeMap::new()
        }
    }
}

fn try_load(path: &Path) -> io::Result<BTreeMap<String, Entry>> {
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("larger than such a cache can be"));
    }
    let document: Document = serde_json::from_slice(&text)?;
    if document.format != FORMAT {
        return Err(io::Error::other(format!(
            "format is {}, this program reads {FORMAT}",
            document.format
        )));
    }
    Ok(document.files)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{set_age, write_file};
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn an_unchanged_file_is_hashed_once_across_processes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (cache_dir, file) = (dir.path().join("cache/deep"), dir.path().join("file"));
        write_file(&file, b"abc");
        for hashed in [3, 0] {
            let mut cache = StatCache::open(&cache_dir);
            for _ in 0..2 {
                assert_eq!(cache.digest(&file).expect("reads"), Digest::of(b"abc"));
            }
            assert_eq!(cache.hashed_bytes(), hashed);
            cache.save().expect("saved");
        }
    }

    #[test]
    fn a_change_of_time_size_or_inode_is_seen() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("file");
        let mut cache = StatCache::in_memory();
        let mut digest = |path: &Path| cache.digest(path).expect("reads");
        write_file(&file, b"first");
        assert_eq!(digest(&file), Digest::of(b"first"));

        fs::write(&file, b"other").expect("written");
        set_age(&file, Duration::from_mins(1));
        assert_eq!(digest(&file), Digest::of(b"other"), "another time");

        let time = fs::metadata(&file)
            .and_then(|stat| stat.modified())
            .expect("a time");
        let keep_time = |path: &Path| {
            let file = File::options().append(true).open(path).expect("opens");
            file.set_modified(time).expect("sets its time");
        };
        fs::write(&file, b"longer").expect("written");
        keep_time(&file);
        assert_eq!(digest(&file), Digest::of(b"longer"), "another size");

        let beside = dir.path().join("beside");
        fs::write(&beside, b"latest").expect("written");
        keep_time(&beside);
        fs::rename(&beside, &file).expect("replaced");
        assert_eq!(digest(&file), Digest::of(b"latest"), "another inode");
    }

    #[test]
    fn a_file_just_written_is_not_remembered() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("file");
        let mut cache = StatCache::in_memory();
        for age in [Duration::ZERO, Duration::from_secs(1)] {
            fs::write(&file, b"abc").expect("written");
            set_age(&file, age);
            cache.digest(&file).expect("reads");
        }
        assert!(cache.added.is_empty());
    }

    #[test]
    fn an_unusable_cache_file_is_ignored_and_replaced() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("file");
        write_file(&file, b"abc");
        let cache_file = dir.path().join(FILE_NAME);
        let sound = {
            let mut cache = StatCache::open(dir.path());
            cache.digest(&file).expect("reads");
            cache.save().expect("saved");
            fs::read(&cache_file).expect("there")
        };
        let other_format = String::from_utf8_lossy(&sound).replace("\"format\":1", "\"format\":2");
        let wrong: [&[u8]; 6] = [
            b"",
            b"{\"someone\": \"else's\"}",
            &sound[..sound.len() / 2],
            &[0xff; 100],
            other_format.as_bytes(),
            b"[[[[[[",
        ];
        for content in wrong {
            fs::write(&cache_file, content).expect("written");
            let mut cache = StatCache::open(dir.path());
            assert!(cache.entries.is_empty());
            assert_eq!(cache.digest(&file).expect("reads"), Digest::of(b"abc"));
            cache.save().expect("saved");
            assert_eq!(StatCache::open(dir.path()).entries.len(), 1);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_only_the_memory() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("file");
        write_file(&file, b"abc");
        let mut cache = StatCache::open(&file.join("no-folder"));
        assert_eq!(cache.digest(&file).expect("reads"), Digest::of(b"abc"));
        cache.save().expect_err("a file is no folder");
        cache.digest(&file).expect("still known");
        assert_eq!(cache.hashed_bytes(), 3);
    }

    #[test]
    fn concurrent_writers_lose_nothing() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cache_dir = dir.path().join("cache");
        let files: Vec<_> = (0..16)
            .map(|i| dir.path().join(format!("file{i}")))
            .collect();
        for file in &files {
            write_file(file, b"abc");
        }
        std::thread::scope(|scope| {
            for file in &files {
                scope.spawn(|| {
                    let mut cache = StatCache::open(&cache_dir);
                    cache.digest(file).expect("reads");
                    cache.save().expect("saved");
                });
            }
        });
        assert_eq!(StatCache::open(&cache_dir).entries.len(), files.len());
    }

    #[test]
    fn files_that_are_gone_are_forgotten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in ["first", "second"] {
            let file = dir.path().join(name);
            write_file(&file, b"abc");
            let mut cache = StatCache::open(dir.path());
            cache.digest(&file).expect("reads");
            cache.save().expect("saved");
            assert_eq!(cache.entries.len(), 1);
            fs::remove_file(&file).expect("removed");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Whatever is written when, and whether or not the cache was saved in between, the digest is the content's.
        #[test]
        fn the_digest_is_always_the_contents(
            steps in prop::collection::vec((0..3_usize, any::<u8>(), any::<bool>()), 1..24),
        ) {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let mut cache = StatCache::open(dir.path());
            for (step, (which, content, reopen)) in steps.into_iter().enumerate() {
                let file = dir.path().join(format!("file{which}"));
                let beside = dir.path().join("beside");
                fs::write(&beside, [content]).expect("written");
                set_age(&beside, Duration::from_secs(10_000 - step as u64));
                fs::rename(&beside, &file).expect("replaced");
                prop_assert_eq!(cache.digest(&file).expect("reads"), Digest::of(&[content]));
                if reopen {
                    cache.save().expect("saved");
                    cache = StatCache::open(dir.path());
                }
            }
        }
    }
}
