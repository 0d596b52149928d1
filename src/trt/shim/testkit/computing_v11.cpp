#include "abi/v11.h"
#include "computing_build.h"
#include "computing_run.h"

namespace {
using Build = cvtrt::computing::ComputingBuild<cvtrt::v11::Abi>;
using Run = cvtrt::computing::ComputingRun<cvtrt::v11::Abi>;
} // namespace

void* cvtrt_computing_runtime_v11(void* logger, int32_t version) { return Run::make_runtime(logger, version); }

void* cvtrt_computing_builder_v11(void* logger, int32_t version) { return Build::make_builder(logger, version); }

void* cvtrt_computing_parser_v11(void* network, void* logger, int32_t version)
{
    return Build::make_parser(network, logger, version);
}
