#include "abi/rtx.h"
#include "computing_build.h"
#include "computing_run.h"

namespace {
using Build = cvtrt::computing::ComputingBuild<cvtrt::rtx::Abi>;
using Run = cvtrt::computing::ComputingRun<cvtrt::rtx::Abi>;
} // namespace

void* cvtrt_computing_runtime_rtx(void* logger, int32_t version) { return Run::make_runtime(logger, version); }

void* cvtrt_computing_builder_rtx(void* logger, int32_t version) { return Build::make_builder(logger, version); }

void* cvtrt_computing_parser_rtx(void* network, void* logger, int32_t version)
{
    return Build::make_parser(network, logger, version);
}
