/* What the fake libraries were asked, in order, one line per call; per thread, so that tests run side by side. Tests only. */
#ifndef CVTRT_TRT_RECORD_H
#define CVTRT_TRT_RECORD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the fakes of the calling thread behave from now on. */
#define CVTRT_FAKE_WORKS 0
#define CVTRT_FAKE_BUILDER_NULL 1
#define CVTRT_FAKE_BUILDER_LOW_ADDRESS 2
#define CVTRT_FAKE_PARSER_NULL 3
#define CVTRT_FAKE_NETWORK_NULL 4
#define CVTRT_FAKE_PARSE_ERROR 5
#define CVTRT_FAKE_PARSE_SILENT 6
#define CVTRT_FAKE_BUILD_NULL 7
#define CVTRT_FAKE_BUILD_OUT_OF_MEMORY 8
#define CVTRT_FAKE_PARSER_THROWS 9
#define CVTRT_FAKE_BUILDER_BAD_ALLOC 10
#define CVTRT_FAKE_BUILDER_THROWS_INT 11
#define CVTRT_FAKE_PROFILE_INVALID 12
#define CVTRT_FAKE_ODD_LOGS 13
#define CVTRT_FAKE_IGNORES_STOP 14
#define CVTRT_FAKE_TARGET_REFUSED 15
#define CVTRT_FAKE_LOGS_FROM_THREADS 16
#define CVTRT_FAKE_NULL_NAMES 17
#define CVTRT_FAKE_SLOW_FP16 18
#define CVTRT_FAKE_RUNTIME_NULL 19
#define CVTRT_FAKE_RUNTIME_LOW_ADDRESS 20
#define CVTRT_FAKE_ENGINE_NULL 21
#define CVTRT_FAKE_CONTEXT_NULL 22
#define CVTRT_FAKE_PROFILE_REFUSED 23
#define CVTRT_FAKE_SHAPE_REFUSED 24
#define CVTRT_FAKE_ADDRESS_REFUSED 25
#define CVTRT_FAKE_ENQUEUE_FAILS 26
#define CVTRT_FAKE_TIMINGS_UNREADABLE 27
#define CVTRT_FAKE_TIMINGS_FOREIGN 28
#define CVTRT_FAKE_COMBINE_REFUSED 29
#define CVTRT_FAKE_KERNELS_FOREIGN 30
#define CVTRT_FAKE_KERNELS_REFUSED 31

void cvtrt_fake_behave(int32_t behaviour);

/* Copies the calling thread's record, NUL-terminated, and empties it. Returns its length. */
size_t cvtrt_fake_take_record(char* out, size_t capacity);

/* Entry points of fake libraries: createInferRuntime_INTERNAL, createInferBuilder_INTERNAL, createNvOnnxParser_INTERNAL. */
void* cvtrt_fake_runtime_rtx(void* logger, int32_t version);
void* cvtrt_fake_runtime_v11(void* logger, int32_t version);
void* cvtrt_fake_runtime_v10(void* logger, int32_t version);
void* cvtrt_fake_runtime_v8(void* logger, int32_t version);
void* cvtrt_fake_builder_rtx(void* logger, int32_t version);
void* cvtrt_fake_builder_v11(void* logger, int32_t version);
void* cvtrt_fake_builder_v10(void* logger, int32_t version);
void* cvtrt_fake_builder_v8(void* logger, int32_t version);
void* cvtrt_fake_parser_rtx(void* network, void* logger, int32_t version);
void* cvtrt_fake_parser_v11(void* network, void* logger, int32_t version);
void* cvtrt_fake_parser_v10(void* network, void* logger, int32_t version);
void* cvtrt_fake_parser_v8(void* network, void* logger, int32_t version);

#ifdef __cplusplus
}

#include <sstream>
#include <string>

namespace cvtrt::fake {

int32_t behaviour() noexcept;
void append(const std::string& line);

template <class... Parts>
void record(const Parts&... parts)
{
    std::ostringstream line;
    (line << ... << parts);
    append(line.str());
}

} // namespace cvtrt::fake
#endif

#endif
