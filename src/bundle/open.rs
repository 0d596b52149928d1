//! A bundle on this machine.

use super::check::{MANIFEST_FILE, TABLES_FILE};
use super::error::BundleError;
use super::manifest::{GraphSpec, Manifest};
use super::manifest_error::ManifestError;
use super::stat_cache::StatCache;
use super::tables::Tables;
use super::voice::Voice;
use crate::ids::{Digest, DigestHasher, GraphId};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use tracing::warn;

/// An opened bundle: its manifest is sound, and every listed file is there with the listed size.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub(super) dir: PathBuf,
    pub(super) manifest: Manifest,
    graphs: BTreeMap<GraphId, GraphFile>,
}

/// The files of one graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphFile {
    /// The ONNX file.
    pub path: PathBuf,
    /// External weights.
    pub data: Vec<PathBuf>,
    /// Listed content of the ONNX file and, where there are any, of the external weights in order.
    pub sha256: Digest,
}

impl GraphFile {
    /// The content its files have now, to compare with `sha256`; files `digests` knows are not read.
    ///
    /// # Errors
    /// [`BundleError::Read`].
    pub fn content(&self, digests: &mut StatCache) -> Result<Digest, BundleError> {
        let mut digest = |path: &PathBuf| {
            digests.digest(path).map_err(|source| BundleError::Read {
                path: path.clone(),
                source,
            })
        };
        let model = digest(&self.path)?;
        let data = self
            .data
            .iter()
            .map(digest)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(combined(model, &data))
    }
}

pub(super) const VOICES_FOLDER: &str = "voices/";
pub(super) const VOICE_SUFFIX: &str = ".safetensors";
/// Room for two thousand files.
const MAX_MANIFEST_BYTES: u64 = 256 << 10;

impl Bundle {
    /// Opens the bundle in `dir`. Reads the manifest only; of the other files it looks at the size.
    ///
    /// # Errors
    /// [`BundleError`] when the manifest cannot be read or is unsound, or a listed file is missing or has another size.
    pub fn open(dir: &Path) -> Result<Self, BundleError> {
        let manifest = read_manifest(&dir.join(MANIFEST_FILE))?;
        for (file, spec) in &manifest.files {
            check_size(dir, file.as_str(), spec.bytes)?;
        }
        let graphs = manifest
            .graphs
            .iter()
            .map(|(graph, spec)| (*graph, graph_file(dir, spec, &manifest)))
            .collect();
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            graphs,
        })
    }

    /// The bundle's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The graphs it has.
    pub fn graphs(&self) -> impl Iterator<Item = GraphId> + '_ {
        self.graphs.keys().copied()
    }

    /// The files of a graph.
    ///
    /// # Errors
    /// [`BundleError::NoGraph`] when the bundle lacks it.
    pub fn graph_file(&self, graph: GraphId) -> Result<&GraphFile, BundleError> {
        self.graphs.get(&graph).ok_or_else(|| BundleError::NoGraph {
            bundle: self.manifest.name.clone(),
            graph,
            known: self.graphs().collect(),
        })
    }

    /// Compares the content of every listed file with its listed SHA-256; files `digests` knows are not read.
    ///
    /// # Errors
    /// [`BundleError::Content`] for the first file that differs, [`BundleError::Read`] for one that cannot be read.
    pub fn verify(&self, digests: &mut StatCache) -> Result<(), BundleError> {
        let outcome = self.manifest.files.iter().try_for_each(|(file, spec)| {
            let path = file.within(&self.dir);
            let found = digests
                .digest(&path)
                .map_err(|source| BundleError::Read { path, source })?;
            if found == spec.sha256 {
                return Ok(());
            }
            Err(BundleError::Content {
                dir: self.dir.clone(),
                file: file.clone(),
                listed: spec.sha256,
                found,
            })
        });
        if let Err(error) = digests.save() {
            warn!(%error, cause = %error.source, "files will be hashed again next time");
        }
        outcome
    }

    /// Maps the host's tensors.
    ///
    /// # Errors
    /// [`BundleError::Tables`] when a tensor is missing or does not fit the manifest.
    pub fn tables(&self) -> Result<Tables, BundleError> {
        Tables::open(&self.dir.join(TABLES_FILE), &self.manifest)
    }

    /// The names of the voices, sorted.
    pub fn voice_names(&self) -> Vec<String> {
        self.manifest
            .files
            .keys()
            .filter_map(|file| {
                let name = file
                    .as_str()
                    .strip_prefix(VOICES_FOLDER)?
                    .strip_suffix(VOICE_SUFFIX)?;
                (!name.contains('/')).then(|| name.to_owned())
            })
            .collect()
    }

    /// Reads a voice.
    ///
    /// # Errors
    /// [`BundleError::NoVoice`] when the bundle lacks it, [`BundleError::Voice`] when its file is unsound.
    pub fn voice(&self, name: &str) -> Result<Voice, BundleError> {
        if !self.voice_names().iter().any(|voice| voice == name) {
            return Err(self.no_voice(name));
        }
        let path = self.voice_path(name);
        Voice::read(name, &path, &self.manifest)
            .map_err(|source| BundleError::Voice { path, source })
    }

    /// Where a voice of this name is, or would be.
    pub fn voice_path(&self, name: &str) -> PathBuf {
        self.dir
            .join(format!("{VOICES_FOLDER}{name}{VOICE_SUFFIX}"))
    }

    pub(super) fn no_voice(&self, name: &str) -> BundleError {
        BundleError::NoVoice {
            bundle: self.manifest.name.clone(),
            voice: name.to_owned(),
            known: self.voice_names(),
        }
    }

    /// The text tokenizer's file; `None` where the bundle takes no text.
    pub fn tokenizer_path(&self) -> Option<PathBuf> {
        let spec = self.manifest.tokenizer.as_ref()?;
        Some(spec.file.within(&self.dir))
    }
}

pub(super) fn read_manifest(path: &Path) -> Result<Manifest, BundleError> {
    let read = |source| BundleError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(BundleError::NoManifest {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(read(error)),
    };
    let mut text = String::new();
    file.take(MAX_MANIFEST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(read)?;
    parse_manifest(path, &text)
}

/// A manifest that is to be read from `path`, or was.
pub(super) fn parse_manifest(path: &Path, text: &str) -> Result<Manifest, BundleError> {
    let parsed = if text.len() as u64 > MAX_MANIFEST_BYTES {
        Err(ManifestError::TooLarge {
            max_bytes: MAX_MANIFEST_BYTES,
        })
    } else {
        Manifest::parse(text)
    };
    parsed.map_err(|source| BundleError::Manifest {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

fn check_size(dir: &Path, file: &str, listed: u64) -> Result<(), BundleError> {
    let path = dir.join(file);
    let missing = || BundleError::Missing {
        dir: dir.to_owned(),
        file: file.to_owned(),
    };
    let stat = match fs::metadata(&path) {
        Ok(stat) => stat,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        Err(source) => return Err(BundleError::Read { path, source }),
    };
    if !stat.is_file() {
        return Err(missing());
    }
    if stat.len() != listed {
        return Err(BundleError::Size {
            dir: dir.to_owned(),
            file: file.to_owned(),
            listed,
            found: stat.len(),
        });
    }
    Ok(())
}

fn graph_file(dir: &Path, spec: &GraphSpec, manifest: &Manifest) -> GraphFile {
    let listed = |file| manifest.files[file].sha256;
    let data: Vec<Digest> = spec.data.iter().map(listed).collect();
    GraphFile {
        path: spec.file.within(dir),
        data: spec.data.iter().map(|file| file.within(dir)).collect(),
        sha256: combined(listed(&spec.file), &data),
    }
}

/// The model names its weight files, so their digests in order are enough.
fn combined(model: Digest, data: &[Digest]) -> Digest {
    if data.is_empty() {
        return model;
    }
    let mut hasher = DigestHasher::default();
    hasher.update(model.as_bytes());
    for digest in data {
        hasher.update(digest.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::hint::Hint;

    fn bundle_in(dir: &Path) -> Bundle {
        fixture::write(dir);
        Bundle::open(dir).expect("the fixture opens")
    }

    #[test]
    fn a_sound_bundle_opens() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let bundle = bundle_in(dir.path());
        assert_eq!(bundle.graphs().count(), 5);
        assert_eq!(bundle.voice_names(), ["one"]);
        assert_eq!(bundle.voice("one").expect("there"), fixture::voice());
        assert_eq!(
            bundle.tokenizer_path(),
            Some(dir.path().join("tokenizer.json"))
        );
        bundle.tables().expect("sound");
        bundle
            .verify(&mut StatCache::in_memory())
            .expect("as listed");
    }

    #[test]
    fn a_missing_cut_or_grown_file_is_refused_by_name() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 4] = [
            ("is listed but is not there", |path| {
                fs::remove_file(path).expect("removed");
            }),
            ("has 17 bytes", |path| {
                fixture::write_file(path, b"content of hift_f");
            }),
            ("has 25 bytes", |path| {
                fixture::write_file(path, b"content of hift_f0.onnx..");
            }),
            ("is listed but is not there", |path| {
                fs::remove_file(path).expect("removed");
                fs::create_dir(path).expect("a folder in its place");
            }),
        ];
        for (expected, damage) in damages {
            let dir = tempfile::tempdir().expect("a temporary folder");
            bundle_in(dir.path());
            damage(&dir.path().join("hift_f0.onnx"));
            let error = Bundle::open(dir.path()).expect_err(expected);
            let text = error.to_string();
            assert!(
                text.contains("hift_f0.onnx") && text.contains(expected),
                "{text}"
            );
            assert!(error.hint().expect("a fix").contains("copy hift_f0.onnx"));
        }
    }

    #[test]
    fn changed_content_of_the_same_size_is_found_by_verify() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let bundle = bundle_in(dir.path());
        let mut digests = StatCache::in_memory();
        bundle.verify(&mut digests).expect("as listed");
        fixture::write_file(
            &dir.path().join("llm.onnx.data"),
            b"CONTENT of llm.onnx.data",
        );
        assert!(Bundle::open(dir.path()).is_ok(), "the sizes are right");
        match bundle.verify(&mut digests) {
            Err(BundleError::Content { file, found, .. }) => {
                assert_eq!(file.as_str(), "llm.onnx.data");
                assert_eq!(found, Digest::of(b"CONTENT of llm.onnx.data"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_graphs_digest_covers_its_external_weights() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let bundle = bundle_in(dir.path());
        let llm = bundle.graph_file(GraphId::Llm).expect("there").clone();
        assert_eq!(llm.data, [dir.path().join("llm.onnx.data")]);
        let f0 = bundle.graph_file(GraphId::HiftF0).expect("there");
        assert_eq!(f0.sha256, Digest::of(b"content of hift_f0.onnx"));

        let mut files = fixture::files();
        files.insert("llm.onnx.data".to_owned(), b"other weights".to_vec());
        fixture::write_file(&dir.path().join("llm.onnx.data"), &files["llm.onnx.data"]);
        fixture::write_file(
            &dir.path().join(MANIFEST_FILE),
            fixture::manifest_text(&files).as_bytes(),
        );
        let other = Bundle::open(dir.path()).expect("opens");
        assert_ne!(
            other.graph_file(GraphId::Llm).expect("there").sha256,
            llm.sha256
        );
    }

    #[test]
    fn what_the_bundle_lacks_is_said_with_what_it_has() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let bundle = bundle_in(dir.path());
        let error = bundle.graph_file(GraphId::Campplus).expect_err("not there");
        assert!(error.to_string().contains("hift_decode"), "{error}");
        let error = bundle.voice("ona").expect_err("not there");
        assert!(error.hint().expect("a fix").contains("one"));
        assert!(bundle.voice("../voices/one").is_err());
    }

    #[test]
    fn a_manifest_that_cannot_be_used_is_an_error() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let manifest = dir.path().join(MANIFEST_FILE);
        assert!(matches!(
            Bundle::open(dir.path()),
            Err(BundleError::NoManifest { .. })
        ));
        fs::write(&manifest, vec![b'#'; 1 << 20]).expect("written");
        assert!(matches!(
            Bundle::open(dir.path()),
            Err(BundleError::Manifest { .. })
        ));
        fs::write(&manifest, [0xff, 0xfe]).expect("written");
        assert!(matches!(
            Bundle::open(dir.path()),
            Err(BundleError::Read { .. })
        ));
        fs::write(&manifest, "format: 1\nnmae: x\n").expect("written");
        let error = Bundle::open(dir.path()).expect_err("a misspelt field");
        assert_eq!(error.hint().as_deref(), Some("did you mean `name`?"));
    }
}
