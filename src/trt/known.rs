//! What single releases are known for, beyond what their version numbers tell.

use super::version::{Flavour, LibraryVersion, Release};

/// Something true of all releases from one to another.
struct Known {
    flavour: Flavour,
    from: Release,
    to: Release,
    says: &'static str,
}

const fn release(major: u16, minor: u16, patch: u16) -> Release {
    Release {
        major,
        minor,
        patch,
    }
}

const LAST: u16 = u16::MAX;

/// Why releases are not driven although their neighbours are.
const UNUSABLE: [Known; 2] = [
    Known {
        flavour: Flavour::TensorRtRtx,
        from: release(1, 0, 0),
        to: release(1, 4, LAST),
        says: "its tables of functions mix those of TensorRT 10 and 11",
    },
    Known {
        flavour: Flavour::TensorRtRtx,
        from: release(1, 8, 0),
        to: release(LAST, LAST, LAST),
        says: "its tables of functions were not compared with those of 1.7",
    },
];

/// What to expect of releases that are driven.
const REMARKABLE: [Known; 2] = [
    Known {
        flavour: Flavour::TensorRt,
        // The shipped parser has none of the flag methods that the public header of this release declares.
        from: release(8, 6, 0),
        to: release(8, 6, 0),
        says: "its parser needs the plugins for InstanceNormalization, which cvtrt rewrites first",
    },
    Known {
        flavour: Flavour::TensorRt,
        from: release(10, 8, 0),
        to: release(10, 8, 0),
        says: "three functions of its networks lie elsewhere than in its neighbours; cvtrt calls none of them",
    },
];

/// Why a version has no declarations, where more is known than that.
pub(super) fn why_unusable(version: LibraryVersion) -> Option<&'static str> {
    facts(&UNUSABLE, version).next()
}

/// What to expect of a version that has.
pub(super) fn remarks(version: LibraryVersion) -> impl Iterator<Item = &'static str> {
    facts(&REMARKABLE, version)
}

fn facts(table: &[Known], version: LibraryVersion) -> impl Iterator<Item = &'static str> {
    let LibraryVersion { flavour, release } = version;
    table
        .iter()
        .filter(move |known| known.flavour == flavour)
        .filter(move |known| (known.from..=known.to).contains(&release))
        .map(|known| known.says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_holds_for_its_releases_only() {
        // As libraries tell their versions, whether they are driven, and what is said of them.
        let cases = [
            (10_400, false, Some("mix")),
            (10_500, true, None),
            (10_701, true, None),
            (10_800, false, Some("not compared")),
            (8_600, true, Some("InstanceNormalization")),
            (8_601, true, None),
            (9_300, false, None),
            (100_700, true, None),
            (100_800, true, Some("elsewhere")),
            (100_900, true, None),
        ];
        for (raw, driven, expected) in cases {
            let version = LibraryVersion::decode(raw).expect("a known scheme");
            assert_eq!(version.declarations().is_some(), driven, "{version}");
            let said = if driven {
                remarks(version).collect::<Vec<_>>().join("; ")
            } else {
                why_unusable(version).unwrap_or_default().to_owned()
            };
            match expected {
                Some(words) => assert!(said.contains(words), "{version}: {said}"),
                None => assert_eq!(said, "", "{version}"),
            }
        }
    }
}
