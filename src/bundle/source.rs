//! Which checkpoint a bundle was exported from.

use super::checkpoint;
use super::stat_cache::StatCache;
use crate::ids::{Digest, DigestHasher};
use std::io;
use std::path::Path;

/// The digest a bundle of this checkpoint has as its `source.digest`; `None` where a file of it is missing.
///
/// Over the digests and names of its weights, in the order of their names; files `digests` knows are not read.
///
/// # Errors
/// When a file cannot be read, or changes while it is.
///
/// Source: `scripts/export/bundle.py`, `digest_of`.
pub fn checkpoint_digest(folder: &Path, digests: &mut StatCache) -> io::Result<Option<Digest>> {
    let mut total = DigestHasher::default();
    for stem in checkpoint::weights() {
        let Some(name) = checkpoint::weights_file(folder, stem) else {
            return Ok(None);
        };
        let digest = digests.digest(&folder.join(&name))?;
        total.update(format!("{digest}  {name}\n").as_bytes());
    }
    Ok(Some(total.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_file_and_its_name_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let digest = || {
            checkpoint_digest(folder.path(), &mut StatCache::in_memory()).expect("files that read")
        };
        for name in ["llm.pt", "flow.pt"] {
            fs::write(folder.path().join(name), name).expect("written");
            assert_eq!(digest(), None, "hift is missing");
        }
        fs::write(folder.path().join("hift.safetensors"), "").expect("written");
        let first = digest().expect("complete");
        // sha256sum flow.pt hift.safetensors llm.pt | sha256sum
        let listing = ["flow.pt", "hift.safetensors", "llm.pt"].map(|name| {
            let content = fs::read(folder.path().join(name)).expect("reads");
            format!("{}  {name}\n", Digest::of(&content))
        });
        assert_eq!(first, Digest::of(listing.concat().as_bytes()));
        fs::write(folder.path().join("llm.pt"), "other").expect("written");
        assert_ne!(digest(), Some(first));
    }
}
