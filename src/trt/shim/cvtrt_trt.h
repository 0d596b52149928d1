/* The seam between Rust and NVIDIA's C++ interfaces.
 *
 * Rules that hold for every function here:
 *   - A status is returned, everything else leaves through out-parameters, which are written only on CVTRT_OK
 *     unless said otherwise.
 *   - `message` may be null; on failure it holds a NUL-terminated English sentence, cut to fit.
 *   - Nothing throws. Handles are used by one thread at a time; callbacks come from any thread.
 *   - Enumerators are the project's own: TensorRT renumbers its enums between majors and the shim translates.
 */
#ifndef CVTRT_TRT_H
#define CVTRT_TRT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t cvtrt_status;
#define CVTRT_OK 0
/* The library refused or failed; its log says why. */
#define CVTRT_FAILED 1
/* A null handle, an unknown enumerator, an index out of range. */
#define CVTRT_INVALID_ARGUMENT 2
/* This interface version has no such feature. */
#define CVTRT_UNSUPPORTED 3
/* Host memory ran out inside the shim. */
#define CVTRT_OUT_OF_MEMORY 4
/* A progress callback asked to stop. */
#define CVTRT_CANCELLED 5
/* The ONNX parser refused the model; cvtrt_builder_parse_error lists why. */
#define CVTRT_PARSE_FAILED 6
/* A factory returned null or an address no object can have. */
#define CVTRT_NO_OBJECT 7
/* A C++ exception reached the seam. */
#define CVTRT_EXCEPTION 8
/* The library does not take the timings: they are no timings, or those of another library or device. */
#define CVTRT_FOREIGN_TIMINGS 9

/* Which set of interface declarations a library is driven with. */
/* TensorRT-RTX 1.5 to 1.7. */
#define CVTRT_ABI_RTX 1
/* TensorRT 11. */
#define CVTRT_ABI_V11 2
/* TensorRT 10. */
#define CVTRT_ABI_V10 3
/* TensorRT 8.6. */
#define CVTRT_ABI_V8 4

#define CVTRT_SEVERITY_INTERNAL_ERROR 0
#define CVTRT_SEVERITY_ERROR 1
#define CVTRT_SEVERITY_WARNING 2
#define CVTRT_SEVERITY_INFO 3
#define CVTRT_SEVERITY_VERBOSE 4

#define CVTRT_DTYPE_OTHER 0
#define CVTRT_DTYPE_F32 1
#define CVTRT_DTYPE_F16 2
#define CVTRT_DTYPE_BF16 3
#define CVTRT_DTYPE_I32 4
#define CVTRT_DTYPE_I64 5
#define CVTRT_DTYPE_BOOL 6
#define CVTRT_DTYPE_U8 7
#define CVTRT_DTYPE_I8 8

#define CVTRT_PROGRESS_START 0
#define CVTRT_PROGRESS_STEP 1
#define CVTRT_PROGRESS_FINISH 2

#define CVTRT_HARDWARE_EXACT 0
#define CVTRT_HARDWARE_AMPERE_PLUS 1

#define CVTRT_TENSOR_INPUT 0
#define CVTRT_TENSOR_OUTPUT 1

#define CVTRT_MAX_DIMS 8
#define CVTRT_MESSAGE_BYTES 512

typedef struct cvtrt_library cvtrt_library;
typedef struct cvtrt_builder cvtrt_builder;
typedef struct cvtrt_blob cvtrt_blob;
typedef struct cvtrt_engine cvtrt_engine;
typedef struct cvtrt_context cvtrt_context;

typedef struct cvtrt_message {
    char text[CVTRT_MESSAGE_BYTES];
} cvtrt_message;

/* Called from any thread, possibly several at once; `text` is valid during the call only. */
typedef void (*cvtrt_log_fn)(void* user, int32_t severity, const char* text);

/* Called from any thread. START: `value` steps are ahead, `parent` may be null. STEP: step number `value` is done.
 * FINISH: the phase is over, `value` is zero. Returns nonzero to go on, zero to stop the build. */
typedef int32_t (*cvtrt_progress_fn)(
    void* user, int32_t event, const char* phase, const char* parent, int32_t value);

/* What was found with dlsym; the addresses and the logger's target must stay valid for the life of the process. */
typedef struct cvtrt_entry_points {
    void* create_runtime; /* createInferRuntime_INTERNAL */
    void* create_builder; /* createInferBuilder_INTERNAL; null in a library that only runs engines */
    void* create_parser;  /* createNvOnnxParser_INTERNAL; null where `create_builder` is */
    int32_t infer_version;
    int32_t parser_version;
    cvtrt_log_fn log;
    void* log_user;
} cvtrt_entry_points;

typedef struct cvtrt_options {
    int32_t precision;          /* what the model computes in: CVTRT_DTYPE_F32, _F16 or _BF16 */
    uint64_t workspace_bytes;   /* zero keeps the library's default */
    int32_t optimization_level; /* negative keeps the library's default */
    int32_t tf32;               /* nonzero allows TF32 products */
    int32_t version_compatible; /* nonzero embeds a lean runtime */
    int32_t hardware;           /* CVTRT_HARDWARE_* */
    const int32_t* targets;     /* compute capabilities as 10 * major + minor; RTX only */
    size_t target_count;
    const void* timing_cache; /* a blob of an earlier build of the same library and device, or null for none */
    size_t timing_cache_bytes;
    int32_t use_timing_cache; /* nonzero creates a cache even without an earlier blob */
    cvtrt_progress_fn progress; /* may be null */
    void* progress_user;        /* must outlive the builder */
} cvtrt_options;

typedef struct cvtrt_dims {
    int32_t rank;
    int64_t size[CVTRT_MAX_DIMS]; /* -1 where dynamic */
} cvtrt_dims;

typedef struct cvtrt_range {
    const char* input;
    cvtrt_dims min;
    cvtrt_dims opt;
    cvtrt_dims max;
} cvtrt_range;

/* Strings below are borrowed and stay valid until the builder is destroyed. None is null. */
typedef struct cvtrt_parse_error {
    int32_t code; /* nvonnxparser::ErrorCode, same numbers in every major */
    int32_t node; /* -1 where none is known */
    const char* node_name;
    const char* node_operator;
    const char* description;
} cvtrt_parse_error;

typedef struct cvtrt_tensor {
    const char* name;
    int32_t dtype;
    cvtrt_dims dims;
} cvtrt_tensor;

typedef struct cvtrt_layer {
    const char* name;
    const char* kind;
    int32_t dtype; /* of the first output: what the layer computes in under strong typing */
} cvtrt_layer;

typedef struct cvtrt_counts {
    int32_t inputs;
    int32_t outputs;
    int32_t layers;
} cvtrt_counts;

/* Opens nothing by itself: binds entry points to one set of declarations. The handle is never freed, because every
 * object of the library keeps the logger in it. */
cvtrt_status cvtrt_library_open(
    int32_t abi, const cvtrt_entry_points* entry, cvtrt_library** out, cvtrt_message* message);

/* Makes builder, config, network and parser. TensorRT proper must not be asked without a CUDA device. */
cvtrt_status cvtrt_builder_create(
    cvtrt_library* library, const cvtrt_options* options, cvtrt_builder** out, cvtrt_message* message);

/* Deletes parser, network, config, timing cache and builder, in this order. Null is allowed. */
void cvtrt_builder_destroy(cvtrt_builder* builder);

/* `path` names the model's file, so that the parser finds external weights next to it; may be null.
 * The bytes must stay valid until the builder is destroyed: the network refers to weights inside them. */
cvtrt_status cvtrt_builder_parse(
    cvtrt_builder* builder, const void* onnx, size_t bytes, const char* path, cvtrt_message* message);

cvtrt_status cvtrt_builder_parse_error_count(cvtrt_builder* builder, int32_t* out);
cvtrt_status cvtrt_builder_parse_error(cvtrt_builder* builder, int32_t index, cvtrt_parse_error* out);

cvtrt_status cvtrt_builder_counts(cvtrt_builder* builder, cvtrt_counts* out);
cvtrt_status cvtrt_builder_tensor(cvtrt_builder* builder, int32_t direction, int32_t index, cvtrt_tensor* out);
cvtrt_status cvtrt_builder_layer(cvtrt_builder* builder, int32_t index, cvtrt_layer* out);

/* Makes the named layers compute in FP32 and counts those it found. Where the model's own types bind the builder, this is
 * CVTRT_UNSUPPORTED and not needed. */
cvtrt_status cvtrt_builder_keep_fp32(
    cvtrt_builder* builder, const char* const* names, size_t count, int32_t* out, cvtrt_message* message);

/* Adds one optimisation profile made of the given ranges. */
cvtrt_status cvtrt_builder_add_profile(
    cvtrt_builder* builder, const cvtrt_range* ranges, size_t count, cvtrt_message* message);

/* Builds the serialised engine. The blob must be destroyed before its library is unloaded. */
cvtrt_status cvtrt_builder_build(cvtrt_builder* builder, cvtrt_blob** out, cvtrt_message* message);

/* The timing cache after a build; CVTRT_UNSUPPORTED where none was asked for. */
cvtrt_status cvtrt_builder_timing_cache(cvtrt_builder* builder, cvtrt_blob** out, cvtrt_message* message);

/* Adds the timings of another blob to the builder's cache, whose own win where both have one; CVTRT_UNSUPPORTED where no
 * cache was asked for. */
cvtrt_status cvtrt_builder_add_timings(
    cvtrt_builder* builder, const void* blob, size_t bytes, cvtrt_message* message);

/* Borrows the bytes until the blob is destroyed. */
cvtrt_status cvtrt_blob_bytes(const cvtrt_blob* blob, const uint8_t** data, size_t* bytes);

/* Null is allowed. */
void cvtrt_blob_destroy(cvtrt_blob* blob);

typedef struct cvtrt_engine_facts {
    int32_t ports;    /* inputs and outputs */
    int32_t profiles; /* optimisation profiles */
    uint64_t scratch_bytes; /* device memory a context needs while it runs, the most over all profiles */
} cvtrt_engine_facts;

typedef struct cvtrt_port {
    const char* name; /* borrowed until the engine is destroyed */
    int32_t dtype;
    int32_t direction; /* CVTRT_TENSOR_INPUT or CVTRT_TENSOR_OUTPUT */
    int32_t on_host;   /* nonzero: a shape tensor, whose address is host memory */
    cvtrt_dims dims;
} cvtrt_port;

/* Deserialises a plan. The bytes may go afterwards. Needs a CUDA device; `host_code` lets a version-compatible plan run
 * the lean runtime inside it, and so must be nonzero for trusted plans only. */
cvtrt_status cvtrt_engine_load(
    cvtrt_library* library, const void* plan, size_t bytes, int32_t host_code, cvtrt_engine** out, cvtrt_message* message);

/* Deletes the engine, then its runtime. All its contexts must be gone. Null is allowed. */
void cvtrt_engine_destroy(cvtrt_engine* engine);

cvtrt_status cvtrt_engine_get_facts(const cvtrt_engine* engine, cvtrt_engine_facts* out);
cvtrt_status cvtrt_engine_port(const cvtrt_engine* engine, int32_t index, cvtrt_port* out);

/* What one optimisation profile takes for an input. */
cvtrt_status cvtrt_engine_range(const cvtrt_engine* engine, int32_t index, int32_t profile, cvtrt_range* out);

/* Device memory a context needs while it runs with one optimisation profile. TensorRT 8.6 tells it of the engine only. */
cvtrt_status cvtrt_engine_scratch(const cvtrt_engine* engine, int32_t profile, uint64_t* out);

/* How RTX compiles what a plan leaves to the device. Kernels for a shape it has not met are made on the side, while slower
 * ones run. The library captures no CUDA graphs of its own: the caller does. */
typedef struct cvtrt_kernel_options {
    const void* cache; /* kernels of an earlier process, by cvtrt_engine_kernels, or null for none */
    size_t cache_bytes;
} cvtrt_kernel_options;

/* Makes contexts to come compile, and keep, their kernels as told. `cache_taken` becomes zero where the library did not
 * want the cache, which then begins empty. CVTRT_UNSUPPORTED but with RTX. */
cvtrt_status cvtrt_engine_configure(
    cvtrt_engine* engine, const cvtrt_kernel_options* options, int32_t* cache_taken, cvtrt_message* message);

/* The kernels compiled so far by contexts of a configured engine; CVTRT_UNSUPPORTED where it is none. */
cvtrt_status cvtrt_engine_kernels(const cvtrt_engine* engine, cvtrt_blob** out, cvtrt_message* message);

/* A context without device memory of its own: cvtrt_context_set_scratch comes before the first run. */
cvtrt_status cvtrt_context_create(cvtrt_engine* engine, cvtrt_context** out, cvtrt_message* message);

/* No run of it may be under way. Null is allowed. */
void cvtrt_context_destroy(cvtrt_context* context);

/* Device memory of what the profile in use needs at least, not used by anything else while a run is under way. */
cvtrt_status cvtrt_context_set_scratch(cvtrt_context* context, void* memory, uint64_t bytes, cvtrt_message* message);

/* `stream` is a CUstream, here and below. Forgets the input shapes. */
cvtrt_status cvtrt_context_set_profile(cvtrt_context* context, int32_t profile, void* stream, cvtrt_message* message);

cvtrt_status cvtrt_context_set_input_shape(
    cvtrt_context* context, int32_t index, const cvtrt_dims* dims, cvtrt_message* message);

/* The shape that follows from the input shapes set so far; a negative rank where it does not follow yet. */
cvtrt_status cvtrt_context_shape(const cvtrt_context* context, int32_t index, cvtrt_dims* out);

/* Memory of one input or output: on the device, or on the host where the port says so. */
cvtrt_status cvtrt_context_set_address(cvtrt_context* context, int32_t index, void* address, cvtrt_message* message);

/* Enqueues one run and returns before it is done. The addresses must stay valid until then. */
cvtrt_status cvtrt_context_enqueue(cvtrt_context* context, void* stream, cvtrt_message* message);

#ifdef __cplusplus
}
#endif

#endif
