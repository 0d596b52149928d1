//! Files mapped into memory.
#![expect(unsafe_code, reason = "a mapped file is only as constant as the file")]

use memmap2::Mmap;
use prost::bytes::Bytes;
use std::fs::File;
use std::io;
use std::path::Path;

/// The bytes of a file, mapped and not read; slices of them keep the mapping alive.
///
/// Model files are replaced by renaming and never written in place. One that another program cuts short while it is
/// mapped ends this process with a bus error, as it does in ONNX Runtime.
///
/// # Errors
/// Whatever opening gives; [`io::ErrorKind::InvalidInput`] for what is not an ordinary file.
pub(super) fn map_file(path: &Path) -> io::Result<Bytes> {
    // Looked at before it is opened: opening a pipe waits for its writer.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not an ordinary file",
        ));
    }
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is read-only and private to this process' view; who replaces a model renames a new file over
    // it, which leaves the mapped one as it is.
    let mapping = unsafe { Mmap::map(&file) }?;
    Ok(Bytes::from_owner(mapping))
}
