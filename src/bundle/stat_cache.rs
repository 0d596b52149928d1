//! Digests remembered by what `stat` says of a file, so that an unchanged one is not read again.

use crate::ids::Digest;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
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
#[serde(deny_unknown_fields)]
struct Entry {
    bytes: u64,
    mtime_s: i64,
    mtime_ns: i64,
    inode: u64,
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
/// As coarse as time stamps get (FAT).
const SETTLED: Duration = Duration::from_secs(2);

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
        let before = file.metadata()?;
        let key = path.to_str();
        let known = key.and_then(|key| self.added.get(key).or_else(|| self.entries.get(key)));
        if let Some(entry) = known.filter(|entry| entry.describes(&before)) {
            debug!(path = %path.display(), "digest known");
            return Ok(entry.sha256);
        }
        let started = SystemTime::now();
        let sha256 = Digest::of_reader(&mut file)?;
        self.hashed_bytes += before.len();
        let entry = Entry::new(&before, sha256);
        if !entry.describes(&file.metadata()?) {
            return Err(io::Error::other("the file changed while it was read"));
        }
        let settled = before
            .modified()
            .ok()
            .and_then(|modified| started.duration_since(modified).ok())
            .is_some_and(|age| age >= SETTLED);
        if let Some(key) = key.filter(|_| settled) {
            self.added.insert(key.to_owned(), entry);
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

impl Entry {
    fn new(stat: &Metadata, sha256: Digest) -> Self {
        Self {
            bytes: stat.len(),
            mtime_s: stat.mtime(),
            mtime_ns: stat.mtime_nsec(),
            inode: stat.ino(),
            sha256,
        }
    }

    fn describes(&self, stat: &Metadata) -> bool {
        *self == Self::new(stat, self.sha256)
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
