#include "abi/rtx.h"
#include "fake.h"

void* cvtrt_fake_builder_rtx(void* logger, int32_t version)
{
    return cvtrt::fake::Fakes<cvtrt::rtx::Abi>::make_builder(logger, version);
}

void* cvtrt_fake_parser_rtx(void* network, void* logger, int32_t version)
{
    return cvtrt::fake::Fakes<cvtrt::rtx::Abi>::make_parser(network, logger, version);
}
