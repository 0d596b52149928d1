#include "abi/v11.h"
#include "fake.h"

namespace {
using Fakes = cvtrt::fake::Fakes<cvtrt::v11::Abi>;
}

void* cvtrt_fake_runtime_v11(void* logger, int32_t version) { return Fakes::make_runtime(logger, version); }

void* cvtrt_fake_builder_v11(void* logger, int32_t version) { return Fakes::make_builder(logger, version); }

void* cvtrt_fake_parser_v11(void* network, void* logger, int32_t version)
{
    return Fakes::make_parser(network, logger, version);
}
