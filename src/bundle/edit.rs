//! Voices put into a bundle and taken out of it, and its ranges kept.
//!
//! Readers take no lock. So a change is a sequence of writes after each of which the bundle is whole: a file is listed
//! only while it is there with the listed content. Whatever stops in between leaves at most a file that nothing lists.

use super::check::MANIFEST_FILE;
use super::error::BundleError;
use super::manifest::{FileSpec, Manifest};
use super::open::{Bundle, VOICE_SUFFIX, VOICES_FOLDER, parse_manifest, read_manifest};
use super::path::BundlePath;
use super::voice::{Voice, VoiceError};
use super::whole_file::write_whole;
use crate::ids::Digest;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Writes a file as [`write_whole`] does.
type Write<'a> = &'a mut dyn FnMut(&Path, &[u8]) -> io::Result<()>;

impl Bundle {
    /// Puts a voice into the bundle's folder, and lists it; waits for others that change the bundle.
    ///
    /// While a voice of the same name is replaced, the bundle has neither for a moment.
    ///
    /// # Errors
    /// [`BundleError::VoiceExists`] where there is one of the name and `replace` is not set, [`BundleError::Voice`] where
    /// the voice does not fit, [`BundleError::Write`] where the folder takes no files. The bundle is whole in each case.
    pub fn add_voice(&mut self, voice: &Voice, replace: bool) -> Result<(), BundleError> {
        self.add(voice, replace, &mut write_whole)
    }

    /// Takes a voice off the bundle's list, and removes its file.
    ///
    /// # Errors
    /// [`BundleError::NoVoice`] where there is none of the name, [`BundleError::Write`] where the folder is read-only.
    pub fn remove_voice(&mut self, name: &str) -> Result<(), BundleError> {
        self.remove(name, &mut write_whole)
    }

    /// Keeps the ranges of a bundle's values, in the place of those it had; waits for others that change the bundle.
    ///
    /// # Errors
    /// [`BundleError::Write`] where the folder takes no files; the bundle is whole all the same.
    pub fn keep_ranges(&mut self, content: &[u8]) -> Result<(), BundleError> {
        let _lock = self.lock()?;
        self.read_again()?;
        let sha256 = Digest::of(content);
        // Named by its content: a new file never stands where a reader of the old manifest looks for the old one.
        let name = format!("ranges-{}.json", sha256.short());
        let file = BundlePath::try_from(name).expect("digits and letters only");
        if self.manifest.ranges.as_ref() == Some(&file) {
            return Ok(());
        }
        let path = file.within(&self.dir);
        write_whole(&path, content).map_err(|source| BundleError::Write { path, source })?;
        let spec = FileSpec {
            bytes: content.len() as u64,
            sha256,
        };
        let old = self.manifest.ranges.clone();
        self.relist(&mut write_whole, |manifest| {
            manifest.files.insert(file.clone(), spec);
            if let Some(old) = manifest.ranges.replace(file) {
                manifest.files.remove(&old);
            }
        })?;
        let Some(path) = old.map(|old| old.within(&self.dir)) else {
            return Ok(());
        };
        fs::remove_file(&path).map_err(|source| BundleError::Write { path, source })
    }

    fn add(&mut self, voice: &Voice, replace: bool, write: Write<'_>) -> Result<(), BundleError> {
        let _lock = self.lock()?;
        self.read_again()?;
        let content = voice.to_bytes(&self.manifest);
        let (file, content) = content
            .and_then(|content| Ok((file_of(&voice.name)?, content)))
            .map_err(|source| BundleError::Voice {
                path: self.dir.join(VOICES_FOLDER),
                source,
            })?;
        if self.manifest.files.contains_key(&file) {
            if !replace {
                return Err(BundleError::VoiceExists {
                    bundle: self.manifest.name.clone(),
                    voice: voice.name.clone(),
                });
            }
            self.relist(write, |manifest| {
                manifest.files.remove(&file);
            })?;
        }
        let path = file.within(&self.dir);
        fs::create_dir_all(self.dir.join(VOICES_FOLDER))
            .and_then(|()| write(&path, &content))
            .map_err(|source| BundleError::Write { path, source })?;
        let spec = FileSpec {
            bytes: content.len() as u64,
            sha256: Digest::of(&content),
        };
        self.relist(write, |manifest| {
            manifest.files.insert(file, spec);
        })
    }

    fn remove(&mut self, name: &str, write: Write<'_>) -> Result<(), BundleError> {
        let _lock = self.lock()?;
        self.read_again()?;
        let listed = file_of(name)
            .ok()
            .filter(|file| self.manifest.files.contains_key(file));
        let Some(file) = listed else {
            return Err(self.no_voice(name));
        };
        self.relist(write, |manifest| {
            manifest.files.remove(&file);
        })?;
        let path = file.within(&self.dir);
        fs::remove_file(&path).map_err(|source| BundleError::Write { path, source })
    }

    /// The folder itself is locked, so that nothing is left in it; the system lets go when the process ends in any way.
    fn lock(&self) -> Result<File, BundleError> {
        let locked = File::open(&self.dir).and_then(|folder| {
            folder.lock()?;
            Ok(folder)
        });
        locked.map_err(|source| BundleError::Write {
            path: self.dir.join(MANIFEST_FILE),
            source,
        })
    }

    /// Somebody else may have changed the bundle since it was opened.
    fn read_again(&mut self) -> Result<(), BundleError> {
        self.manifest = read_manifest(&self.dir.join(MANIFEST_FILE))?;
        Ok(())
    }

    /// Writes the manifest with a change, which must leave it one that can be read.
    fn relist(
        &mut self,
        write: Write<'_>,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<(), BundleError> {
        let path = self.dir.join(MANIFEST_FILE);
        let mut manifest = self.manifest.clone();
        change(&mut manifest);
        let written = serde_yaml::to_string(&manifest).map_err(io::Error::other);
        let text = match written {
            Ok(text) => text,
            Err(source) => return Err(BundleError::Write { path, source }),
        };
        self.manifest = parse_manifest(&path, &text)?;
        write(&path, text.as_bytes()).map_err(|source| BundleError::Write { path, source })
    }
}

fn file_of(name: &str) -> Result<BundlePath, VoiceError> {
    let refused = |_| VoiceError::Name {
        name: name.to_owned(),
    };
    BundlePath::try_from(format!("{VOICES_FOLDER}{name}{VOICE_SUFFIX}")).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::super::{StatCache, fixture};
    use super::*;
    use crate::hint::{Class, Hint};

    fn bundle_in(dir: &Path) -> Bundle {
        fixture::write(dir);
        Bundle::open(dir).expect("the fixture opens")
    }

    fn named(name: &str) -> Voice {
        Voice {
            name: name.to_owned(),
            ..fixture::voice()
        }
    }

    /// Opens the bundle as a stranger would, and reads all of it.
    fn whole(dir: &Path) -> Bundle {
        let bundle = Bundle::open(dir).expect("it opens");
        bundle
            .verify(&mut StatCache::in_memory())
            .expect("it holds what it lists");
        for name in bundle.voice_names() {
            bundle.voice(&name).expect("a sound voice");
        }
        bundle
    }

    #[test]
    fn ranges_take_the_place_of_those_before() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut bundle = bundle_in(dir.path());
        let mut files = Vec::new();
        for content in [b"one", b"two", b"two"] {
            bundle.keep_ranges(content).expect("kept");
            let there = whole(dir.path());
            assert_eq!(there.manifest(), bundle.manifest());
            let file = there.manifest().ranges.clone().expect("listed");
            assert_eq!(fs::read(file.within(dir.path())).expect("there"), content);
            files.push(file);
        }
        assert!(!files[0].within(dir.path()).exists());
    }

    #[test]
    fn voices_come_and_go_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut bundle = bundle_in(dir.path());
        let before = bundle.manifest().clone();
        let two = Voice {
            transcript: None,
            ..named("two: \"声\" #")
        };
        bundle.add_voice(&two, false).expect("added");
        assert_eq!(whole(dir.path()).voice(&two.name).expect("there"), two);
        assert_eq!(bundle.voice(&two.name).expect("known here, too"), two);

        let again = bundle.add_voice(&two, false).expect_err("there is one");
        assert!(matches!(again, BundleError::VoiceExists { .. }), "{again}");
        let louder = Voice {
            embedding: vec![2.0; 192],
            ..two.clone()
        };
        bundle.add_voice(&louder, true).expect("replaced");
        assert_eq!(whole(dir.path()).voice(&two.name).expect("there"), louder);

        bundle.remove_voice(&two.name).expect("removed");
        assert_eq!(whole(dir.path()).manifest(), &before);
        assert!(!dir.path().join("voices").join(two.name).exists());
        let gone = bundle.remove_voice("two").expect_err("there is none");
        assert!(matches!(gone, BundleError::NoVoice { .. }), "{gone}");
    }

    #[test]
    fn what_others_changed_meanwhile_stays() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut first = bundle_in(dir.path());
        let mut second = first.clone();
        first.add_voice(&named("two"), false).expect("added");
        second.add_voice(&named("three"), false).expect("added");
        assert_eq!(whole(dir.path()).voice_names(), ["one", "three", "two"]);
        assert!(first.add_voice(&named("three"), false).is_err());
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let bundle = bundle_in(dir.path());
        std::thread::scope(|scope| {
            for index in 0..8 {
                let mut bundle = bundle.clone();
                scope.spawn(move || bundle.add_voice(&named(&format!("v{index}")), false));
            }
        });
        assert_eq!(whole(dir.path()).voice_names().len(), 9);
    }

    #[test]
    fn a_change_that_stops_at_any_write_leaves_the_bundle_whole() {
        type Change = fn(&mut Bundle, Write<'_>) -> Result<(), BundleError>;
        let changes: [(Change, &[&str]); 3] = [
            (
                |bundle, write| bundle.add(&named("two"), false, write),
                &["one", "two"],
            ),
            (
                |bundle, write| {
                    let voice = Voice {
                        transcript: None,
                        ..named("one")
                    };
                    bundle.add(&voice, true, write)
                },
                &["one"],
            ),
            (|bundle, write| bundle.remove("one", write), &[]),
        ];
        for (change, voices) in changes {
            let mut stopped = 0;
            for (limit, done_before_it) in (0..).flat_map(|limit| [(limit, false), (limit, true)]) {
                let dir = tempfile::tempdir().expect("a temporary folder");
                let mut bundle = bundle_in(dir.path());
                let mut writes = 0;
                let outcome = change(&mut bundle, &mut |path, content| {
                    writes += 1;
                    if writes <= limit {
                        return write_whole(path, content);
                    }
                    if done_before_it {
                        write_whole(path, content)?;
                    }
                    Err(io::Error::other("the power is cut"))
                });
                let left = whole(dir.path());
                if outcome.is_ok() {
                    assert_eq!(left.voice_names(), voices);
                    break;
                }
                stopped += 1;
                // What was stopped can be done again.
                let mut again = left;
                change(&mut again, &mut write_whole)
                    .or_else(again_is_fine)
                    .expect("done");
                assert_eq!(whole(dir.path()).voice_names(), voices);
            }
            assert!(stopped >= 2, "{stopped} stops");
        }
    }

    /// The list was written already, and the word of it was lost.
    fn again_is_fine(error: BundleError) -> Result<(), BundleError> {
        match error {
            BundleError::VoiceExists { .. } | BundleError::NoVoice { .. } => Ok(()),
            other => Err(other),
        }
    }

    #[test]
    fn what_cannot_be_listed_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut bundle = bundle_in(dir.path());
        for name in [
            "",
            ".two",
            "../two",
            "a/b",
            &"声".repeat(90),
            &"x".repeat(65),
        ] {
            let error = bundle.add_voice(&named(name), false).expect_err(name);
            assert!(error.source_text().contains("name"), "{error}");
        }
        let foreign = Voice {
            prompt_token: vec![7],
            ..named("two")
        };
        assert!(bundle.add_voice(&foreign, false).is_err());
        assert_eq!(whole(dir.path()).voice_names(), ["one"]);
        let files = fs::read_dir(dir.path().join("voices")).expect("there");
        assert_eq!(files.count(), 1);
    }

    #[test]
    fn a_file_in_the_way_is_named_with_the_way_out() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut bundle = bundle_in(dir.path());
        let denied = |_: &Path, _: &[u8]| Err(io::ErrorKind::ReadOnlyFilesystem.into());
        let error = bundle
            .add(&named("two"), false, &mut { denied })
            .expect_err("read-only");
        assert_eq!(error.class(), Class::Failed);
        assert!(
            error.to_string().contains("voices/two.safetensors"),
            "{error}"
        );
        assert!(error.hint().expect("a fix").contains("writable"));
        whole(dir.path());
    }

    impl BundleError {
        fn source_text(&self) -> String {
            std::error::Error::source(self).map_or_else(String::new, ToString::to_string)
        }
    }
}
