//! Computing fakes of all interface versions, behind the real shim.
#![expect(unsafe_code, reason = "installs the table that C++ calls back by")]

mod callbacks;
mod run;

use super::dynamic::EntryPoint;
use super::library::{BuildEntryPoints, EntryPoints, LibraryHandle};
use crate::trt::computing::World;
use crate::trt::version::{Declarations, LibraryVersion};
use callbacks::{TABLE, Table};
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Binds a computing library of `raw_version` to the shim.
pub(in crate::trt) fn open_computing(
    raw_version: i32,
    version: LibraryVersion,
    world: &'static World,
) -> LibraryHandle {
    static INSTALLED: Once = Once::new();
    // SAFETY: the table is a static, and no entry point was called before.
    INSTALLED.call_once(|| unsafe { cvtrt_compute_install(&raw const TABLE) });
    let [create_runtime, create_builder, create_parser] = match version.declarations() {
        Some(Declarations::Rtx) => [
            cvtrt_computing_runtime_rtx as *mut c_void,
            cvtrt_computing_builder_rtx as *mut c_void,
            cvtrt_computing_parser_rtx as *mut c_void,
        ],
        Some(Declarations::V11) => [
            cvtrt_computing_runtime_v11 as *mut c_void,
            cvtrt_computing_builder_v11 as *mut c_void,
            cvtrt_computing_parser_v11 as *mut c_void,
        ],
        Some(Declarations::V10) => [
            cvtrt_computing_runtime_v10 as *mut c_void,
            cvtrt_computing_builder_v10 as *mut c_void,
            cvtrt_computing_parser_v10 as *mut c_void,
        ],
        Some(Declarations::V8) => [
            cvtrt_computing_runtime_v8 as *mut c_void,
            cvtrt_computing_builder_v8 as *mut c_void,
            cvtrt_computing_parser_v8 as *mut c_void,
        ],
        None => panic!("{version} is not supported"),
    }
    .map(EntryPoint::from_function);
    let handle = LibraryHandle::open(&EntryPoints {
        infer_version: raw_version,
        create_runtime,
        build: Some(BuildEntryPoints {
            create_builder,
            create_parser,
            parser_version: 200,
        }),
    })
    .expect("the shim knows the declarations");
    let log = ptr::from_ref(handle.log()).addr();
    worlds().push((log, world));
    handle
}

/// Every computing library, by the address of the log its logger writes to.
fn worlds() -> MutexGuard<'static, Vec<(usize, &'static World)>> {
    static WORLDS: Mutex<Vec<(usize, &'static World)>> = Mutex::new(Vec::new());
    WORLDS.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" {
    fn cvtrt_compute_install(table: *const Table);
    fn cvtrt_computing_runtime_rtx(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_runtime_v11(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_runtime_v10(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_runtime_v8(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_builder_rtx(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_builder_v11(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_builder_v10(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_builder_v8(logger: *mut c_void, version: i32) -> *mut c_void;
    fn cvtrt_computing_parser_rtx(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
    fn cvtrt_computing_parser_v11(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
    fn cvtrt_computing_parser_v10(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
    fn cvtrt_computing_parser_v8(
        network: *mut c_void,
        logger: *mut c_void,
        version: i32,
    ) -> *mut c_void;
}
