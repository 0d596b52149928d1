// TensorRT 8.6: the methods the shim calls, in their slots.
#pragma once

#include "callbacks.h"

namespace cvtrt::v8 {

using abi::CudaStream;
using abi::DataType;
using abi::ErrorCode;
using abi::HardwareCompatibilityLevel;
using abi::IHostMemory;
using abi::ITimingCache;
using abi::LayerType;
using abi::MemoryPoolType;
using abi::OptProfileSelector;
using abi::ProfilingVerbosity;
using abi::TensorIOMode;
using abi::TensorLocation;
using Dims = abi::Dims32;
using ILogger = abi::ILoggerV10;

enum class BuilderFlag : int32_t { kFP16 = 0, kTF32 = 7, kOBEY_PRECISION_CONSTRAINTS = 10, kVERSION_COMPATIBLE = 15 };

enum class NetworkDefinitionCreationFlag : int32_t { kEXPLICIT_BATCH = 0 };

enum class PreviewFeature : int32_t { kPROFILE_SHARING_0806 = 2 };

enum class TacticSource : int32_t { kEDGE_MASK_CONVOLUTIONS = 3, kJIT_CONVOLUTIONS = 4 };

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
    CVTRT_GAP(9)
    virtual void setPrecision(DataType type) noexcept = 0;
    CVTRT_GAP(11)
    CVTRT_GAP(12)
    CVTRT_GAP(13)
    virtual void setOutputType(int32_t index, DataType type) noexcept = 0;
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
    CVTRT_GAP(12)
    CVTRT_GAP(13)
    CVTRT_GAP(14)
    CVTRT_GAP(15)
    CVTRT_GAP(16)
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
    virtual bool setDimensions(const char* input, OptProfileSelector select, Dims dims) noexcept = 0;
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
    CVTRT_GAP(10)
    CVTRT_GAP(11)
    CVTRT_GAP(12)
    CVTRT_GAP(13)
    virtual void clearFlag(BuilderFlag flag) noexcept = 0;
    virtual void setFlag(BuilderFlag flag) noexcept = 0;
    CVTRT_GAP(16)
    CVTRT_GAP(17)
    CVTRT_GAP(18)
    CVTRT_GAP(19)
    CVTRT_GAP(20)
    CVTRT_GAP(21)
    CVTRT_GAP(22)
    CVTRT_GAP(23)
    CVTRT_GAP(24)
    CVTRT_GAP(25)
    CVTRT_GAP(26)
    CVTRT_GAP(27)
    CVTRT_GAP(28)
    virtual int32_t addOptimizationProfile(const IOptimizationProfile* profile) noexcept = 0;
    CVTRT_GAP(30)
    virtual void setProfilingVerbosity(ProfilingVerbosity verbosity) noexcept = 0;
    CVTRT_GAP(32)
    CVTRT_GAP(33)
    CVTRT_GAP(34)
    CVTRT_GAP(35)
    CVTRT_GAP(36)
    CVTRT_GAP(37)
    CVTRT_GAP(38)
    CVTRT_GAP(39)
    CVTRT_GAP(40)
    CVTRT_GAP(41)
    virtual bool setTacticSources(uint32_t sources) noexcept = 0;
    CVTRT_GAP(43)
    virtual ITimingCache* createTimingCache(const void* blob, std::size_t bytes) const noexcept = 0;
    virtual bool setTimingCache(const ITimingCache& cache, bool ignoreMismatch) noexcept = 0;
    virtual const ITimingCache* getTimingCache() const noexcept = 0;
    virtual void setMemoryPoolLimit(MemoryPoolType pool, std::size_t bytes) noexcept = 0;
    CVTRT_GAP(48)
    virtual void setPreviewFeature(PreviewFeature feature, bool enable) noexcept = 0;
    CVTRT_GAP(50)
    virtual void setBuilderOptimizationLevel(int32_t level) noexcept = 0;
    CVTRT_GAP(52)
    virtual void setHardwareCompatibilityLevel(HardwareCompatibilityLevel level) noexcept = 0;
};
class IBuilderConfig : public abi::Object<VBuilderConfig> {};

class VBuilder {
public:
    virtual ~VBuilder() noexcept = default;
    CVTRT_GAP(2)
    CVTRT_GAP(3)
    virtual bool platformHasFastFp16() const noexcept = 0;
    CVTRT_GAP(5)
    CVTRT_GAP(6)
    CVTRT_GAP(7)
    CVTRT_GAP(8)
    virtual IBuilderConfig* createBuilderConfig() noexcept = 0;
    CVTRT_GAP(10)
    virtual INetworkDefinition* createNetworkV2(uint32_t flags) noexcept = 0;
    virtual IOptimizationProfile* createOptimizationProfile() noexcept = 0;
    CVTRT_GAP(13)
    CVTRT_GAP(14)
    CVTRT_GAP(15)
    CVTRT_GAP(16)
    virtual IHostMemory* buildSerializedNetwork(INetworkDefinition& network, IBuilderConfig& config) noexcept = 0;
};
class IBuilder : public abi::Object<VBuilder> {};

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
    CVTRT_GAP(10)
    virtual void setDeviceMemory(void* memory) noexcept = 0;
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
    virtual bool setOptimizationProfileAsync(int32_t profile, CudaStream stream) noexcept = 0;
    CVTRT_GAP(26)
    CVTRT_GAP(27)
    CVTRT_GAP(28)
    virtual bool setInputShape(const char* tensor, const Dims& dims) noexcept = 0;
    virtual Dims getTensorShape(const char* tensor) const noexcept = 0;
    CVTRT_GAP(31)
    virtual bool setTensorAddress(const char* tensor, void* address) noexcept = 0;
    CVTRT_GAP(33)
    CVTRT_GAP(34)
    CVTRT_GAP(35)
    CVTRT_GAP(36)
    CVTRT_GAP(37)
    CVTRT_GAP(38)
    CVTRT_GAP(39)
    CVTRT_GAP(40)
    CVTRT_GAP(41)
    CVTRT_GAP(42)
    CVTRT_GAP(43)
    virtual bool enqueueV3(CudaStream stream) noexcept = 0;
};
class IExecutionContext : public abi::Object<VExecutionContext> {};

class VCudaEngine {
public:
    virtual ~VCudaEngine() noexcept = default;
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
    CVTRT_GAP(12)
    virtual IExecutionContext* createExecutionContextWithoutDeviceMemory() noexcept = 0;
    virtual std::size_t getDeviceMemorySize() const noexcept = 0;
    CVTRT_GAP(15)
    CVTRT_GAP(16)
    CVTRT_GAP(17)
    CVTRT_GAP(18)
    CVTRT_GAP(19)
    CVTRT_GAP(20)
    CVTRT_GAP(21)
    virtual int32_t getNbOptimizationProfiles() const noexcept = 0;
    CVTRT_GAP(23)
    CVTRT_GAP(24)
    CVTRT_GAP(25)
    CVTRT_GAP(26)
    CVTRT_GAP(27)
    CVTRT_GAP(28)
    CVTRT_GAP(29)
    CVTRT_GAP(30)
    CVTRT_GAP(31)
    CVTRT_GAP(32)
    CVTRT_GAP(33)
    virtual Dims getTensorShape(const char* tensor) const noexcept = 0;
    virtual DataType getTensorDataType(const char* tensor) const noexcept = 0;
    virtual TensorLocation getTensorLocation(const char* tensor) const noexcept = 0;
    CVTRT_GAP(37)
    virtual TensorIOMode getTensorIOMode(const char* tensor) const noexcept = 0;
    CVTRT_GAP(39)
    CVTRT_GAP(40)
    CVTRT_GAP(41)
    CVTRT_GAP(42)
    CVTRT_GAP(43)
    virtual Dims getProfileShape(const char* tensor, int32_t profile, OptProfileSelector select) const noexcept = 0;
    virtual int32_t getNbIOTensors() const noexcept = 0;
    virtual const char* getIOTensorName(int32_t index) const noexcept = 0;
};
class ICudaEngine : public abi::Object<VCudaEngine> {};

// A removed interface; null is passed.
class IPluginFactory;

class VRuntime {
public:
    virtual ~VRuntime() noexcept = default;
    virtual ICudaEngine* deserializeCudaEngine(const void* plan, std::size_t bytes, IPluginFactory* factory) noexcept = 0;
    CVTRT_GAP(3)
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

// Called directly, without an implementation pointer; owned by the parser, never deleted.
class IParserError {
public:
    virtual ErrorCode code() const = 0;
    virtual const char* desc() const = 0;
    CVTRT_GAP(2) // file
    CVTRT_GAP(3) // line
    CVTRT_GAP(4) // func
    virtual int node() const = 0;

protected:
    ~IParserError() = default;
};

// Called directly, without an implementation pointer. Public headers and shipped libraries agree up to slot 8 only, so
// the destructor behind it is out of reach and `destroy` takes its place.
class IParser {
public:
    virtual bool parse(const void* model, std::size_t bytes, const char* path) = 0;
    CVTRT_GAP(1)
    CVTRT_GAP(2)
    CVTRT_GAP(3)
    CVTRT_GAP(4)
    virtual void destroy() = 0;
    virtual int getNbErrors() const = 0;
    virtual const IParserError* getError(int index) const = 0;

protected:
    ~IParser() = default;
};

struct DestroyParser {
    void operator()(IParser* parser) const noexcept { parser->destroy(); }
};

struct Abi {
    using Logger = v8::ILogger;
    using Builder = v8::IBuilder;
    using Config = v8::IBuilderConfig;
    using Network = v8::INetworkDefinition;
    using Profile = v8::IOptimizationProfile;
    using Tensor = v8::ITensor;
    using Layer = v8::ILayer;
    using Parser = v8::IParser;
    using ParserError = v8::IParserError;
    using DeleteParser = DestroyParser;
    using Runtime = v8::IRuntime;
    using Engine = v8::ICudaEngine;
    using Context = v8::IExecutionContext;
    using PluginFactory = IPluginFactory;
    using Dims = v8::Dims;
    using BuilderFlag = v8::BuilderFlag;
    using PreviewFeature = v8::PreviewFeature;
    using TacticSource = v8::TacticSource;

    static constexpr const char* name = "TensorRT 8.6";
    static constexpr uint32_t network_flags = 1U << static_cast<int32_t>(NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
    static constexpr bool versioned_logger = false;
    static constexpr bool targets = false;
    static constexpr bool timing_cache = true;
    static constexpr bool portable_plans = true;
    static constexpr bool strongly_typed = false;
    static constexpr bool progress = false;
    static constexpr bool parser_names_nodes = false;
    static constexpr bool shares_profiles = false;
    static constexpr bool compiles_at_run_time = false;

    // Before cast joined them at 1 and the fully connected and recurrent layers left, the layers had other numbers.
    static LayerType layer_type(LayerType type) noexcept
    {
        constexpr int32_t unknown = -1;
        const auto number = static_cast<int32_t>(type);
        if (number == 1 || number == 20) {
            return LayerType{unknown};
        }
        if (number == 47) {
            return LayerType{1};
        }
        return LayerType{number < 20 ? number : number - 1};
    }

    static Engine* load(Runtime& runtime, const void* plan, std::size_t bytes) noexcept
    {
        return runtime->deserializeCudaEngine(plan, bytes, nullptr);
    }
    static Context* create_context(Engine& engine) noexcept { return engine->createExecutionContextWithoutDeviceMemory(); }
    static uint64_t scratch_bytes(Engine& engine) noexcept { return engine->getDeviceMemorySize(); }
    static uint64_t profile_scratch_bytes(Engine& engine, int32_t) noexcept { return scratch_bytes(engine); }
    static void set_scratch(Context& context, void* memory, [[maybe_unused]] uint64_t bytes) noexcept
    {
        context->setDeviceMemory(memory);
    }
};

} // namespace cvtrt::v8
