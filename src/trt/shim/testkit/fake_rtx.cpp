#include "abi/rtx.h"
#include "recording_build.h"
#include "recording_run.h"

namespace {
using Build = cvtrt::fake::RecordingBuild<cvtrt::rtx::Abi>;
using Run = cvtrt::fake::RecordingRun<cvtrt::rtx::Abi>;
} // namespace

void* cvtrt_fake_runtime_rtx(void* logger, int32_t version) { return Run::make_runtime(logger, version); }

void* cvtrt_fake_builder_rtx(void* logger, int32_t version) { return Build::make_builder(logger, version); }

void* cvtrt_fake_parser_rtx(void* network, void* logger, int32_t version)
{
    return Build::make_parser(network, logger, version);
}
