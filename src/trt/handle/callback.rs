//! What the shim calls back: log lines and progress. Nothing unwinds from here into C++.
#![expect(unsafe_code, reason = "C calls these with raw pointers")]

use crate::trt::log::{LogTail, Severity};
use crate::trt::request::{BuildProgress, ProgressEvent};
use crate::trt::sys;
use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where progress events go; its address is the callback's `user`.
pub(super) struct ProgressTarget<'a> {
    pub(super) sink: &'a dyn BuildProgress,
}

/// A `cvtrt_log_fn` whose `user` is a `&'static LogTail`.
pub(super) unsafe extern "C" fn on_log(user: *mut c_void, severity: i32, text: *const c_char) {
    // SAFETY: `LibraryHandle::open` passes the address of a log that lives as long as the process, or nobody calls this.
    let Some(log) = (unsafe { user.cast::<LogTail>().as_ref() }) else {
        return;
    };
    // SAFETY: the shim passes null or a string that is valid during this call.
    let text = unsafe { borrowed(text) };
    // A subscriber of `tracing` is foreign code and may panic; there is nowhere left to say so.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        log.write(severity_from(severity), &text);
    }));
}

/// A `cvtrt_progress_fn` whose `user` is a [`ProgressTarget`]. A panic in the sink stops the build.
pub(super) unsafe extern "C" fn on_progress(
    user: *mut c_void,
    event: i32,
    phase: *const c_char,
    parent: *const c_char,
    value: i32,
) -> i32 {
    const STOP: i32 = 0;
    const GO_ON: i32 = 1;
    // SAFETY: `BuilderHandle` keeps the target alive until the builder is destroyed and only shares it.
    let Some(target) = (unsafe { user.cast::<ProgressTarget<'_>>().as_ref() }) else {
        return GO_ON;
    };
    // SAFETY: as for the log's text.
    let phase = unsafe { borrowed(phase) };
    let has_parent = !parent.is_null();
    // SAFETY: as for the log's text.
    let parent = unsafe { borrowed(parent) };
    let count = u32::try_from(value).unwrap_or(0);
    let event = match event {
        sys::CVTRT_PROGRESS_START => ProgressEvent::Started {
            phase: &phase,
            parent: has_parent.then_some(&*parent),
            steps: count,
        },
        sys::CVTRT_PROGRESS_STEP => ProgressEvent::Step {
            phase: &phase,
            step: count,
        },
        sys::CVTRT_PROGRESS_FINISH => ProgressEvent::Finished { phase: &phase },
        _ => return GO_ON,
    };
    match catch_unwind(AssertUnwindSafe(|| target.sink.on(event))) {
        Ok(ControlFlow::Continue(())) => GO_ON,
        Ok(ControlFlow::Break(())) => STOP,
        Err(_) => {
            let _ = catch_unwind(|| tracing::error!("the progress listener panicked"));
            STOP
        }
    }
}

/// # Safety
/// `text` is null or a NUL-terminated string that outlives the result.
unsafe fn borrowed<'a>(text: *const c_char) -> Cow<'a, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: not null, and a string for as long as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

fn severity_from(number: i32) -> Severity {
    match number {
        sys::CVTRT_SEVERITY_INTERNAL_ERROR => Severity::InternalError,
        sys::CVTRT_SEVERITY_ERROR => Severity::Error,
        sys::CVTRT_SEVERITY_WARNING => Severity::Warning,
        sys::CVTRT_SEVERITY_INFO => Severity::Info,
        _ => Severity::Verbose,
    }
}
