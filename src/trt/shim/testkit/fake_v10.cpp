#include "abi/v10.h"
#include "fake.h"

void* cvtrt_fake_builder_v10(void* logger, int32_t version)
{
    return cvtrt::fake::Fakes<cvtrt::v10::Abi>::make_builder(logger, version);
}

void* cvtrt_fake_parser_v10(void* network, void* logger, int32_t version)
{
    return cvtrt::fake::Fakes<cvtrt::v10::Abi>::make_parser(network, logger, version);
}
