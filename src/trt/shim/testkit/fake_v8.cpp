#include "abi/v8.h"
#include "recording_build.h"
#include "recording_run.h"

namespace {
using Build = cvtrt::fake::RecordingBuild<cvtrt::v8::Abi>;
using Run = cvtrt::fake::RecordingRun<cvtrt::v8::Abi>;
} // namespace

void* cvtrt_fake_runtime_v8(void* logger, int32_t version) { return Run::make_runtime(logger, version); }

void* cvtrt_fake_builder_v8(void* logger, int32_t version) { return Build::make_builder(logger, version); }

void* cvtrt_fake_parser_v8(void* network, void* logger, int32_t version)
{
    return Build::make_parser(network, logger, version);
}
