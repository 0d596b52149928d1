//! Bytes a library allocated: a plan, a timing cache, compiled kernels.
#![expect(unsafe_code, reason = "calls the shim")]

use super::status::{ShimError, Status};
use crate::trt::sys;
use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};

/// A serialised engine, or kernels compiled for one, in the library's own memory; read it as a byte slice.
///
/// Independent of what made it; its library is never unloaded.
pub struct PlanBytes {
    raw: NonNull<sys::cvtrt_blob>,
    bytes: NonNull<[u8]>,
}

// SAFETY: an `IHostMemory` is a plain buffer; nothing in it belongs to a thread.
unsafe impl Send for PlanBytes {}
// SAFETY: only read after it was made.
unsafe impl Sync for PlanBytes {}

impl PlanBytes {
    /// Takes over a blob that the shim handed out with success.
    pub(super) fn from_shim(raw: *mut sys::cvtrt_blob) -> Result<Self, ShimError> {
        let raw = NonNull::new(raw).expect("the shim sets the blob on success");
        Self::from_raw(raw).ok_or_else(|| ShimError {
            status: Status::NoObject,
            message: "the library's buffer has no memory".to_owned(),
        })
    }

    /// `None` where it holds no memory.
    fn from_raw(raw: NonNull<sys::cvtrt_blob>) -> Option<Self> {
        let mut data = ptr::null();
        let mut len = 0;
        // SAFETY: the blob is live and ours; the out-parameters are valid.
        let status = unsafe { sys::cvtrt_blob_bytes(raw.as_ptr(), &raw mut data, &raw mut len) };
        let bytes = NonNull::new(data.cast_mut())
            .filter(|_| status == sys::CVTRT_OK && isize::try_from(len).is_ok())
            .map(|data| NonNull::slice_from_raw_parts(data, len));
        let Some(bytes) = bytes else {
            // SAFETY: ours, and not used again.
            unsafe { sys::cvtrt_blob_destroy(raw.as_ptr()) };
            return None;
        };
        Some(Self { raw, bytes })
    }
}

impl Deref for PlanBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the blob's memory, readable and unchanged until `drop` destroys it.
        unsafe { self.bytes.as_ref() }
    }
}

impl AsRef<[u8]> for PlanBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for PlanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanBytes({} bytes)", self.len())
    }
}

impl Drop for PlanBytes {
    fn drop(&mut self) {
        // SAFETY: ours alone, and no slice of it can outlive `self`.
        unsafe { sys::cvtrt_blob_destroy(self.raw.as_ptr()) };
    }
}
