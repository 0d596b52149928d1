// Compiled into several small shared libraries for the loader's tests: exports what libnvinfer or libtensorrt_rtx would.
// VERSION is what it answers; LEAN leaves the builder out, NOTHING leaves everything out.
#include <cstdint>

#define EXPORTED extern "C" __attribute__((visibility("default")))

#if defined(NOTHING)
EXPORTED int32_t cvtrt_fake_unrelated() { return 0; }
#else
EXPORTED int32_t getInferLibVersion() { return VERSION; }
EXPORTED void* createInferRuntime_INTERNAL(void*, int32_t) { return nullptr; }
#if !defined(LEAN)
EXPORTED void* createInferBuilder_INTERNAL(void*, int32_t) { return nullptr; }
#endif
#endif
