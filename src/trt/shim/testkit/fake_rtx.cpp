#include "abi/rtx.h"
#include "fake.h"

namespace {
using Fakes = cvtrt::fake::Fakes<cvtrt::rtx::Abi>;
}

void* cvtrt_fake_runtime_rtx(void* logger, int32_t version) { return Fakes::make_runtime(logger, version); }

void* cvtrt_fake_builder_rtx(void* logger, int32_t version) { return Fakes::make_builder(logger, version); }

void* cvtrt_fake_parser_rtx(void* network, void* logger, int32_t version)
{
    return Fakes::make_parser(network, logger, version);
}
