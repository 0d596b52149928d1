//! What `stat` says of a file: enough to know, without reading it, that it is the one that was hashed.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Size, modification time and inode of a file.
///
/// Two of them alike stand for the same content, unless someone changed it behind the stat or the first was taken before
/// the file had settled ([`Self::is_settled`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileStat {
    /// Size.
    pub bytes: u64,
    mtime_s: i64,
    mtime_ns: i64,
    inode: u64,
}

/// As coarse as time stamps get (FAT).
const SETTLED: Duration = Duration::from_secs(2);

impl FileStat {
    /// What is known of an open file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            mtime_s: metadata.mtime(),
            mtime_ns: metadata.mtime_nsec(),
            inode: metadata.ino(),
        }
    }

    /// What is known of a file by its path.
    ///
    /// # Errors
    /// When there is none, or something else than a file.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a file"));
        }
        Ok(Self::of(&metadata))
    }

    /// Whether a change made after `read_at`, when the file began to be read, has another time stamp for sure.
    ///
    /// A file touched within the last two seconds has not settled, and is not to be remembered.
    pub fn is_settled(&self, read_at: SystemTime) -> bool {
        let Ok(seconds) = u64::try_from(self.mtime_s) else {
            return true;
        };
        let modified = UNIX_EPOCH + Duration::from_secs(seconds);
        let nanoseconds = Duration::from_nanos(u64::try_from(self.mtime_ns).unwrap_or(0));
        read_at
            .duration_since(modified + nanoseconds)
            .is_ok_and(|age| age >= SETTLED)
    }
}
