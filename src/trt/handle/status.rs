//! The shim's statuses and messages as a Rust error.
#![expect(unsafe_code, reason = "the message is a C string")]

use crate::trt::sys;
use std::ffi::{CStr, c_char};

/// Why a shim call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trt) enum Status {
    Failed,
    InvalidArgument,
    Unsupported,
    OutOfMemory,
    Cancelled,
    ParseFailed,
    NoObject,
    Exception,
    ForeignTimings,
    /// A number the shim's header does not have.
    Unknown(i32),
}

/// A failed shim call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(in crate::trt) struct ShimError {
    pub(in crate::trt) status: Status,
    /// One sentence of the shim's.
    pub(in crate::trt) message: String,
}

/// Turns a status and the message that came with it into a result.
pub(super) fn check(status: sys::cvtrt_status, message: &Message) -> Result<(), ShimError> {
    let status = match status {
        sys::CVTRT_OK => return Ok(()),
        sys::CVTRT_FAILED => Status::Failed,
        sys::CVTRT_INVALID_ARGUMENT => Status::InvalidArgument,
        sys::CVTRT_UNSUPPORTED => Status::Unsupported,
        sys::CVTRT_OUT_OF_MEMORY => Status::OutOfMemory,
        sys::CVTRT_CANCELLED => Status::Cancelled,
        sys::CVTRT_PARSE_FAILED => Status::ParseFailed,
        sys::CVTRT_NO_OBJECT => Status::NoObject,
        sys::CVTRT_EXCEPTION => Status::Exception,
        sys::CVTRT_FOREIGN_TIMINGS => Status::ForeignTimings,
        unknown => Status::Unknown(unknown),
    };
    Err(ShimError {
        status,
        message: message.text(),
    })
}

/// Room for the sentence of a failed call.
#[derive(Debug)]
pub(super) struct Message(sys::cvtrt_message);

impl Message {
    pub(super) fn new() -> Self {
        Self(sys::cvtrt_message {
            text: [0; sys::CVTRT_MESSAGE_BYTES as usize],
        })
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut sys::cvtrt_message {
        &raw mut self.0
    }

    fn text(&self) -> String {
        let bytes: &[u8] = bytemuck::cast_slice(&self.0.text);
        match CStr::from_bytes_until_nul(bytes) {
            Ok(text) if text.is_empty() => "the shim gave no reason".to_owned(),
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

/// Copies a borrowed C string; null becomes empty, and what is not UTF-8 is replaced.
///
/// # Safety
/// `text` is null or points to a NUL-terminated string that stays valid during the call.
pub(super) unsafe fn text_from(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a valid string as the caller says.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}
