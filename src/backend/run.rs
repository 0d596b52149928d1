//! Failures of a run and who must act on them.

use super::BindingsError;
use crate::cuda::{CudaError, CudaErrorKind};
use crate::hint::{Class, Hint};
use crate::ids::BackendId;
use std::borrow::Cow;

/// Who acts after a failed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Recovery {
    /// The caller: the request cannot be served by any link.
    Caller,
    /// This call goes to the next link, later ones stay.
    Call,
    /// The lane moves to the next link.
    Link,
    /// The device context is lost; the process must end.
    Process,
}

impl Recovery {
    /// Its name in documents and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Call => "call",
            Self::Link => "link",
            Self::Process => "process",
        }
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Bindings do not fit the signature.
    #[error(transparent)]
    Bindings(Box<BindingsError>),
    /// No optimisation profile covers the shapes.
    #[error("no optimisation profile of the engine covers {shapes}")]
    OutsideProfiles {
        /// The shapes asked for.
        shapes: String,
    },
    /// The library reported a failure.
    #[error("{backend} failed: {reason}")]
    Failed {
        /// The backend.
        backend: BackendId,
        /// The library's words.
        reason: String,
    },
    /// An output was neither filled nor made.
    #[error("the graph gave no output `{output}`")]
    NoOutput {
        /// The output.
        output: String,
    },
    /// Memory ran out.
    #[error("{backend} ran out of memory")]
    OutOfMemory {
        /// The backend.
        backend: BackendId,
    },
    /// A call of the driver failed.
    #[error(transparent)]
    Cuda(CudaError),
    /// The device is gone.
    #[error("the device was lost: {reason}")]
    DeviceLost {
        /// The driver's words.
        reason: String,
    },
}

impl From<BindingsError> for RunError {
    fn from(error: BindingsError) -> Self {
        Self::Bindings(Box::new(error))
    }
}

impl From<CudaError> for RunError {
    fn from(error: CudaError) -> Self {
        match error.kind {
            CudaErrorKind::DeviceLost => Self::DeviceLost {
                reason: error.to_string(),
            },
            _ => Self::Cuda(error),
        }
    }
}

impl RunError {
    /// Who must act.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Bindings(_) => Recovery::Caller,
            Self::OutsideProfiles { .. } => Recovery::Call,
            Self::Failed { .. }
            | Self::NoOutput { .. }
            | Self::OutOfMemory { .. }
            | Self::Cuda(_) => Recovery::Link,
            Self::DeviceLost { .. } => Recovery::Process,
        }
    }
}

impl Hint for RunError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::OutsideProfiles { .. } => {
                Some("choose sizes within the profile's, or build with another profile".into())
            }
            Self::OutOfMemory { .. }
            | Self::Cuda(CudaError {
                kind: CudaErrorKind::OutOfMemory,
                ..
            }) => Some("choose smaller sizes".into()),
            _ => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Bindings(_) | Self::OutsideProfiles { .. } => Class::Input,
            _ => Class::Failed,
        }
    }
}
