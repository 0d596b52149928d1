//! The engine cache: what was compiled, from which inputs, and whether it is still what it was.
//!
//! ```text
//! <root>/<graph>/<backend>-<precision>-<key>/   one entry; exists once it has this name, is complete from then on
//!     engine.plan                               what the backend wrote, with any files beside it
//!     manifest.json                             every input of the key in clear, digests, report, verification
//!     stat.json                                 size, time and inode the files had when last hashed
//!     used                                      its modification time is the time of last use
//! <root>/<graph>/.<entry>.tmp/                  an entry being built; its builder holds the lock
//! <root>/<graph>/.<entry>.old/                  an entry being replaced or removed
//! <root>/.locks/<key>.lock                      locked by a builder; the file stays
//! <root>/.locks/gc.lock                         locked by a collection; the file stays
//! <root>/.precision/                            what stays in FP32 where a graph becomes half, decided once per model
//! <root>/.timings/                               what builds of one library on one device share to be faster
//! <root>/.quarantine/                           entries whose content is not what the manifest says, or gives wrong values
//! ```
//!
//! The cache treats inputs as opaque named facts and knows no backend.

mod entry;
mod error;
mod explain;
mod files;
mod gc;
mod hold;
mod key;
mod lock;
mod manifest;
mod name;
mod pending;
mod precision;
mod quarantine;
mod steps;
mod store;
mod timings;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod gc_tests;

pub use entry::Entry;
pub use error::{CacheError, Corruption, ManifestFault};
pub use explain::{Change, Here, changes};
pub use gc::{GcReport, GcRequest, Removed, RemovedBecause};
pub use key::{EngineKey, KeyInputs};
pub use manifest::{BuildRecord, CheckedRun, EngineFile, Manifest, SignatureText, Verification};
pub use name::EntryName;
pub use pending::{Begun, Pending, Waiting};
pub use precision::{Measured, PrecisionInputs, PrecisionPlan, Verdict};
pub use quarantine::{Doubted, Quarantined};
pub use store::{EngineStore, Listed, Lookup};
pub use timings::KeptTimings;
