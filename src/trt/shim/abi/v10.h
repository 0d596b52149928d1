// TensorRT 10.0 to 10.16: the methods the shim calls, in their slots. Minor releases only append.
#pragma once

#include "callbacks.h"

namespace cvtrt::v10 {

using abi::CudaStream;
using abi::DataType;
using abi::HardwareCompatibilityLevel;
using abi::IHostMemory;
using abi::IParserError;
using abi::IProgressMonitor;
using abi::ITimingCache;
using abi::LayerType;
using abi::MemoryPoolType;
using abi::OptProfileSelector;
using abi::ProfilingVerbosity;
using abi::TensorIOMode;
using abi::TensorLocation;
using Dims = abi::Dims64;
using ILogger = abi::ILoggerV10;

enum class BuilderFlag : int32_t { kTF32 = 6, kVERSION_COMPATIBLE = 13 };
enum class ExecutionContextAllocationStrategy : int32_t { kUSER_MANAGED = 2 };

enum class NetworkDefinitionCreationFlag : int32_t { kSTRONGLY_TYPED = 1 };

class VTensor {
public:
    virtual ~VTensor() noexcept = default;
    CVTRT_GAP(2)
    virtual const char* getName() const noexcept = 0;
    CVTRT_GAP(4)
    virtual Dims getDimensions() const noexcept = 0;
    CVTRT_GAP(6)
    virtual DataType getType() const noexcept = 0;
};
class ITensor : public abi::Object<VTensor> {};

class VLayer {
public:
    virtual ~VLayer() noexcept = default;
    virtual LayerType getType() const noexcept = 0;
    CVTRT_GAP(3)
    virtual const char* getName() const noexcept = 0;
    CVTRT_GAP(5)
    CVTRT_GAP(6)
    virtual int32_t getNbOutputs() const noexcept = 0;
    virtual ITensor* getOutput(int32_t index) const noexcept = 0;
};
class ILayer : public abi::Object<VLayer> {};

class VNetworkDefinition {
public:
    virtual ~VNetworkDefinition() noexcept = default;
    CVTRT_GAP(2)
    CVTRT_GAP(3)
    CVTRT_GAP(4)
    CVTRT_GAP(5)
    CVTRT_GAP(6)
    CVTRT_GAP(7)
    CVTRT_GAP(8)
    CVTRT_GAP(9)
    CVTRT_GAP(10)
    CVTRT_GAP(11)
    virtual int32_t getNbLayers() const noexcept = 0;
    virtual ILayer* getLayer(int32_t index) const noexcept = 0;
    virtual int32_t getNbInputs() const noexcept = 0;
    virtual ITensor* getInput(int32_t index) const noexcept = 0;
    virtual int32_t getNbOutputs() const noexcept = 0;
    virtual ITensor* getOutput(int32_t index) const noexcept = 0;
};
class INetworkDefinition : public abi::Object<VNetworkDefinition> {};

class VOptimizationProfile {
public:
    virtual ~VOptimizationProfile() noexcept = default;
    virtual bool setDimensions(const char* input, OptProfileSelector select, const Dims& dims) noexcept = 0;
    CVTRT_GAP(3)
    CVTRT_GAP(4)
    CVTRT_GAP(5)
    CVTRT_GAP(6)
    CVTRT_GAP(7)
    CVTRT_GAP(8)
    virtual bool isValid() const noexcept = 0;
};
class IOptimizationProfile : public abi::Object<VOptimizationProfile> {};

class VBuilderConfig {
public:
    virtual ~VBuilderConfig() noexcept = default;
    CVTRT_GAP(2)
    CVTRT_GAP(3)
    CVTRT_GAP(4)
    CVTRT_GAP(5)
    CVTRT_GAP(6)
    CVTRT_GAP(7)
    CVTRT_GAP(8)
    CVTRT_GAP(9)
    virtual void clearFlag(BuilderFlag flag) noexcept = 0;
    virtual void setFlag(BuilderFlag flag) noexcept = 0;
    CVTRT_GAP(12)
    CVTRT_GAP(13)
    CVTRT_GAP(14)
    CVTRT_GAP(15)
    CVTRT_GAP(16)
    CVTRT_GAP(17)
    CVTRT_GAP(18)
    CVTRT_GAP(19)
    CVTRT_GAP(20)
    CVTRT_GAP(21)
    CVTRT_GAP(22)
    CVTRT_GAP(23)
    CVTRT_GAP(24)
    virtual int32_t addOptimizationProfile(const IOptimizationProfile* profile) noexcept = 0;
    CVTRT_GAP(26)
    virtual void setProfilingVerbosity(ProfilingVerbosity verbosity) noexcept = 0;
    CVTRT_GAP(28)
    CVTRT_GAP(29)
    CVTRT_GAP(30)
    CVTRT_GAP(31)
    CVTRT_GAP(32)
    CVTRT_GAP(33)
    CVTRT_GAP(34)
    CVTRT_GAP(35)
    CVTRT_GAP(36)
    CVTRT_GAP(37)
    CVTRT_GAP(38)
    CVTRT_GAP(39)
    virtual ITimingCache* createTimingCache(const void* blob, std::size_t bytes) const noexcept = 0;
    virtual bool setTimingCache(const ITimingCache& cache, bool ignoreMismatch) noexcept = 0;
    virtual const ITimingCache* getTimingCache() const noexcept = 0;
    virtual void setMemoryPoolLimit(MemoryPoolType pool, std::size_t bytes) noexcept = 0;
    CVTRT_GAP(44)
    CVTRT_GAP(45)
    CVTRT_GAP(46)
    virtual void setBuilderOptimizationLevel(int32_t level) noexcept = 0;
    CVTRT_GAP(48)
    virtual void setHardwareCompatibilityLevel(HardwareCompatibilityLevel level) noexcept = 0;
    CVTRT_GAP(50)
    CVTRT_GAP(51)
    CVTRT_GAP(52)
    CVTRT_GAP(53)
    CVTRT_GAP(54)
    CVTRT_GAP(55)
    virtual void setProgressMonitor(IProgressMonitor* monitor) noexcept = 0;
};
class IBuilderConfig : public abi::Object<VBuilderConfig> {};

class VBuilder {
public:
    virtual ~VBuilder() noexcept = default;
    CVTRT_GAP(2)
    CVTRT_GAP(3)
    CVTRT_GAP(4)
    CVTRT_GAP(5)
    CVTRT_GAP(6)
    virtual IBuilderConfig* createBuilderConfig() noexcept = 0;
    virtual INetworkDefinition* createNetworkV2(uint32_t flags) noexcept = 0;
    virtual IOptimizationProfile* createOptimizationProfile() noexcept = 0;
    CVTRT_GAP(10)
    CVTRT_GAP(11)
    CVTRT_GAP(12)
    CVTRT_GAP(13)
    virtual IHostMemory* buildSerializedNetwork(INetworkDefinition& network, IBuilderConfig& config) noexcept = 0;
};
class IBuilder : public abi::Object<VBuilder> {};

// Called directly, without an implementation pointer.
class IParser {
public:
    virtual bool parse(const void* model, std::size_t bytes, const char* path) noexcept = 0;
    CVTRT_GAP(1)
    CVTRT_GAP(2)
    CVTRT_GAP(3)
    CVTRT_GAP(4)
    virtual int getNbErrors() const noexcept = 0;
    virtual const IParserError* getError(int index) const noexcept = 0;
    CVTRT_GAP(7)
    virtual ~IParser() noexcept = default;
};

class VExecutionContext {
public:
    virtual ~VExecutionContext() noexcept = default;
    CVTRT_GAP(2)
    CVTRT_GAP(3)
    CVTRT_GAP(4)
    CVTRT_GAP(5)
    CVTRT_GAP(6)
    CVTRT_GAP(7)
    CVTRT_GAP(8)
    CVTRT_GAP(9)
    virtual void setDeviceMemory(void* memory) noexcept = 0;
    CVTRT_GAP(11)
    CVTRT_GAP(12)
    CVTRT_GAP(13)
    CVTRT_GAP(14)
    CVTRT_GAP(15)
    CVTRT_GAP(16)
    virtual bool setOptimizationProfileAsync(int32_t profile, CudaStream stream) noexcept = 0;
    CVTRT_GAP(18)
    CVTRT_GAP(19)
    CVTRT_GAP(20)
    virtual bool setInputShape(const char* tensor, const Dims& dims) noexcept = 0;
    virtual Dims getTensorShape(const char* tensor) const noexcept = 0;
    CVTRT_GAP(23)
    virtual bool setTensorAddress(const char* tensor, void* address) noexcept = 0;
    CVTRT_GAP(25)
    CVTRT_GAP(26)
    CVTRT_GAP(27)
    CVTRT_GAP(28)
    CVTRT_GAP(29)
    CVTRT_GAP(30)
    CVTRT_GAP(31)
    CVTRT_GAP(32)
    CVTRT_GAP(33)
    CVTRT_GAP(34)
    CVTRT_GAP(35)
    CVTRT_GAP(36)
    virtual bool enqueueV3(CudaStream stream) noexcept = 0;
    CVTRT_GAP(38)
    CVTRT_GAP(39)
    CVTRT_GAP(40)
    CVTRT_GAP(41)
    CVTRT_GAP(42)
    CVTRT_GAP(43)
    CVTRT_GAP(44)
    CVTRT_GAP(45)
    CVTRT_GAP(46)
    CVTRT_GAP(47)
    virtual std::size_t updateDeviceMemorySizeForShapes() noexcept = 0;
};
class IExecutionContext : public abi::Object<VExecutionContext> {};

class VCudaEngine {
public:
    virtual ~VCudaEngine() noexcept = default;
    CVTRT_GAP(2)
    CVTRT_GAP(3)
    CVTRT_GAP(4)
    virtual IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy strategy) noexcept = 0;
    CVTRT_GAP(6)
    virtual std::size_t getDeviceMemorySize() const noexcept = 0;
    CVTRT_GAP(8)
    CVTRT_GAP(9)
    virtual int32_t getNbOptimizationProfiles() const noexcept = 0;
    CVTRT_GAP(11)
    CVTRT_GAP(12)
    CVTRT_GAP(13)
    CVTRT_GAP(14)
    CVTRT_GAP(15)
    CVTRT_GAP(16)
    CVTRT_GAP(17)
    CVTRT_GAP(18)
    virtual Dims getTensorShape(const char* tensor) const noexcept = 0;
    virtual DataType getTensorDataType(const char* tensor) const noexcept = 0;
    virtual TensorLocation getTensorLocation(const char* tensor) const noexcept = 0;
    CVTRT_GAP(22)
    virtual TensorIOMode getTensorIOMode(const char* tensor) const noexcept = 0;
    CVTRT_GAP(24)
    CVTRT_GAP(25)
    CVTRT_GAP(26)
    CVTRT_GAP(27)
    CVTRT_GAP(28)
    virtual Dims getProfileShape(const char* tensor, int32_t profile, OptProfileSelector select) const noexcept = 0;
    virtual int32_t getNbIOTensors() const noexcept = 0;
    virtual const char* getIOTensorName(int32_t index) const noexcept = 0;
    CVTRT_GAP(32)
    CVTRT_GAP(33)
    CVTRT_GAP(34)
    CVTRT_GAP(35)
    CVTRT_GAP(36)
    CVTRT_GAP(37)
    CVTRT_GAP(38)
    CVTRT_GAP(39)
    CVTRT_GAP(40)
    virtual std::size_t getDeviceMemorySizeForProfile(int32_t profile) const noexcept = 0;
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
    CVTRT_GAP(20)
    virtual void setEngineHostCodeAllowed(bool allowed) noexcept = 0;
};
class IRuntime : public abi::Object<VRuntime> {};

struct Abi {
    using Logger = v10::ILogger;
    using Builder = v10::IBuilder;
    using Config = v10::IBuilderConfig;
    using Network = v10::INetworkDefinition;
    using Profile = v10::IOptimizationProfile;
    using Tensor = v10::ITensor;
    using Layer = v10::ILayer;
    using Parser = v10::IParser;
    using ParserError = abi::IParserError;
    using DeleteParser = std::default_delete<IParser>;
    using Runtime = v10::IRuntime;
    using Engine = v10::ICudaEngine;
    using Context = v10::IExecutionContext;
    using ContextAllocation = ExecutionContextAllocationStrategy;
    using Dims = v10::Dims;
    using BuilderFlag = v10::BuilderFlag;

    static constexpr const char* name = "TensorRT 10";
    static constexpr uint32_t network_flags = 1U << static_cast<int32_t>(NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
    static constexpr bool versioned_logger = false;
    static constexpr bool targets = false;
    static constexpr bool timing_cache = true;
    static constexpr bool portable_plans = true;
    static constexpr bool strongly_typed = true;
    static constexpr bool progress = true;
    static constexpr bool parser_names_nodes = true;
    static constexpr bool shares_profiles = true;
    static constexpr bool compiles_at_run_time = false;

    static LayerType layer_type(LayerType type) noexcept { return type; }

    static Engine* load(Runtime& runtime, const void* plan, std::size_t bytes) noexcept
    {
        return runtime->deserializeCudaEngine(plan, bytes);
    }
    static Context* create_context(Engine& engine) noexcept
    {
        return engine->createExecutionContext(ExecutionContextAllocationStrategy::kUSER_MANAGED);
    }
    // The calls that newer minors prefer do the same and are missing in 10.0.
    static uint64_t scratch_bytes(Engine& engine) noexcept { return engine->getDeviceMemorySize(); }
    static uint64_t profile_scratch_bytes(Engine& engine, int32_t profile) noexcept
    {
        return engine->getDeviceMemorySizeForProfile(profile);
    }
    static void set_scratch(Context& context, void* memory, [[maybe_unused]] uint64_t bytes) noexcept
    {
        context->setDeviceMemory(memory);
    }
};

} // namespace cvtrt::v10
