//! A bundle on this machine.

use super::check::{MANIFEST_FILE, ManifestError, TABLES_FILE};
use super::error::BundleError;
use super::manifest::{GraphSpec, Manifest};
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
    dir: PathBuf,
    manifest: Manifest,
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

const VOICES_FOLDER: &str = "voices/";
const VOICE_SUFFIX: &str = ".safetensors";
/// A real manifest has some kilobytes.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

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
        let known = self.voice_names();
        if !known.iter().any(|voice| voice == name) {
            return Err(BundleError::NoVoice {
                bundle: self.manifest.name.clone(),
                voice: name.to_owned(),
                known,
            });
        }
        let path = self
            .dir
            .join(format!("{VOICES_FOLDER}{name}{VOICE_SUFFIX}"));
        Voice::read(name, &path, &self.manifest)
            .map_err(|source| BundleError::Voice { path, source })
    }

    /// The text tokenizer's file; `None` where the bundle takes no text.
    pub fn tokenizer_path(&self) -> Option<PathBuf> {
        let spec = self.manifest.tokenizer.as_ref()?;
        Some(spec.file.within(&self.dir))
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, BundleError> {
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
    let refused = |source: ManifestError| BundleError::Manifest {
        path: path.to_owned(),
        source: Box::new(source),
    };
    if text.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(refused(ManifestError::TooLarge {
            max_bytes: MAX_MANIFEST_BYTES,
        }));
    }
    Manifest::parse(&text).map_err(refused)
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
    let model = listed(&spec.file);
    let sha256 = if spec.data.is_empty() {
        model
    } else {
        // The model names its weight files, so their digests in order are enough.
        let mut hasher = DigestHasher::default();
        hasher.update(model.as_bytes());
        for file in &spec.data {
            hasher.update(listed(file).as_bytes());
        }
        hasher.finish()
    };
    GraphFile {
        path: spec.file.within(dir),
        data: spec.data.iter().map(|file| file.within(dir)).collect(),
        sha256,
    }
}
