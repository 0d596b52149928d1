//! A library bound to its interface declarations.
#![expect(unsafe_code, reason = "calls the shim")]

use super::callback::on_log;
use super::dynamic::EntryPoint;
use super::status::{Message, ShimError, Status, check};
use crate::trt::log::LogTail;
use crate::trt::sys;
use crate::trt::version::LibraryVersion;
use std::ptr::{self, NonNull};

/// The functions everything starts from.
#[derive(Debug, Clone, Copy)]
pub(in crate::trt) struct EntryPoints {
    /// What the library answers for its version; handed back to it.
    pub(in crate::trt) infer_version: i32,
    /// `createInferRuntime_INTERNAL`.
    pub(in crate::trt) create_runtime: EntryPoint,
    /// What a build needs besides; a lean library has none of it.
    pub(in crate::trt) build: Option<BuildEntryPoints>,
}

/// The functions a build starts from.
#[derive(Debug, Clone, Copy)]
pub(in crate::trt) struct BuildEntryPoints {
    /// `createInferBuilder_INTERNAL`.
    pub(in crate::trt) create_builder: EntryPoint,
    /// `createNvOnnxParser_INTERNAL`.
    pub(in crate::trt) create_parser: EntryPoint,
    /// What the parser answers for its version; handed back to it.
    pub(in crate::trt) parser_version: i32,
}

/// The shim's side of one loaded library. Never freed: the library keeps the logger inside for good.
#[derive(Debug)]
pub(in crate::trt) struct LibraryHandle {
    raw: NonNull<sys::cvtrt_library>,
    log: &'static LogTail,
}

// SAFETY: after `open` the shim only reads the entry points, and the logger it passes on writes to a `Sync` log.
unsafe impl Send for LibraryHandle {}
// SAFETY: as for `Send`.
unsafe impl Sync for LibraryHandle {}

impl LibraryHandle {
    /// Binds entry points to the declarations of the version they told. Calls nothing in the library.
    pub(in crate::trt) fn open(entry: &EntryPoints) -> Result<Self, ShimError> {
        let declarations = LibraryVersion::decode(entry.infer_version)
            .and_then(LibraryVersion::declarations)
            .ok_or_else(|| ShimError {
                status: Status::Unsupported,
                message: format!("no declarations for version number {}", entry.infer_version),
            })?;
        let log: &'static LogTail = Box::leak(Box::default());
        let address_or_null = |of: fn(&BuildEntryPoints) -> EntryPoint| {
            let entry = entry.build.as_ref().map(of);
            entry.map_or(ptr::null_mut(), EntryPoint::as_ptr)
        };
        let points = sys::cvtrt_entry_points {
            create_runtime: entry.create_runtime.as_ptr(),
            create_builder: address_or_null(|build| build.create_builder),
            create_parser: address_or_null(|build| build.create_parser),
            infer_version: entry.infer_version,
            parser_version: entry.build.map_or(0, |build| build.parser_version),
            log: Some(on_log),
            log_user: ptr::from_ref(log).cast_mut().cast(),
        };
        let mut raw = ptr::null_mut();
        let mut message = Message::new();
        // SAFETY: all pointers are valid during the call; the log behind `log_user` is never freed.
        let status = unsafe {
            sys::cvtrt_library_open(
                declarations.code(),
                &raw const points,
                &raw mut raw,
                message.as_mut_ptr(),
            )
        };
        check(status, &message)?;
        let raw = NonNull::new(raw).expect("the shim sets the handle on success");
        Ok(Self { raw, log })
    }

    /// What the library says.
    pub(in crate::trt) fn log(&self) -> &LogTail {
        self.log
    }

    pub(super) fn as_ptr(&self) -> *mut sys::cvtrt_library {
        self.raw.as_ptr()
    }
}
