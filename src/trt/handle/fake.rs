//! Recording fakes of the three interface versions, behind the real shim.
#![expect(unsafe_code, reason = "calls the shim's test doubles")]

use super::dynamic::EntryPoint;
use super::library::{BuildEntryPoints, EntryPoints, LibraryHandle};
use crate::trt::library::TrtLibrary;
use crate::trt::version::{Declarations, LibraryVersion};
use std::ffi::{c_char, c_void};
use std::path::PathBuf;

/// How a fake behaves; the numbers are those of `shim/testkit/record.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(in crate::trt) enum Behaviour {
    Works = 0,
    BuilderNull = 1,
    BuilderLowAddress = 2,
    ParserNull = 3,
    NetworkNull = 4,
    ParseError = 5,
    ParseSilent = 6,
    BuildNull = 7,
    BuildOutOfMemory = 8,
    ParserThrows = 9,
    BuilderBadAlloc = 10,
    BuilderThrowsInt = 11,
    ProfileInvalid = 12,
    OddLogs = 13,
    IgnoresStop = 14,
    TargetRefused = 15,
    LogsFromThreads = 16,
    NullNames = 17,
    SlowFp16 = 18,
    RuntimeNull = 19,
    RuntimeLowAddress = 20,
    EngineNull = 21,
    ContextNull = 22,
    ProfileRefused = 23,
    ShapeRefused = 24,
    AddressRefused = 25,
    EnqueueFails = 26,
    TimingsUnreadable = 27,
    TimingsForeign = 28,
    CombineRefused = 29,
    KernelsForeign = 30,
    KernelsRefused = 31,
}

/// A library whose calls the current thread records.
pub(in crate::trt) fn fake_library(raw_version: i32, behaviour: Behaviour) -> TrtLibrary {
    // SAFETY: sets a thread-local integer.
    unsafe { cvtrt_fake_behave(behaviour as i32) };
    let version = LibraryVersion::decode(raw_version).expect("a known scheme");
    let declarations = version.declarations().expect("a supported version");
    let [create_runtime, create_builder, create_parser] = match declarations {
        Declarations::Rtx => [
            cvtrt_fake_runtime_rtx as *mut c_void,
            cvtrt_fake_builder_rtx as *mut c_void,
            cvtrt_fake_parser_rtx as *mut c_void,
        ],
        Declarations::V11 => [
            cvtrt_fake_runtime_v11 as *mut c_void,
            cvtrt_fake_builder_v11 as *mut c_void,
            cvtrt_fake_parser_v11 as *mut c_void,
        ],
        Declarations::V10 => [
            cvtrt_fake_runtime_v10 as *mut c_void,
            cvtrt_fake_builder_v10 as *mut c_void,
            cvtrt_fake_parser_v10 as *mut c_void,
        ],
        Declarations::V8 => [
            cvtrt_fake_runtime_v8 as *mut c_void,
            cvtrt_fake_builder_v8 as *mut c_void,
            cvtrt_fake_parser_v8 as *mut c_void,
        ],
    }
    .map(EntryPoint::from_function);
    let entry = EntryPoints {
        infer_version: raw_version,
        create_runtime,
        build: Some(BuildEntryPoints {
            create_builder,
            create_parser,
            parser_version: 200,
        }),
    };
    let handle = LibraryHandle::open(&entry).expect("the shim knows the declarations");
    TrtLibrary::from_handle(handle, version, PathBuf::from("fake"))
}

/// The calls the current thread made to fakes since the last call of this function.
pub(in crate::trt) fn take_record() -> Vec<String> {
    let mut out = vec![0u8; 1 << 16];
    // SAFETY: the buffer is as long as told.
    let whole = unsafe { cvtrt_fake_take_record(out.as_mut_ptr().cast(), out.len()) };
    assert!(whole < out.len(), "the record does not fit the buffer");
    out.truncate(whole);
    let text = String::from_utf8(out).expect("fakes write ASCII");
    text.lines().map(str::to_owned).collect()
}

unsafe extern "C" {
    fn cvtrt_fake_behave(behaviour: i32);
    fn cvtrt_fake_take_record(out: *mut c_char, capacity: usize) -> usize;
    fn cvtrt_fake_runtime_rtx(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_fake_runtime_v11(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_fake_runtime_v10(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_fake_runtime_v8(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_fake_builder_rtx(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_fake_builder_v11(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_fake_builder_v10(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_fake_builder_v8(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_fake_parser_rtx(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
    fn cvtrt_fake_parser_v11(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
    fn cvtrt_fake_parser_v10(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
    fn cvtrt_fake_parser_v8(network: *mut c_void, logger: *mut c_void, version: i32)
    -> *mut c_void;
}
