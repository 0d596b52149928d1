#include "abi/v8.h"
#include "fake.h"

namespace {
using Fakes = cvtrt::fake::Fakes<cvtrt::v8::Abi>;
}

void* cvtrt_fake_runtime_v8(void* logger, int32_t version) { return Fakes::make_runtime(logger, version); }

void* cvtrt_fake_builder_v8(void* logger, int32_t version) { return Fakes::make_builder(logger, version); }

void* cvtrt_fake_parser_v8(void* network, void* logger, int32_t version)
{
    return Fakes::make_parser(network, logger, version);
}
