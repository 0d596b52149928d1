// Dimensions between the seam's struct and the library's, which are 32 or 64 bits wide.
#pragma once

#include <limits>

#include "session.h"

namespace cvtrt {

template <class Dims>
Dims dims_to(const cvtrt_dims& dims)
{
    using Size = std::remove_reference_t<decltype(Dims{}.d[0])>;
    if (dims.rank < 0 || dims.rank > CVTRT_MAX_DIMS) {
        throw Failure{CVTRT_INVALID_ARGUMENT, "a tensor has at most eight dimensions"};
    }
    Dims out{dims.rank, {}};
    for (int32_t axis = 0; axis < dims.rank; ++axis) {
        if (dims.size[axis] > std::numeric_limits<Size>::max()) {
            throw Failure{CVTRT_INVALID_ARGUMENT, "a dimension is too large for this library"};
        }
        out.d[axis] = static_cast<Size>(dims.size[axis]);
    }
    return out;
}

// A negative rank is the library's answer for a shape it cannot tell yet.
template <class Dims>
cvtrt_dims dims_from(const Dims& dims) noexcept
{
    cvtrt_dims out{dims.nbDims, {}};
    for (int32_t axis = 0; axis < dims.nbDims && axis < CVTRT_MAX_DIMS; ++axis) {
        out.size[axis] = dims.d[axis];
    }
    return out;
}

} // namespace cvtrt
