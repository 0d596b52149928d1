//! Owners of the shim's pointers; every unsafe call into it is below this module.

mod blob;
mod builder;
mod callback;
#[cfg(feature = "testkit")]
mod computing;
mod convert;
mod dynamic;
mod engine;
#[cfg(all(test, feature = "testkit"))]
mod facts;
#[cfg(all(test, feature = "testkit"))]
mod fake;
mod library;
mod status;

pub use blob::PlanBytes;
pub(super) use builder::{BuilderHandle, RawRange};
#[cfg(feature = "testkit")]
pub(super) use computing::open_computing;
pub(super) use dynamic::{DynamicLibrary, EntryPoint, load_plugin_stub};
pub(super) use engine::{ContextHandle, EngineHandle};
#[cfg(all(test, feature = "testkit"))]
pub(super) use facts::{SlotFact, layer_kind, slot_facts, value_facts};
#[cfg(all(test, feature = "testkit"))]
pub(super) use fake::{Behaviour, fake_library, take_record};
pub(super) use library::{BuildEntryPoints, EntryPoints, LibraryHandle};
pub(super) use status::{ShimError, Status};
