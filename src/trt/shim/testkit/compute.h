/* What a computing fake library asks of Rust: what models are, how their runs end, and what is to go wrong. Tests only. */
#ifndef CVTRT_TRT_COMPUTE_H
#define CVTRT_TRT_COMPUTE_H

#include <stddef.h>
#include <stdint.h>

#include "cvtrt_trt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Calls that can be made to fail. */
#define CVTRT_COMPUTE_CREATE_BUILDER 0
#define CVTRT_COMPUTE_PARSE 1
#define CVTRT_COMPUTE_BUILD 2
#define CVTRT_COMPUTE_CREATE_RUNTIME 3
#define CVTRT_COMPUTE_LOAD 4
#define CVTRT_COMPUTE_CREATE_CONTEXT 5
#define CVTRT_COMPUTE_SET_PROFILE 6
#define CVTRT_COMPUTE_SET_SHAPE 7
#define CVTRT_COMPUTE_SET_ADDRESS 8
#define CVTRT_COMPUTE_ENQUEUE 9
#define CVTRT_COMPUTE_CREATE_CONFIG 10

/* How a call is to end. */
#define CVTRT_COMPUTE_PASSES 0
#define CVTRT_COMPUTE_REFUSED 1
#define CVTRT_COMPUTE_OUT_OF_MEMORY 2

/* Objects that are counted. */
#define CVTRT_COMPUTE_BUILDER 0
#define CVTRT_COMPUTE_CONFIG 1
#define CVTRT_COMPUTE_NETWORK 2
#define CVTRT_COMPUTE_PROFILE 3
#define CVTRT_COMPUTE_PARSER 4
#define CVTRT_COMPUTE_TIMING_CACHE 5
#define CVTRT_COMPUTE_BLOB 6
#define CVTRT_COMPUTE_RUNTIME 7
#define CVTRT_COMPUTE_ENGINE 8
#define CVTRT_COMPUTE_CONTEXT 9
#define CVTRT_COMPUTE_RUNTIME_CONFIG 10
#define CVTRT_COMPUTE_RUNTIME_CACHE 11

/* A run with all it needs. Arrays are as long as the model has ports. */
typedef struct cvtrt_compute_run {
    uint64_t stream;
    const cvtrt_dims* shapes;
    void* const* addresses;
    void* scratch;
    uint64_t scratch_bytes; /* what the run may overwrite of it */
} cvtrt_compute_run;

typedef struct cvtrt_compute {
    /* The library whose log lines go to this target; null where none does. */
    void* (*library_of)(void* log_user);
    int32_t (*outcome)(void* library, int32_t call);
    void (*count)(void* library, int32_t object, int32_t change);
    /* A kernel was compiled at run time. */
    void (*compiled)(void* library);
    /* A rule of the real library was broken in a place that returns nothing. */
    void (*misused)(void* library, const char* how);
    /* Reads a model; null with a message where it is none. */
    void* (*open_model)(void* library, const void* onnx, size_t bytes, cvtrt_message* message);
    void (*close_model)(void* model);
    int32_t (*port_count)(const void* model);
    /* The name lives as long as the model. */
    void (*port)(const void* model, int32_t index, cvtrt_port* out);
    /* Fills in the outputs' shapes from the inputs'; zero where they do not follow. */
    int32_t (*infer)(const void* model, cvtrt_dims* shapes);
    /* Does the work, now or when the stream comes to it; zero with a message where it cannot. */
    int32_t (*enqueue)(const void* model, const cvtrt_compute_run* run, cvtrt_message* message);
} cvtrt_compute;

/* Once per process, before any of the entry points is called. */
void cvtrt_compute_install(const cvtrt_compute* table);

/* Entry points of computing libraries, as in record.h. */
void* cvtrt_computing_runtime_rtx(void* logger, int32_t version);
void* cvtrt_computing_runtime_v11(void* logger, int32_t version);
void* cvtrt_computing_runtime_v10(void* logger, int32_t version);
void* cvtrt_computing_runtime_v8(void* logger, int32_t version);
void* cvtrt_computing_builder_rtx(void* logger, int32_t version);
void* cvtrt_computing_builder_v11(void* logger, int32_t version);
void* cvtrt_computing_builder_v10(void* logger, int32_t version);
void* cvtrt_computing_builder_v8(void* logger, int32_t version);
void* cvtrt_computing_parser_rtx(void* network, void* logger, int32_t version);
void* cvtrt_computing_parser_v11(void* network, void* logger, int32_t version);
void* cvtrt_computing_parser_v10(void* network, void* logger, int32_t version);
void* cvtrt_computing_parser_v8(void* network, void* logger, int32_t version);

#ifdef __cplusplus
}
#endif

#endif
