// TensorRT-RTX 1.5 to 1.7. Its tables are those of TensorRT 11 as far as the shim uses them (network, layer, tensor,
// profile, builder, parser, context); the builder configuration goes on with calls of its own after slot 54, and engines
// make contexts by a configuration that keeps the kernels compiled at run time.
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

enum class DynamicShapesKernelSpecializationStrategy : int32_t { kLAZY = 0, kEAGER = 1, kNONE = 2 };
enum class CudaGraphStrategy : int32_t { kDISABLED = 0, kWHOLE_GRAPH_CAPTURE = 1 };

// In no public header. NVIDIA's Python bindings of 1.5.0, 1.6.1 and 1.7.1 forward to these slots, and the table of the
// class in the library of 1.7.1 has these five and one of an inner base behind them.
class VRuntimeCache {
public:
    virtual ~VRuntimeCache() noexcept = default;
    virtual abi::IHostMemory* serialize() const noexcept = 0;
    virtual bool deserialize(const void* blob, std::size_t bytes) noexcept = 0;
    CVTRT_GAP(4)
};
class IRuntimeCache : public abi::Object<VRuntimeCache> {};

class VRuntimeConfig {
public:
    virtual ~VRuntimeConfig() noexcept = default;
    CVTRT_GAP(2)
    virtual void setExecutionContextAllocationStrategy(v11::ExecutionContextAllocationStrategy strategy) noexcept = 0;
    CVTRT_GAP(4)
    virtual IRuntimeCache* createRuntimeCache() const noexcept = 0;
    virtual bool setRuntimeCache(const IRuntimeCache& cache) noexcept = 0;
    CVTRT_GAP(7)
    virtual void setDynamicShapesKernelSpecializationStrategy(DynamicShapesKernelSpecializationStrategy strategy) noexcept = 0;
    CVTRT_GAP(9)
    virtual bool setCudaGraphStrategy(CudaGraphStrategy strategy) noexcept = 0;
};
class IRuntimeConfig : public abi::Object<VRuntimeConfig> {};

class VCudaEngine : public v11::VCudaEngine {
public:
    CVTRT_GAP(46)
    virtual v11::IExecutionContext* createExecutionContextWithRuntimeConfig(IRuntimeConfig* config) noexcept = 0;
    virtual IRuntimeConfig* createRuntimeConfig() noexcept = 0;
};
class ICudaEngine : public abi::Object<VCudaEngine> {};

class VRuntime {
public:
    virtual ~VRuntime() noexcept = default;
    CVTRT_GAP(2)
    virtual ICudaEngine* deserializeCudaEngine(const void* plan, std::size_t bytes) noexcept = 0;
    CVTRT_GAP(4)
    CVTRT_GAP(5)
    CVTRT_GAP(6)
    CVTRT_GAP(7)
    CVTRT_GAP(8)
    CVTRT_GAP(9)
    CVTRT_GAP(10)
    CVTRT_GAP(11)
    CVTRT_GAP(12)
    CVTRT_GAP(13)
    CVTRT_GAP(14)
    CVTRT_GAP(15)
    CVTRT_GAP(16)
    CVTRT_GAP(17)
    CVTRT_GAP(18)
    CVTRT_GAP(19)
    virtual void setEngineHostCodeAllowed(bool allowed) noexcept = 0;
};
class IRuntime : public abi::Object<VRuntime> {};

// What differs from TensorRT 11; everything else is inherited.
struct Abi : v11::Abi {
    using Builder = rtx::IBuilder;
    using Config = rtx::IBuilderConfig;
    using ComputeCapability = rtx::ComputeCapability;
    using Runtime = rtx::IRuntime;
    using Engine = rtx::ICudaEngine;
    using RuntimeConfig = rtx::IRuntimeConfig;
    using RuntimeCache = rtx::IRuntimeCache;
    using Specialization = DynamicShapesKernelSpecializationStrategy;
    using Graphs = CudaGraphStrategy;

    static constexpr const char* name = "TensorRT-RTX";
    static constexpr bool targets = true;
    static constexpr bool timing_cache = false;
    static constexpr bool portable_plans = false;
    static constexpr bool compiles_at_run_time = true;
};

} // namespace cvtrt::rtx
