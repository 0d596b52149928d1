//! Finding a profile by name: the user's folder first, then the ready-made ones inside the binary.

use super::{Profile, ProfileError};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The ready-made profiles: name and text.
const READY_MADE: [(&str, &str); 3] = [
    ("default", include_str!("../../profiles/default.yaml")),
    ("rtx", include_str!("../../profiles/rtx.yaml")),
    ("cpu", include_str!("../../profiles/cpu.yaml")),
];

/// Where profiles are found by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    folder: Option<PathBuf>,
}

/// A profile and where it was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ShelvedProfile {
    /// The profile.
    pub profile: Profile,
    /// Where it was found.
    pub origin: Origin,
}

/// Where a profile was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Inside the binary.
    ReadyMade,
    /// A file.
    File(PathBuf),
}

impl Shelf {
    /// The ready-made profiles only.
    pub fn ready_made() -> Self {
        Self { folder: None }
    }

    /// The profiles of a folder, which may be missing, in front of the ready-made ones.
    pub fn with_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Some(folder.into()),
        }
    }

    /// Finds a profile by name, or reads the file `word` names: a word with a path separator or ending in `.yaml`.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn find(&self, word: &str) -> Result<ShelvedProfile, ProfileError> {
        let is_yaml = Path::new(word).extension().is_some_and(|end| end == "yaml");
        if is_yaml || word.contains(std::path::is_separator) {
            return read(Path::new(word));
        }
        if let Some(path) = self.files()?.remove(word) {
            return read(&path);
        }
        match READY_MADE.iter().find(|(name, _)| *name == word) {
            Some((name, text)) => embedded(name, text),
            None => Err(ProfileError::Unknown {
                name: word.to_owned(),
                known: self.names()?,
            }),
        }
    }

    /// Every name, sorted.
    ///
    /// # Errors
    /// [`ProfileError::Read`] when the folder is there and cannot be read.
    pub fn names(&self) -> Result<Vec<String>, ProfileError> {
        let mut names: Vec<String> = self.files()?.into_keys().collect();
        names.extend(READY_MADE.iter().map(|(name, _)| (*name).to_owned()));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn files(&self) -> Result<BTreeMap<String, PathBuf>, ProfileError> {
        let Some(folder) = &self.folder else {
            return Ok(BTreeMap::new());
        };
        let unreadable = |source| ProfileError::Read {
            path: folder.clone(),
            source,
        };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut files = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if let (Some(stem), Some("yaml")) = (
                path.file_stem().and_then(|stem| stem.to_str()),
                path.extension().and_then(|end| end.to_str()),
            ) {
                files.insert(stem.to_owned(), path);
            }
        }
        Ok(files)
    }
}

fn read(path: &Path) -> Result<ShelvedProfile, ProfileError> {
    let text = std::fs::read_to_string(path).map_err(|source| ProfileError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(ShelvedProfile {
        profile: Profile::from_yaml(path, &text)?,
        origin: Origin::File(path.to_owned()),
    })
}

fn embedded(name: &str, text: &str) -> Result<ShelvedProfile, ProfileError> {
    let file = PathBuf::from(format!("profiles/{name}.yaml"));
    Ok(ShelvedProfile {
        profile: Profile::from_yaml(&file, text)?,
        origin: Origin::ReadyMade,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::{Class, Hint};

    #[test]
    fn every_ready_made_profile_is_valid_and_bears_its_name() {
        for (name, _) in READY_MADE {
            let found = Shelf::ready_made().find(name).expect(name);
            assert_eq!(found.profile.name, name);
            assert_eq!(found.origin, Origin::ReadyMade);
        }
    }

    #[test]
    fn a_folder_goes_first() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut profile = Shelf::ready_made().find("cpu").expect("ready-made").profile;
        profile.description = "mine".to_owned();
        let file = folder.path().join("cpu.yaml");
        std::fs::write(&file, profile.to_yaml()).expect("writable");
        std::fs::write(folder.path().join("other.yaml"), profile.to_yaml()).expect("writable");

        let shelf = Shelf::with_folder(folder.path());
        let found = shelf.find("cpu").expect("in the folder");
        assert_eq!(found.profile.description, "mine");
        assert_eq!(found.origin, Origin::File(file.clone()));
        assert_eq!(
            shelf.names().expect("readable"),
            ["cpu", "default", "other", "rtx"]
        );
        let by_path = shelf.find(file.to_str().expect("UTF-8")).expect("by path");
        assert_eq!(by_path, found);
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let shelf = Shelf::with_folder("no/such/folder");
        let error = shelf.find("defualt").expect_err("misspelt");
        assert!(error.to_string().contains("cpu, default, rtx"), "{error}");
        assert_eq!(error.hint().as_deref(), Some("did you mean `default`?"));
        assert_eq!(error.class(), Class::Input);
    }
}
