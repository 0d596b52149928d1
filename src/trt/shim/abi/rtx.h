// TensorRT-RTX 1.5 to 1.7. Its tables are those of TensorRT 11 as far as the shim uses them (network, layer, tensor,
// profile, builder, parser); the builder configuration goes on with calls of its own after slot 54.
#pragma once

#include "v11.h"

namespace cvtrt::rtx {

// 10 * major + minor of the device, as CUDA counts compute capabilities.
enum class ComputeCapability : int32_t {};

class VBuilderConfig : public v11::VBuilderConfig {
public:
    CVTRT_GAP(46)
    CVTRT_GAP(47)
    CVTRT_GAP(48)
    CVTRT_GAP(49)
    CVTRT_GAP(50)
    CVTRT_GAP(51)
    CVTRT_GAP(52)
    CVTRT_GAP(53)
    CVTRT_GAP(54)
    virtual bool setNbComputeCapabilities(int32_t count) noexcept = 0;
    CVTRT_GAP(56)
    virtual bool setComputeCapability(ComputeCapability capability, int32_t index) noexcept = 0;
};
class IBuilderConfig : public abi::Object<VBuilderConfig> {};

class VBuilder {
public:
    virtual ~VBuilder() noexcept = default;
    CVTRT_GAP(2)
    CVTRT_GAP(3)
    CVTRT_GAP(4)
    virtual IBuilderConfig* createBuilderConfig() noexcept = 0;
    virtual v11::INetworkDefinition* createNetworkV2(uint32_t flags) noexcept = 0;
    virtual v11::IOptimizationProfile* createOptimizationProfile() noexcept = 0;
    CVTRT_GAP(8)
    CVTRT_GAP(9)
    CVTRT_GAP(10)
    virtual abi::IHostMemory* buildSerializedNetwork(v11::INetworkDefinition& network, IBuilderConfig& config) noexcept = 0;
};
class IBuilder : public abi::Object<VBuilder> {};

// What differs from TensorRT 11; everything else is inherited.
struct Abi : v11::Abi {
    using Builder = rtx::IBuilder;
    using Config = rtx::IBuilderConfig;
    using ComputeCapability = rtx::ComputeCapability;

    static constexpr const char* name = "TensorRT-RTX";
    static constexpr bool targets = true;
    static constexpr bool timing_cache = false;
    static constexpr bool portable_plans = false;
};

} // namespace cvtrt::rtx
