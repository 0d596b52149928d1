#include "abi/v11.h"
#include "fake.h"

void* cvtrt_fake_builder_v11(void* logger, int32_t version)
{
    return cvtrt::fake::Fakes<cvtrt::v11::Abi>::make_builder(logger, version);
}

void* cvtrt_fake_parser_v11(void* network, void* logger, int32_t version)
{
    return cvtrt::fake::Fakes<cvtrt::v11::Abi>::make_parser(network, logger, version);
}
