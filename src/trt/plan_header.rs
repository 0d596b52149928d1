//! The first bytes of a plan file: product, builder version, size, targets.
//!
//! Read before a plan is handed to a library, so that a file of the wrong kind, version or length is an ordinary error.

use super::version::{Flavour, Release};
use crate::profile::ComputeCapability;

/// What a plan says of itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PlanHeader {
    /// The product that built the plan.
    pub flavour: Flavour,
    /// Version of the builder; without version compatibility only the same one can load the plan.
    pub release: Release,
    /// Build number of the builder.
    pub build: u8,
    /// Size of the plan in bytes, as declared in it.
    pub declared_bytes: u64,
    /// GPU generations the plan holds code for; empty where the product does not tell (TensorRT proper).
    pub targets: Vec<ComputeCapability>,
    /// Bits of the target mask that stand for generations not known here.
    pub other_targets: u32,
}

/// Why bytes are no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanHeaderError {
    /// Shorter than any header.
    #[error("{bytes} bytes are too few for a plan")]
    TooShort {
        /// Length of what was given.
        bytes: u64,
    },
    /// Not a plan at all.
    #[error("does not begin like a TensorRT plan (found {found:02x?})")]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A header layout newer than this program.
    #[error("plan header version {found} is not known (expected 0)")]
    HeaderVersion {
        /// Version found.
        found: u32,
    },
    /// Another product's plan.
    #[error("this is a plan of {found}, and the library is {library}")]
    Product {
        /// Whose it is.
        found: Flavour,
        /// Who was to load it.
        library: Flavour,
    },
    /// Cut short, or something was appended.
    #[error("the plan declares {declared} bytes and has {actual}")]
    Size {
        /// Bytes declared in the header.
        declared: u64,
        /// Bytes there are.
        actual: u64,
    },
}

/// Bit positions of the RTX target mask, as plans built for one generation each show them (RTX 1.7.1).
const RTX_TARGETS: [(u32, u32, u32); 6] = [
    (0, 7, 5),
    (1, 8, 0),
    (2, 8, 6),
    (3, 8, 9),
    (4, 12, 0),
    (5, 12, 1),
];

/// The GPU generations that TensorRT-RTX builds for.
pub fn rtx_targets() -> impl Iterator<Item = ComputeCapability> {
    RTX_TARGETS
        .iter()
        .map(|&(_, major, minor)| ComputeCapability { major, minor })
}

impl PlanHeader {
    /// Bytes from the start of a plan that [`Self::read`] looks at; what RTX's `getEngineHeaderSize` answers.
    pub const BYTES: usize = 64;

    /// Reads the header from the first bytes of a plan of `plan_bytes` bytes in all.
    ///
    /// `head` may be the whole plan or its first [`Self::BYTES`] bytes.
    ///
    /// # Errors
    /// [`PlanHeaderError`]. A size mismatch is an error for RTX, whose library compares it too; for TensorRT proper it
    /// is left to the caller, see [`Self::declared_bytes`].
    pub fn read(head: &[u8], plan_bytes: u64) -> Result<Self, PlanHeaderError> {
        let Some(head) = head.first_chunk::<{ Self::BYTES }>() else {
            return Err(PlanHeaderError::TooShort {
                bytes: head.len() as u64,
            });
        };
        let magic = field::<4>(head, 0);
        let flavour = match &magic {
            b"ftrt" => Flavour::TensorRt,
            b"vtrt" => Flavour::TensorRtRtx,
            _ => return Err(PlanHeaderError::Magic { found: magic }),
        };
        let version = u32::from_le_bytes(field(head, 4));
        if version != 0 {
            return Err(PlanHeaderError::HeaderVersion { found: version });
        }
        let declared_bytes = u64::from_le_bytes(field(head, 16));
        if flavour == Flavour::TensorRtRtx && declared_bytes != plan_bytes {
            return Err(PlanHeaderError::Size {
                declared: declared_bytes,
                actual: plan_bytes,
            });
        }
        let [major, minor, patch, build] = field(head, 24);
        let mask = match flavour {
            Flavour::TensorRtRtx => u32::from_le_bytes(field(head, 32)),
            Flavour::TensorRt => 0,
        };
        let (targets, other_targets) = targets_from(mask);
        Ok(Self {
            flavour,
            release: Release {
                major: major.into(),
                minor: minor.into(),
                patch: patch.into(),
            },
            build,
            declared_bytes,
            targets,
            other_targets,
        })
    }

    /// Refuses a plan that the library would not even look at.
    ///
    /// # Errors
    /// [`PlanHeaderError::Product`].
    pub fn check_product(&self, library: Flavour) -> Result<(), PlanHeaderError> {
        if self.flavour == library {
            return Ok(());
        }
        Err(PlanHeaderError::Product {
            found: self.flavour,
            library,
        })
    }
}

fn field<const N: usize>(head: &[u8; PlanHeader::BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&head[at..at + N]);
    out
}

fn targets_from(mask: u32) -> (Vec<ComputeCapability>, u32) {
    let known = RTX_TARGETS
        .iter()
        .filter(|(bit, ..)| mask & (1 << bit) != 0);
    let targets = known
        .clone()
        .map(|&(_, major, minor)| ComputeCapability { major, minor })
        .collect();
    let other = known.fold(mask, |rest, (bit, ..)| rest & !(1 << bit));
    (targets, other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rtx_header(mask: u32, plan_bytes: u64) -> Vec<u8> {
        let mut head = vec![0; PlanHeader::BYTES];
        head[..4].copy_from_slice(b"vtrt");
        head[8] = 2;
        head[16..24].copy_from_slice(&plan_bytes.to_le_bytes());
        head[24..28].copy_from_slice(&[1, 7, 1, 116]);
        head[28..32].copy_from_slice(b"vtrt");
        head[32..36].copy_from_slice(&mask.to_le_bytes());
        head
    }

    #[test]
    fn a_header_tells_version_and_targets() {
        let header = PlanHeader::read(&rtx_header(0x4c, 4096), 4096).expect("well-formed");
        assert_eq!(header.flavour, Flavour::TensorRtRtx);
        assert_eq!(
            (header.release.to_string(), header.build),
            ("1.7.1".to_owned(), 116)
        );
        let targets: Vec<String> = header.targets.iter().map(ToString::to_string).collect();
        assert_eq!(targets, ["sm_86", "sm_89"]);
        assert_eq!(header.other_targets, 0x40);
    }

    #[test]
    fn a_tensorrt_plan_may_declare_another_size() {
        let mut head = rtx_header(0xff, 1);
        head[..4].copy_from_slice(b"ftrt");
        let header = PlanHeader::read(&head, 4096).expect("size is only told");
        assert_eq!((header.declared_bytes, header.targets.len()), (1, 0));
    }

    #[test]
    fn other_bytes_are_refused() {
        let cut = rtx_header(2, 4096);
        let mut newer = rtx_header(2, 4096);
        newer[4] = 1;
        let cases: [(&str, &[u8], u64, PlanHeaderError); 5] = [
            ("empty", &[], 0, PlanHeaderError::TooShort { bytes: 0 }),
            (
                "short",
                &cut[..63],
                63,
                PlanHeaderError::TooShort { bytes: 63 },
            ),
            (
                "zeros",
                &[0; 64],
                64,
                PlanHeaderError::Magic { found: [0; 4] },
            ),
            (
                "newer",
                &newer,
                4096,
                PlanHeaderError::HeaderVersion { found: 1 },
            ),
            (
                "truncated",
                &cut,
                4095,
                PlanHeaderError::Size {
                    declared: 4096,
                    actual: 4095,
                },
            ),
        ];
        for (name, head, bytes, expected) in cases {
            assert_eq!(PlanHeader::read(head, bytes), Err(expected), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), total in any::<u64>()) {
            let _ = PlanHeader::read(&bytes, total);
        }

        #[test]
        fn a_flipped_byte_never_adds_a_target_unseen(at in 0usize..64, with in 1u8..) {
            let mut head = rtx_header(0x02, 4096);
            head[at] ^= with;
            if let Ok(header) = PlanHeader::read(&head, 4096) {
                let mask = u32::from_le_bytes([head[32], head[33], head[34], head[35]]);
                let told = u32::try_from(header.targets.len()).expect("few") + header.other_targets.count_ones();
                prop_assert_eq!(told, mask.count_ones());
            }
        }
    }
}
