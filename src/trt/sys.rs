//! The shim's C interface, generated from `shim/cvtrt_trt.h`; `scripts/check-bindings` compares.

pub const CVTRT_OK: i32 = 0;
pub const CVTRT_FAILED: i32 = 1;
pub const CVTRT_INVALID_ARGUMENT: i32 = 2;
pub const CVTRT_UNSUPPORTED: i32 = 3;
pub const CVTRT_OUT_OF_MEMORY: i32 = 4;
pub const CVTRT_CANCELLED: i32 = 5;
pub const CVTRT_PARSE_FAILED: i32 = 6;
pub const CVTRT_NO_OBJECT: i32 = 7;
pub const CVTRT_EXCEPTION: i32 = 8;
pub const CVTRT_FOREIGN_TIMINGS: i32 = 9;
pub const CVTRT_ABI_RTX: i32 = 1;
pub const CVTRT_ABI_V11: i32 = 2;
pub const CVTRT_ABI_V10: i32 = 3;
pub const CVTRT_ABI_V8: i32 = 4;
pub const CVTRT_SEVERITY_INTERNAL_ERROR: i32 = 0;
pub const CVTRT_SEVERITY_ERROR: i32 = 1;
pub const CVTRT_SEVERITY_WARNING: i32 = 2;
pub const CVTRT_SEVERITY_INFO: i32 = 3;
pub const CVTRT_SEVERITY_VERBOSE: i32 = 4;
pub const CVTRT_DTYPE_OTHER: i32 = 0;
pub const CVTRT_DTYPE_F32: i32 = 1;
pub const CVTRT_DTYPE_F16: i32 = 2;
pub const CVTRT_DTYPE_BF16: i32 = 3;
pub const CVTRT_DTYPE_I32: i32 = 4;
pub const CVTRT_DTYPE_I64: i32 = 5;
pub const CVTRT_DTYPE_BOOL: i32 = 6;
pub const CVTRT_DTYPE_U8: i32 = 7;
pub const CVTRT_DTYPE_I8: i32 = 8;
pub const CVTRT_PROGRESS_START: i32 = 0;
pub const CVTRT_PROGRESS_STEP: i32 = 1;
pub const CVTRT_PROGRESS_FINISH: i32 = 2;
pub const CVTRT_HARDWARE_EXACT: i32 = 0;
pub const CVTRT_HARDWARE_AMPERE_PLUS: i32 = 1;
pub const CVTRT_TENSOR_INPUT: i32 = 0;
pub const CVTRT_TENSOR_OUTPUT: i32 = 1;
pub const CVTRT_MAX_DIMS: i32 = 8;
pub const CVTRT_MESSAGE_BYTES: i32 = 512;
pub type cvtrt_status = i32;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_library {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_builder {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_blob {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_engine {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_context {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_message {
    pub text: [::std::os::raw::c_char; 512usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_message"][::std::mem::size_of::<cvtrt_message>() - 512usize];
    ["Alignment of cvtrt_message"][::std::mem::align_of::<cvtrt_message>() - 1usize];
    ["Offset of field: cvtrt_message::text"][::std::mem::offset_of!(cvtrt_message, text) - 0usize];
};
impl Default for cvtrt_message {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
pub type cvtrt_log_fn = ::std::option::Option<
    unsafe extern "C" fn(
        user: *mut ::std::os::raw::c_void,
        severity: i32,
        text: *const ::std::os::raw::c_char,
    ),
>;
pub type cvtrt_progress_fn = ::std::option::Option<
    unsafe extern "C" fn(
        user: *mut ::std::os::raw::c_void,
        event: i32,
        phase: *const ::std::os::raw::c_char,
        parent: *const ::std::os::raw::c_char,
        value: i32,
    ) -> i32,
>;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_entry_points {
    pub create_runtime: *mut ::std::os::raw::c_void,
    pub create_builder: *mut ::std::os::raw::c_void,
    pub create_parser: *mut ::std::os::raw::c_void,
    pub infer_version: i32,
    pub parser_version: i32,
    pub log: cvtrt_log_fn,
    pub log_user: *mut ::std::os::raw::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_entry_points"][::std::mem::size_of::<cvtrt_entry_points>() - 48usize];
    ["Alignment of cvtrt_entry_points"][::std::mem::align_of::<cvtrt_entry_points>() - 8usize];
    ["Offset of field: cvtrt_entry_points::create_runtime"]
        [::std::mem::offset_of!(cvtrt_entry_points, create_runtime) - 0usize];
    ["Offset of field: cvtrt_entry_points::create_builder"]
        [::std::mem::offset_of!(cvtrt_entry_points, create_builder) - 8usize];
    ["Offset of field: cvtrt_entry_points::create_parser"]
        [::std::mem::offset_of!(cvtrt_entry_points, create_parser) - 16usize];
    ["Offset of field: cvtrt_entry_points::infer_version"]
        [::std::mem::offset_of!(cvtrt_entry_points, infer_version) - 24usize];
    ["Offset of field: cvtrt_entry_points::parser_version"]
        [::std::mem::offset_of!(cvtrt_entry_points, parser_version) - 28usize];
    ["Offset of field: cvtrt_entry_points::log"]
        [::std::mem::offset_of!(cvtrt_entry_points, log) - 32usize];
    ["Offset of field: cvtrt_entry_points::log_user"]
        [::std::mem::offset_of!(cvtrt_entry_points, log_user) - 40usize];
};
impl Default for cvtrt_entry_points {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_options {
    pub precision: i32,
    pub workspace_bytes: u64,
    pub optimization_level: i32,
    pub tf32: i32,
    pub version_compatible: i32,
    pub hardware: i32,
    pub targets: *const i32,
    pub target_count: usize,
    pub timing_cache: *const ::std::os::raw::c_void,
    pub timing_cache_bytes: usize,
    pub use_timing_cache: i32,
    pub progress: cvtrt_progress_fn,
    pub progress_user: *mut ::std::os::raw::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_options"][::std::mem::size_of::<cvtrt_options>() - 88usize];
    ["Alignment of cvtrt_options"][::std::mem::align_of::<cvtrt_options>() - 8usize];
    ["Offset of field: cvtrt_options::precision"]
        [::std::mem::offset_of!(cvtrt_options, precision) - 0usize];
    ["Offset of field: cvtrt_options::workspace_bytes"]
        [::std::mem::offset_of!(cvtrt_options, workspace_bytes) - 8usize];
    ["Offset of field: cvtrt_options::optimization_level"]
        [::std::mem::offset_of!(cvtrt_options, optimization_level) - 16usize];
    ["Offset of field: cvtrt_options::tf32"][::std::mem::offset_of!(cvtrt_options, tf32) - 20usize];
    ["Offset of field: cvtrt_options::version_compatible"]
        [::std::mem::offset_of!(cvtrt_options, version_compatible) - 24usize];
    ["Offset of field: cvtrt_options::hardware"]
        [::std::mem::offset_of!(cvtrt_options, hardware) - 28usize];
    ["Offset of field: cvtrt_options::targets"]
        [::std::mem::offset_of!(cvtrt_options, targets) - 32usize];
    ["Offset of field: cvtrt_options::target_count"]
        [::std::mem::offset_of!(cvtrt_options, target_count) - 40usize];
    ["Offset of field: cvtrt_options::timing_cache"]
        [::std::mem::offset_of!(cvtrt_options, timing_cache) - 48usize];
    ["Offset of field: cvtrt_options::timing_cache_bytes"]
        [::std::mem::offset_of!(cvtrt_options, timing_cache_bytes) - 56usize];
    ["Offset of field: cvtrt_options::use_timing_cache"]
        [::std::mem::offset_of!(cvtrt_options, use_timing_cache) - 64usize];
    ["Offset of field: cvtrt_options::progress"]
        [::std::mem::offset_of!(cvtrt_options, progress) - 72usize];
    ["Offset of field: cvtrt_options::progress_user"]
        [::std::mem::offset_of!(cvtrt_options, progress_user) - 80usize];
};
impl Default for cvtrt_options {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct cvtrt_dims {
    pub rank: i32,
    pub size: [i64; 8usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_dims"][::std::mem::size_of::<cvtrt_dims>() - 72usize];
    ["Alignment of cvtrt_dims"][::std::mem::align_of::<cvtrt_dims>() - 8usize];
    ["Offset of field: cvtrt_dims::rank"][::std::mem::offset_of!(cvtrt_dims, rank) - 0usize];
    ["Offset of field: cvtrt_dims::size"][::std::mem::offset_of!(cvtrt_dims, size) - 8usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_range {
    pub input: *const ::std::os::raw::c_char,
    pub min: cvtrt_dims,
    pub opt: cvtrt_dims,
    pub max: cvtrt_dims,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_range"][::std::mem::size_of::<cvtrt_range>() - 224usize];
    ["Alignment of cvtrt_range"][::std::mem::align_of::<cvtrt_range>() - 8usize];
    ["Offset of field: cvtrt_range::input"][::std::mem::offset_of!(cvtrt_range, input) - 0usize];
    ["Offset of field: cvtrt_range::min"][::std::mem::offset_of!(cvtrt_range, min) - 8usize];
    ["Offset of field: cvtrt_range::opt"][::std::mem::offset_of!(cvtrt_range, opt) - 80usize];
    ["Offset of field: cvtrt_range::max"][::std::mem::offset_of!(cvtrt_range, max) - 152usize];
};
impl Default for cvtrt_range {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_parse_error {
    pub code: i32,
    pub node: i32,
    pub node_name: *const ::std::os::raw::c_char,
    pub node_operator: *const ::std::os::raw::c_char,
    pub description: *const ::std::os::raw::c_char,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_parse_error"][::std::mem::size_of::<cvtrt_parse_error>() - 32usize];
    ["Alignment of cvtrt_parse_error"][::std::mem::align_of::<cvtrt_parse_error>() - 8usize];
    ["Offset of field: cvtrt_parse_error::code"]
        [::std::mem::offset_of!(cvtrt_parse_error, code) - 0usize];
    ["Offset of field: cvtrt_parse_error::node"]
        [::std::mem::offset_of!(cvtrt_parse_error, node) - 4usize];
    ["Offset of field: cvtrt_parse_error::node_name"]
        [::std::mem::offset_of!(cvtrt_parse_error, node_name) - 8usize];
    ["Offset of field: cvtrt_parse_error::node_operator"]
        [::std::mem::offset_of!(cvtrt_parse_error, node_operator) - 16usize];
    ["Offset of field: cvtrt_parse_error::description"]
        [::std::mem::offset_of!(cvtrt_parse_error, description) - 24usize];
};
impl Default for cvtrt_parse_error {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_tensor {
    pub name: *const ::std::os::raw::c_char,
    pub dtype: i32,
    pub dims: cvtrt_dims,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_tensor"][::std::mem::size_of::<cvtrt_tensor>() - 88usize];
    ["Alignment of cvtrt_tensor"][::std::mem::align_of::<cvtrt_tensor>() - 8usize];
    ["Offset of field: cvtrt_tensor::name"][::std::mem::offset_of!(cvtrt_tensor, name) - 0usize];
    ["Offset of field: cvtrt_tensor::dtype"][::std::mem::offset_of!(cvtrt_tensor, dtype) - 8usize];
    ["Offset of field: cvtrt_tensor::dims"][::std::mem::offset_of!(cvtrt_tensor, dims) - 16usize];
};
impl Default for cvtrt_tensor {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_layer {
    pub name: *const ::std::os::raw::c_char,
    pub kind: *const ::std::os::raw::c_char,
    pub dtype: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_layer"][::std::mem::size_of::<cvtrt_layer>() - 24usize];
    ["Alignment of cvtrt_layer"][::std::mem::align_of::<cvtrt_layer>() - 8usize];
    ["Offset of field: cvtrt_layer::name"][::std::mem::offset_of!(cvtrt_layer, name) - 0usize];
    ["Offset of field: cvtrt_layer::kind"][::std::mem::offset_of!(cvtrt_layer, kind) - 8usize];
    ["Offset of field: cvtrt_layer::dtype"][::std::mem::offset_of!(cvtrt_layer, dtype) - 16usize];
};
impl Default for cvtrt_layer {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct cvtrt_counts {
    pub inputs: i32,
    pub outputs: i32,
    pub layers: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_counts"][::std::mem::size_of::<cvtrt_counts>() - 12usize];
    ["Alignment of cvtrt_counts"][::std::mem::align_of::<cvtrt_counts>() - 4usize];
    ["Offset of field: cvtrt_counts::inputs"]
        [::std::mem::offset_of!(cvtrt_counts, inputs) - 0usize];
    ["Offset of field: cvtrt_counts::outputs"]
        [::std::mem::offset_of!(cvtrt_counts, outputs) - 4usize];
    ["Offset of field: cvtrt_counts::layers"]
        [::std::mem::offset_of!(cvtrt_counts, layers) - 8usize];
};
#[repr(C)]
#[derive(Debug, Default, Copy, Clone)]
pub struct cvtrt_engine_facts {
    pub ports: i32,
    pub profiles: i32,
    pub scratch_bytes: u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_engine_facts"][::std::mem::size_of::<cvtrt_engine_facts>() - 16usize];
    ["Alignment of cvtrt_engine_facts"][::std::mem::align_of::<cvtrt_engine_facts>() - 8usize];
    ["Offset of field: cvtrt_engine_facts::ports"]
        [::std::mem::offset_of!(cvtrt_engine_facts, ports) - 0usize];
    ["Offset of field: cvtrt_engine_facts::profiles"]
        [::std::mem::offset_of!(cvtrt_engine_facts, profiles) - 4usize];
    ["Offset of field: cvtrt_engine_facts::scratch_bytes"]
        [::std::mem::offset_of!(cvtrt_engine_facts, scratch_bytes) - 8usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_port {
    pub name: *const ::std::os::raw::c_char,
    pub dtype: i32,
    pub direction: i32,
    pub on_host: i32,
    pub dims: cvtrt_dims,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_port"][::std::mem::size_of::<cvtrt_port>() - 96usize];
    ["Alignment of cvtrt_port"][::std::mem::align_of::<cvtrt_port>() - 8usize];
    ["Offset of field: cvtrt_port::name"][::std::mem::offset_of!(cvtrt_port, name) - 0usize];
    ["Offset of field: cvtrt_port::dtype"][::std::mem::offset_of!(cvtrt_port, dtype) - 8usize];
    ["Offset of field: cvtrt_port::direction"]
        [::std::mem::offset_of!(cvtrt_port, direction) - 12usize];
    ["Offset of field: cvtrt_port::on_host"][::std::mem::offset_of!(cvtrt_port, on_host) - 16usize];
    ["Offset of field: cvtrt_port::dims"][::std::mem::offset_of!(cvtrt_port, dims) - 24usize];
};
impl Default for cvtrt_port {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct cvtrt_kernel_options {
    pub cache: *const ::std::os::raw::c_void,
    pub cache_bytes: usize,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cvtrt_kernel_options"][::std::mem::size_of::<cvtrt_kernel_options>() - 16usize];
    ["Alignment of cvtrt_kernel_options"][::std::mem::align_of::<cvtrt_kernel_options>() - 8usize];
    ["Offset of field: cvtrt_kernel_options::cache"]
        [::std::mem::offset_of!(cvtrt_kernel_options, cache) - 0usize];
    ["Offset of field: cvtrt_kernel_options::cache_bytes"]
        [::std::mem::offset_of!(cvtrt_kernel_options, cache_bytes) - 8usize];
};
impl Default for cvtrt_kernel_options {
    fn default() -> Self {
        let mut s = ::std::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::std::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
unsafe extern "C" {
    pub fn cvtrt_library_open(
        abi: i32,
        entry: *const cvtrt_entry_points,
        out: *mut *mut cvtrt_library,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_create(
        library: *mut cvtrt_library,
        options: *const cvtrt_options,
        out: *mut *mut cvtrt_builder,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_destroy(builder: *mut cvtrt_builder);
    pub fn cvtrt_builder_parse(
        builder: *mut cvtrt_builder,
        onnx: *const ::std::os::raw::c_void,
        bytes: usize,
        path: *const ::std::os::raw::c_char,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_parse_error_count(
        builder: *mut cvtrt_builder,
        out: *mut i32,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_parse_error(
        builder: *mut cvtrt_builder,
        index: i32,
        out: *mut cvtrt_parse_error,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_counts(
        builder: *mut cvtrt_builder,
        out: *mut cvtrt_counts,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_tensor(
        builder: *mut cvtrt_builder,
        direction: i32,
        index: i32,
        out: *mut cvtrt_tensor,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_layer(
        builder: *mut cvtrt_builder,
        index: i32,
        out: *mut cvtrt_layer,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_keep_fp32(
        builder: *mut cvtrt_builder,
        names: *const *const ::std::os::raw::c_char,
        count: usize,
        out: *mut i32,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_add_profile(
        builder: *mut cvtrt_builder,
        ranges: *const cvtrt_range,
        count: usize,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_build(
        builder: *mut cvtrt_builder,
        out: *mut *mut cvtrt_blob,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_timing_cache(
        builder: *mut cvtrt_builder,
        out: *mut *mut cvtrt_blob,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_builder_add_timings(
        builder: *mut cvtrt_builder,
        blob: *const ::std::os::raw::c_void,
        bytes: usize,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_blob_bytes(
        blob: *const cvtrt_blob,
        data: *mut *const u8,
        bytes: *mut usize,
    ) -> cvtrt_status;
    pub fn cvtrt_blob_destroy(blob: *mut cvtrt_blob);
    pub fn cvtrt_engine_load(
        library: *mut cvtrt_library,
        plan: *const ::std::os::raw::c_void,
        bytes: usize,
        host_code: i32,
        out: *mut *mut cvtrt_engine,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_engine_destroy(engine: *mut cvtrt_engine);
    pub fn cvtrt_engine_get_facts(
        engine: *const cvtrt_engine,
        out: *mut cvtrt_engine_facts,
    ) -> cvtrt_status;
    pub fn cvtrt_engine_port(
        engine: *const cvtrt_engine,
        index: i32,
        out: *mut cvtrt_port,
    ) -> cvtrt_status;
    pub fn cvtrt_engine_range(
        engine: *const cvtrt_engine,
        index: i32,
        profile: i32,
        out: *mut cvtrt_range,
    ) -> cvtrt_status;
    pub fn cvtrt_engine_scratch(
        engine: *const cvtrt_engine,
        profile: i32,
        out: *mut u64,
    ) -> cvtrt_status;
    pub fn cvtrt_engine_configure(
        engine: *mut cvtrt_engine,
        options: *const cvtrt_kernel_options,
        cache_taken: *mut i32,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_engine_kernels(
        engine: *const cvtrt_engine,
        out: *mut *mut cvtrt_blob,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_context_create(
        engine: *mut cvtrt_engine,
        out: *mut *mut cvtrt_context,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_context_destroy(context: *mut cvtrt_context);
    pub fn cvtrt_context_set_scratch(
        context: *mut cvtrt_context,
        memory: *mut ::std::os::raw::c_void,
        bytes: u64,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_context_set_profile(
        context: *mut cvtrt_context,
        profile: i32,
        stream: *mut ::std::os::raw::c_void,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_context_set_input_shape(
        context: *mut cvtrt_context,
        index: i32,
        dims: *const cvtrt_dims,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_context_shape(
        context: *const cvtrt_context,
        index: i32,
        out: *mut cvtrt_dims,
    ) -> cvtrt_status;
    pub fn cvtrt_context_set_address(
        context: *mut cvtrt_context,
        index: i32,
        address: *mut ::std::os::raw::c_void,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
    pub fn cvtrt_context_enqueue(
        context: *mut cvtrt_context,
        stream: *mut ::std::os::raw::c_void,
        message: *mut cvtrt_message,
    ) -> cvtrt_status;
}
