// Project names for TensorRT's enumerators.
#pragma once

#include <array>

#include "abi/values.h"
#include "cvtrt_trt.h"

namespace cvtrt {

inline int32_t dtype_from(abi::DataType type) noexcept
{
    switch (type) {
    case abi::DataType::kFLOAT: return CVTRT_DTYPE_F32;
    case abi::DataType::kHALF: return CVTRT_DTYPE_F16;
    case abi::DataType::kBF16: return CVTRT_DTYPE_BF16;
    case abi::DataType::kINT8: return CVTRT_DTYPE_I8;
    case abi::DataType::kINT32: return CVTRT_DTYPE_I32;
    case abi::DataType::kINT64: return CVTRT_DTYPE_I64;
    case abi::DataType::kBOOL: return CVTRT_DTYPE_BOOL;
    case abi::DataType::kUINT8: return CVTRT_DTYPE_U8;
    case abi::DataType::kFP8: break;
    }
    return CVTRT_DTYPE_OTHER;
}

// The numbers of 10.0; later minors and majors append.
inline const char* layer_kind(abi::LayerType type) noexcept
{
    static constexpr std::array names{
        "convolution", "cast", "activation", "pooling", "lrn", "scale", "softmax", "deconvolution", "concatenation",
        "elementwise", "plugin", "unary", "padding", "shuffle", "reduce", "topk", "gather", "matrix_multiply",
        "ragged_softmax", "constant", "identity", "plugin_v2", "slice", "shape", "parametric_relu", "resize",
        "trip_limit", "recurrence", "iterator", "loop_output", "select", "fill", "quantize", "dequantize", "condition",
        "conditional_input", "conditional_output", "scatter", "einsum", "assertion", "one_hot", "non_zero",
        "grid_sample", "nms", "reverse_sequence", "normalization", "plugin_v3", "squeeze", "unsqueeze", "cumulative",
        "dynamic_quantize", "attention_input", "attention_output", "rotary_embedding", "kvcache_update", "moe",
        "dist_collective"};
    const auto index = static_cast<std::size_t>(type);
    return index < names.size() ? names[index] : "unknown";
}

} // namespace cvtrt
