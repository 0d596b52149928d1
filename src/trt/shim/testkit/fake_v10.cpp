#include "abi/v10.h"
#include "recording_build.h"
#include "recording_run.h"

namespace {
using Build = cvtrt::fake::RecordingBuild<cvtrt::v10::Abi>;
using Run = cvtrt::fake::RecordingRun<cvtrt::v10::Abi>;
} // namespace

void* cvtrt_fake_runtime_v10(void* logger, int32_t version) { return Run::make_runtime(logger, version); }

void* cvtrt_fake_builder_v10(void* logger, int32_t version) { return Build::make_builder(logger, version); }

void* cvtrt_fake_parser_v10(void* network, void* logger, int32_t version)
{
    return Build::make_parser(network, logger, version);
}
