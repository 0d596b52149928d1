// Compiled into several small shared libraries for the loader's tests: exports what libnvinfer or libtensorrt_rtx would.
// VERSION is what it answers; LEAN leaves the builder out, NOTHING leaves everything out.
#include <cstdint>
#include <dlfcn.h>
#include <string>

#define EXPORTED extern "C" __attribute__((visibility("default")))

#if defined(NOTHING)
EXPORTED int32_t cvtrt_fake_unrelated() { return 0; }
#else
namespace {
int32_t led_to_own_folder = 0;
}

EXPORTED int32_t getInferLibVersion() { return VERSION; }
EXPORTED bool setInternalLibraryPath(const char* folder)
{
    Dl_info own{};
    dladdr(reinterpret_cast<void*>(&setInternalLibraryPath), &own);
    const std::string path = own.dli_fname;
    led_to_own_folder += path.substr(0, path.rfind('/')) == folder ? 1 : 0;
    return true;
}
// How often it was told the folder it lies in.
EXPORTED int32_t cvtrt_fake_led_to_own_folder() { return led_to_own_folder; }
EXPORTED void* createInferRuntime_INTERNAL(void*, int32_t) { return nullptr; }
#if !defined(LEAN)
EXPORTED void* createInferBuilder_INTERNAL(void*, int32_t) { return nullptr; }
#endif
#endif
