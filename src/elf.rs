//! Shared libraries as files: whether one is whole, asked before the loader maps it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// A library that ends before its own segments do.
///
/// The loader maps segments without comparing them with the file, and a process that touches a page behind the file's end
/// is killed (SIGBUS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file is cut short: it has {bytes} bytes of at least {needed}")]
pub struct CutShort {
    /// Bytes there are.
    pub bytes: u64,
    /// Bytes its segments take.
    pub needed: u64,
}

const HEADER_BYTES: usize = 64;
/// Magic number, 64 bits, little-endian.
const IDENT: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
const LOADED_SEGMENT: u32 = 1;

/// Refuses a library that is cut short. What cannot be read, or is no library of this machine's kind, passes: the loader
/// refuses that in its own words.
///
/// # Errors
/// [`CutShort`].
///
/// Source: the ELF-64 object file format, version 1.5, file header and program header.
pub fn refuse_cut_short(path: &Path) -> Result<(), CutShort> {
    let Ok((bytes, needed)) = extent(path) else {
        return Ok(());
    };
    if bytes < needed {
        return Err(CutShort { bytes, needed });
    }
    Ok(())
}

/// Bytes of a file, and bytes its header and loaded segments take.
fn extent(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header)?;
    if header[..IDENT.len()] != IDENT {
        return Ok((bytes, 0));
    }
    let table = u64_at(&header, 32);
    let (entry_bytes, entries) = (u16_at(&header, 54), u16_at(&header, 56));
    let table_end = table.saturating_add(u64::from(entry_bytes) * u64::from(entries));
    if table_end > bytes || usize::from(entry_bytes) < SEGMENT_BYTES {
        return Ok((bytes, table_end));
    }
    let mut needed = table_end;
    file.seek(SeekFrom::Start(table))?;
    let mut entry = vec![0; usize::from(entry_bytes)];
    for _ in 0..entries {
        file.read_exact(&mut entry)?;
        if u32_at(&entry, 0) == LOADED_SEGMENT {
            let (offset, size) = (u64_at(&entry, 8), u64_at(&entry, 32));
            needed = needed.max(offset.saturating_add(size));
        }
    }
    Ok((bytes, needed))
}

/// Bytes of a program header's entry.
const SEGMENT_BYTES: usize = 56;

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The program itself is an ELF file of this machine.
    fn program() -> Vec<u8> {
        fs::read(std::env::current_exe().expect("a path")).expect("it reads")
    }

    fn check(bytes: &[u8]) -> Result<(), CutShort> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lib.so");
        fs::write(&path, bytes).expect("written");
        refuse_cut_short(&path)
    }

    #[test]
    fn a_whole_file_passes_and_a_cut_one_does_not() {
        let whole = program();
        assert_eq!(check(&whole), Ok(()));
        let CutShort { needed, .. } = check(&whole[..4096]).expect_err("cut");
        let needed = usize::try_from(needed).expect("small");
        assert!(needed <= whole.len());
        assert_eq!(check(&whole[..needed]), Ok(()));
        assert!(check(&whole[..needed - 1]).is_err());
    }

    #[test]
    fn what_is_no_library_is_left_to_the_loader() {
        for bytes in [&b""[..], b"\x7fELF", &[0; 200]] {
            assert_eq!(check(bytes), Ok(()));
        }
        assert_eq!(refuse_cut_short(Path::new("/no/such/file")), Ok(()));
    }

    #[test]
    fn a_damaged_header_never_panics() {
        let head = program()[..1024].to_vec();
        for at in 0..head.len() {
            let mut damaged = head.clone();
            damaged[at] ^= 0xff;
            let _ = check(&damaged);
        }
    }
}
