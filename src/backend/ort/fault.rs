//! What ONNX Runtime says when something fails, sorted into what a caller can act on.

use crate::backend::{LoadError, RunError};
use crate::ids::BackendId;
use ort::ErrorCode;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// A failure in the library's words.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

/// Runs calls into `ort`, which panics where it holds a failure to be impossible.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Fault::new(text.unwrap_or("ort panicked without a word")))
    })
}

impl Fault {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self {
            code: ErrorCode::GenericFailure,
            message: message.to_string(),
        }
    }

    pub(super) fn is_out_of_memory(&self) -> bool {
        // There is no code for it. In order: the arena, `operator new`, CUDA, a limited arena.
        const WORDS: [&str; 4] = [
            "Failed to allocate memory",
            "bad_alloc",
            "out of memory",
            "Available memory of",
        ];
        WORDS.iter().any(|words| self.message.contains(words))
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.code == ErrorCode::ModelLoadCanceled
    }

    /// Errors after which CUDA refuses every further call of the process.
    fn is_device_lost(&self) -> bool {
        const WORDS: [&str; 4] = [
            "illegal memory access",
            "unspecified launch failure",
            "device-side assert",
            "uncorrectable ECC error",
        ];
        self.code == ErrorCode::DeviceReset
            || WORDS.iter().any(|words| self.message.contains(words))
    }

    pub(super) fn into_load_error(self, backend: BackendId, path: &Path) -> LoadError {
        let path = path.to_owned();
        if self.is_out_of_memory() {
            return LoadError::OutOfMemory { backend, path };
        }
        LoadError::Refused {
            backend,
            path,
            reason: self.message,
        }
    }

    pub(super) fn into_run_error(self, backend: BackendId) -> RunError {
        if self.is_device_lost() {
            return RunError::DeviceLost {
                reason: self.message,
            };
        }
        if self.is_out_of_memory() {
            return RunError::OutOfMemory { backend };
        }
        RunError::Failed {
            backend,
            reason: self.message,
        }
    }
}

impl<R> From<ort::Error<R>> for Fault {
    fn from(error: ort::Error<R>) -> Self {
        Self {
            code: error.code(),
            message: error.message().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Recovery;

    #[test]
    fn words_decide_who_acts() {
        for (message, recovery) in [
            (
                "bfc_arena.cc:360 Failed to allocate memory for requested buffer of size 12",
                Recovery::Link,
            ),
            ("CUDA failure 2: out of memory ; GPU=0", Recovery::Link),
            (
                "CUDA failure 700: an illegal memory access was encountered",
                Recovery::Process,
            ),
            (
                "Non-zero status code returned while running Add node",
                Recovery::Link,
            ),
        ] {
            let error = Fault::new(message).into_run_error(BackendId::OrtCuda);
            assert_eq!(error.recovery(), recovery, "{message}");
        }
        assert!(Fault::new("std::bad_alloc").is_out_of_memory());
    }

    #[test]
    fn a_panic_is_a_fault() {
        let fault =
            guard::<()>(|| panic!("expected `session_ptr` to not be null")).expect_err("panicked");
        assert!(fault.message.contains("session_ptr"), "{fault:?}");
    }
}
