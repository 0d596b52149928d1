//! Read-only memory maps of bundle files.
#![expect(
    unsafe_code,
    reason = "a memory map is only as sound as the rule that nobody edits the file under it"
)]

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The bytes of a file, mapped: pages are read when touched and shared by every process that maps them.
#[derive(Debug, Clone)]
pub(super) struct MappedFile(Arc<Mmap>);

impl MappedFile {
    /// Maps a file of a bundle.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Looked at before it is opened: opening a pipe waits for its writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not an ordinary file",
            ));
        }
        let file = File::open(path)?;
        // SAFETY: the bytes must not change while mapped. Whoever writes a bundle replaces its files by rename and
        // never edits one in place (onnx/README.md), so the mapped inode keeps its content until the map is dropped.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self(Arc::new(map)))
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
