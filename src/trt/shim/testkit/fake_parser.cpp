// The ONNX parser's side of fake_infer.cpp.
#include <cstdint>

#define EXPORTED extern "C" __attribute__((visibility("default")))

#if defined(NOTHING)
EXPORTED int32_t cvtrt_fake_unrelated() { return 0; }
#else
EXPORTED int32_t getNvOnnxParserVersion() { return VERSION; }
EXPORTED void* createNvOnnxParser_INTERNAL(void*, void*, int32_t) { return nullptr; }
#endif
