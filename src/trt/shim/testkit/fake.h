// A recording TensorRT: implements what a set of declarations names, writes down every call, computes nothing. Tests only.
#pragma once

#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "abi/callbacks.h"
#include "record.h"

namespace cvtrt::fake {

template <class Dims>
std::string spelled(const Dims& dims)
{
    std::string text = "[";
    for (int32_t axis = 0; axis < dims.nbDims; ++axis) {
        text += (axis == 0 ? "" : ",") + std::to_string(dims.d[axis]);
    }
    return text + "]";
}

// A public object whose destruction is recorded; `Methods` is the implementation behind it.
template <class Object, class Methods>
class Recorded final : public Object {
public:
    template <class... Arguments>
    explicit Recorded(const char* name, Arguments&&... arguments)
        : name_(name), implementation_(std::forward<Arguments>(arguments)...)
    {
        this->methods_ = &implementation_;
    }
    ~Recorded() noexcept override { record("delete ", name_); }

    Methods& implementation() noexcept { return implementation_; }

private:
    const char* name_;
    Methods implementation_;
};

class HostMemory final : public abi::VHostMemory {
public:
    explicit HostMemory(std::string bytes) : bytes_(std::move(bytes)) {}
    void* data() const noexcept override { return const_cast<char*>(bytes_.data()); }
    std::size_t size() const noexcept override { return bytes_.size(); }

private:
    std::string bytes_;
};
using Blob = Recorded<abi::IHostMemory, HostMemory>;

class TimingCache final : public abi::VTimingCache {
public:
    explicit TimingCache(std::string bytes) : bytes_(std::move(bytes)) {}
    abi::IHostMemory* serialize() const noexcept override { return new Blob("cache blob", bytes_ + "+timings"); }
    bool combine(const abi::ITimingCache& other, bool ignore) noexcept override;

private:
    std::string bytes_;
};
using TimingCacheObject = Recorded<abi::ITimingCache, TimingCache>;

inline bool TimingCache::combine(const abi::ITimingCache& other, bool ignore) noexcept
{
    record("combine ", ignore);
    if (behaviour() == CVTRT_FAKE_COMBINE_REFUSED) {
        return false;
    }
    // Every cache the fakes are given, they made.
    auto& made = static_cast<TimingCacheObject&>(const_cast<abi::ITimingCache&>(other));
    bytes_ += "+" + made.implementation().bytes_;
    return true;
}

// Methods without `override` exist in some majors only, and are never called in the others.
template <class Abi>
struct Fakes {
    using Dims = typename Abi::Dims;
    // How the profile takes dimensions: by value in 8.6, by reference since.
    using DimsArgument = std::conditional_t<Abi::strongly_typed, const Dims&, Dims>;

    class ParserError final : public Abi::ParserError {
    public:
        abi::ErrorCode code() const override { return static_cast<abi::ErrorCode>(8); }
        const char* desc() const override { return null_names() ? nullptr : "no importer registered"; }
        int node() const override { return 3; }
        const char* nodeName() const { return null_names() ? nullptr : "mystery"; }
        const char* nodeOperator() const { return null_names() ? nullptr : "NoSuchOp"; }

    private:
        static bool null_names() noexcept { return behaviour() == CVTRT_FAKE_NULL_NAMES; }
    };

    class Tensor final : public Abi::Tensor::Methods {
    public:
        Tensor(const char* name, abi::DataType type) : name_(name), type_(type) {}
        const char* getName() const noexcept override { return behaviour() == CVTRT_FAKE_NULL_NAMES ? nullptr : name_; }
        Dims getDimensions() const noexcept override { return {3, {-1, 80, -1}}; }
        abi::DataType getType() const noexcept override { return type_; }

    private:
        const char* name_;
        abi::DataType type_;
    };
    using TensorObject = Recorded<typename Abi::Tensor, Tensor>;

    class Layer final : public Abi::Layer::Methods {
    public:
        abi::LayerType getType() const noexcept override { return abi::LayerType{17}; }
        const char* getName() const noexcept override { return "project"; }
        int32_t getNbOutputs() const noexcept override { return 1; }
        typename Abi::Tensor* getOutput(int32_t) const noexcept override { return output_.get(); }
        void setPrecision(abi::DataType type) noexcept { record("setPrecision ", static_cast<int32_t>(type)); }
        void setOutputType(int32_t index, abi::DataType type) noexcept
        {
            record("setOutputType ", index, " ", static_cast<int32_t>(type));
        }

    private:
        // Half as the model says; 8.6 answers what it was told last, which at first is nothing.
        std::unique_ptr<TensorObject> output_ = std::make_unique<TensorObject>(
            "layer output", "m", Abi::strongly_typed ? abi::DataType::kHALF : abi::DataType::kFLOAT);
    };
    using LayerObject = Recorded<typename Abi::Layer, Layer>;

    class Network final : public Abi::Network::Methods {
    public:
        int32_t getNbLayers() const noexcept override { return 1; }
        typename Abi::Layer* getLayer(int32_t) const noexcept override { return layer_.get(); }
        int32_t getNbInputs() const noexcept override { return 1; }
        typename Abi::Tensor* getInput(int32_t) const noexcept override { return input_.get(); }
        int32_t getNbOutputs() const noexcept override { return 1; }
        typename Abi::Tensor* getOutput(int32_t) const noexcept override { return output_.get(); }

    private:
        std::unique_ptr<TensorObject> input_ = std::make_unique<TensorObject>("input", "x", abi::DataType::kFLOAT);
        std::unique_ptr<TensorObject> output_ = std::make_unique<TensorObject>("output", "y", abi::DataType::kINT32);
        std::unique_ptr<LayerObject> layer_ = std::make_unique<LayerObject>("layer");
    };

    class Profile final : public Abi::Profile::Methods {
    public:
        bool setDimensions(const char* input, abi::OptProfileSelector select, DimsArgument dims) noexcept override
        {
            record("setDimensions ", input, " ", static_cast<int32_t>(select), " ", spelled(dims));
            return true;
        }
        bool isValid() const noexcept override { return behaviour() != CVTRT_FAKE_PROFILE_INVALID; }
    };
    using ProfileObject = Recorded<typename Abi::Profile, Profile>;

    // The classes RTX adds methods to; the template argument says whether they are there.
    template <class Methods>
    class ConfigOf : public Methods {
    public:
        using Flag = typename Abi::BuilderFlag;

        void clearFlag(Flag flag) noexcept override { record("clearFlag ", static_cast<int32_t>(flag)); }
        void setFlag(Flag flag) noexcept override { record("setFlag ", static_cast<int32_t>(flag)); }
        int32_t addOptimizationProfile(const typename Abi::Profile*) noexcept override
        {
            record("addOptimizationProfile");
            return profiles_++;
        }
        void setProfilingVerbosity(abi::ProfilingVerbosity verbosity) noexcept override
        {
            record("setProfilingVerbosity ", static_cast<int32_t>(verbosity));
        }
        abi::ITimingCache* createTimingCache(const void* blob, std::size_t bytes) const noexcept override
        {
            record("createTimingCache ", bytes);
            if (bytes != 0 && behaviour() == CVTRT_FAKE_TIMINGS_UNREADABLE) {
                return nullptr;
            }
            begun_with_ = bytes;
            const char* begin = bytes == 0 ? "" : static_cast<const char*>(blob);
            return new TimingCacheObject("timing cache", std::string(begin, bytes));
        }
        bool setTimingCache(const abi::ITimingCache& cache, bool ignore) noexcept override
        {
            record("setTimingCache ", ignore);
            cache_ = &cache;
            return begun_with_ == 0 || behaviour() != CVTRT_FAKE_TIMINGS_FOREIGN;
        }
        const abi::ITimingCache* getTimingCache() const noexcept override { return cache_; }
        void setMemoryPoolLimit(abi::MemoryPoolType pool, std::size_t bytes) noexcept override
        {
            record("setMemoryPoolLimit ", static_cast<int32_t>(pool), " ", bytes);
        }
        void setBuilderOptimizationLevel(int32_t level) noexcept override { record("setBuilderOptimizationLevel ", level); }
        void setHardwareCompatibilityLevel(abi::HardwareCompatibilityLevel level) noexcept override
        {
            record("setHardwareCompatibilityLevel ", static_cast<int32_t>(level));
        }
        bool setTacticSources(uint32_t sources) noexcept
        {
            record("setTacticSources ", sources);
            return true;
        }
        void setProgressMonitor(abi::IProgressMonitor* monitor) noexcept
        {
            record("setProgressMonitor ", monitor->getInterfaceInfo().kind);
            monitor_ = monitor;
        }

        abi::IProgressMonitor* monitor() const noexcept { return monitor_; }

    private:
        int32_t profiles_{0};
        const abi::ITimingCache* cache_{nullptr};
        mutable std::size_t begun_with_{0};
        abi::IProgressMonitor* monitor_{nullptr};
    };

    template <class Methods, bool targets>
    class ConfigWith final : public ConfigOf<Methods> {};

    template <class Methods>
    class ConfigWith<Methods, true> final : public ConfigOf<Methods> {
    public:
        bool setNbComputeCapabilities(int32_t count) noexcept override
        {
            record("setNbComputeCapabilities ", count);
            return true;
        }
        bool setComputeCapability(typename Abi::ComputeCapability capability, int32_t index) noexcept override
        {
            record("setComputeCapability ", static_cast<int32_t>(capability), " at ", index);
            return behaviour() != CVTRT_FAKE_TARGET_REFUSED;
        }
    };
    using Config = ConfigWith<typename Abi::Config::Methods, Abi::targets>;
    using ConfigObject = Recorded<typename Abi::Config, Config>;

    class Builder final : public Abi::Builder::Methods {
    public:
        explicit Builder(typename Abi::Logger& logger) : logger_(logger) {}

        bool platformHasFastFp16() const noexcept { return behaviour() != CVTRT_FAKE_SLOW_FP16; }
        typename Abi::Config* createBuilderConfig() noexcept override { return new ConfigObject("config"); }
        typename Abi::Network* createNetworkV2(uint32_t flags) noexcept override
        {
            record("createNetworkV2 ", flags);
            return behaviour() == CVTRT_FAKE_NETWORK_NULL ? nullptr : new Recorded<typename Abi::Network, Network>("network");
        }
        typename Abi::Profile* createOptimizationProfile() noexcept override
        {
            profiles_.push_back(std::make_unique<ProfileObject>("profile"));
            return profiles_.back().get();
        }
        abi::IHostMemory* buildSerializedNetwork(
            typename Abi::Network& network, typename Abi::Config& config) noexcept override
        {
            record("buildSerializedNetwork ", network->getNbLayers());
            write_logs();
            if (!report(static_cast<ConfigObject&>(config).implementation().monitor())
                && behaviour() != CVTRT_FAKE_IGNORES_STOP) {
                return nullptr;
            }
            if (behaviour() == CVTRT_FAKE_BUILD_NULL || behaviour() == CVTRT_FAKE_BUILD_OUT_OF_MEMORY) {
                return nullptr;
            }
            return new Blob("plan", plan_bytes());
        }

    private:
        // Nothing but a header: magic, size at 16, version at 24.
        static std::string plan_bytes()
        {
            std::string plan(64, '\0');
            plan.replace(0, 4, Abi::targets ? "vtrt" : "ftrt");
            plan[16] = 64;
            plan[24] = Abi::targets ? 1 : 11;
            return plan;
        }

        void write_logs() noexcept
        {
            switch (behaviour()) {
            case CVTRT_FAKE_BUILD_NULL: logger_.log(abi::Severity::kERROR, "no implementation for node `project`"); return;
            case CVTRT_FAKE_BUILD_OUT_OF_MEMORY:
                logger_.log(abi::Severity::kERROR, "Error Code 2: OutOfMemory (Requested size was 4096 bytes.)");
                return;
            case CVTRT_FAKE_ODD_LOGS:
                logger_.log(abi::Severity::kWARNING, nullptr);
                logger_.log(abi::Severity::kWARNING, "\xff\xfe not UTF-8");
                logger_.log(static_cast<abi::Severity>(77), "unknown severity");
                return;
            case CVTRT_FAKE_LOGS_FROM_THREADS: write_from_threads(); return;
            default: return;
            }
        }

        void write_from_threads() noexcept
        {
            std::vector<std::thread> threads;
            for (int index = 0; index < 8; ++index) {
                threads.emplace_back([this] {
                    for (int line = 0; line < 50; ++line) {
                        logger_.log(abi::Severity::kWARNING, "from a thread");
                    }
                });
            }
            for (std::thread& thread : threads) {
                thread.join();
            }
        }

        static bool report(abi::IProgressMonitor* monitor) noexcept
        {
            if (monitor == nullptr) {
                return true;
            }
            monitor->phaseStart("Building", nullptr, 2);
            monitor->phaseStart("Timing", "Building", 1);
            const bool inner = monitor->stepComplete("Timing", 0);
            monitor->phaseFinish("Timing");
            const bool outer = monitor->stepComplete("Building", 0);
            monitor->phaseFinish("Building");
            record("told to go on ", inner, " ", outer);
            return inner && outer;
        }

        typename Abi::Logger& logger_;
        std::vector<std::unique_ptr<ProfileObject>> profiles_;
    };
    using BuilderObject = Recorded<typename Abi::Builder, Builder>;

    class Parser final : public Abi::Parser {
    public:
        ~Parser() noexcept { record("delete parser"); }
        void destroy() noexcept { delete this; }

        bool parse(const void*, std::size_t bytes, const char* path) noexcept override
        {
            record("parse ", bytes, " ", path == nullptr ? "-" : path);
            failed_ = behaviour() == CVTRT_FAKE_PARSE_ERROR || behaviour() == CVTRT_FAKE_NULL_NAMES;
            return !failed_ && behaviour() != CVTRT_FAKE_PARSE_SILENT;
        }
        int getNbErrors() const noexcept override { return failed_ ? 1 : 0; }
        const typename Abi::ParserError* getError(int) const noexcept override { return &error_; }

    private:
        bool failed_{false};
        ParserError error_;
    };

    class Context final : public Abi::Context::Methods {
    public:
        void setDeviceMemory(void* memory) noexcept { record("setDeviceMemory ", memory); }
        void setDeviceMemoryV2(void* memory, int64_t bytes) noexcept { record("setDeviceMemory ", memory, " ", bytes); }
        bool setOptimizationProfileAsync(int32_t profile, abi::CudaStream stream) noexcept override
        {
            record("setOptimizationProfileAsync ", profile, " on ", stream);
            return behaviour() != CVTRT_FAKE_PROFILE_REFUSED;
        }
        bool setInputShape(const char* tensor, const Dims& dims) noexcept override
        {
            record("setInputShape ", tensor, " ", spelled(dims));
            shape_ = dims;
            return behaviour() != CVTRT_FAKE_SHAPE_REFUSED;
        }
        Dims getTensorShape(const char*) const noexcept override { return shape_; }
        bool setTensorAddress(const char* tensor, void* address) noexcept override
        {
            record("setTensorAddress ", tensor, " ", address);
            return behaviour() != CVTRT_FAKE_ADDRESS_REFUSED;
        }
        bool enqueueV3(abi::CudaStream stream) noexcept override
        {
            record("enqueueV3 on ", stream);
            return behaviour() != CVTRT_FAKE_ENQUEUE_FAILS;
        }

    private:
        // Not known before an input's shape is.
        Dims shape_{-1, {}};
    };

    class EngineOf : public Abi::Engine::Methods {
    public:
        int32_t getNbOptimizationProfiles() const noexcept override { return 2; }
        Dims getTensorShape(const char*) const noexcept override { return {2, {-1, 80}}; }
        abi::DataType getTensorDataType(const char* tensor) const noexcept override
        {
            return is(tensor, "y") ? abi::DataType::kHALF : abi::DataType::kFLOAT;
        }
        abi::TensorLocation getTensorLocation(const char* tensor) const noexcept override
        {
            return is(tensor, "length") ? abi::TensorLocation::kHOST : abi::TensorLocation::kDEVICE;
        }
        abi::TensorIOMode getTensorIOMode(const char* tensor) const noexcept override
        {
            return is(tensor, "y") ? abi::TensorIOMode::kOUTPUT : abi::TensorIOMode::kINPUT;
        }
        Dims getProfileShape(const char*, int32_t profile, abi::OptProfileSelector select) const noexcept override
        {
            return {2, {(profile + 1) * (static_cast<int32_t>(select) + 1), 80}};
        }
        int32_t getNbIOTensors() const noexcept override { return 3; }
        const char* getIOTensorName(int32_t index) const noexcept override
        {
            static constexpr const char* names[]{"x", "length", "y"};
            return behaviour() == CVTRT_FAKE_NULL_NAMES ? nullptr : names[index];
        }
        std::size_t getDeviceMemorySize() const noexcept { return 4096; }
        int64_t getDeviceMemorySizeV2() const noexcept { return 4096; }

        typename Abi::Context* make_context(int32_t strategy) noexcept
        {
            record("createExecutionContext ", strategy);
            return behaviour() == CVTRT_FAKE_CONTEXT_NULL ? nullptr : new Recorded<typename Abi::Context, Context>("context");
        }

    private:
        static bool is(const char* tensor, std::string_view name) noexcept { return tensor == name; }
    };

    template <class Any, bool strategies>
    class EngineWith final : public EngineOf {
    public:
        typename Any::Context* createExecutionContext(typename Any::ContextAllocation strategy) noexcept override
        {
            return this->make_context(static_cast<int32_t>(strategy));
        }
    };

    template <class Any>
    class EngineWith<Any, false> final : public EngineOf {
    public:
        typename Any::Context* createExecutionContextWithoutDeviceMemory() noexcept override
        {
            return this->make_context(-1);
        }
    };
    using EngineObject = Recorded<typename Abi::Engine, EngineWith<Abi, Abi::strongly_typed>>;

    class RuntimeOf : public Abi::Runtime::Methods {
    public:
        void setEngineHostCodeAllowed(bool allowed) noexcept override { record("setEngineHostCodeAllowed ", allowed); }

        static typename Abi::Engine* make_engine(std::size_t bytes) noexcept
        {
            record("deserializeCudaEngine ", bytes);
            return behaviour() == CVTRT_FAKE_ENGINE_NULL ? nullptr : new EngineObject("engine");
        }
    };

    template <class Any, bool factories>
    class RuntimeWith final : public RuntimeOf {
    public:
        typename Any::Engine* deserializeCudaEngine(const void*, std::size_t bytes) noexcept override
        {
            return this->make_engine(bytes);
        }
    };

    template <class Any>
    class RuntimeWith<Any, true> final : public RuntimeOf {
    public:
        typename Any::Engine* deserializeCudaEngine(
            const void*, std::size_t bytes, typename Any::PluginFactory* factory) noexcept override
        {
            record(factory == nullptr ? "no plugin factory" : "plugin factory");
            return this->make_engine(bytes);
        }
    };
    using RuntimeObject = Recorded<typename Abi::Runtime, RuntimeWith<Abi, !Abi::strongly_typed>>;

    static void* make_runtime(void*, int32_t version)
    {
        record("create runtime ", version);
        switch (behaviour()) {
        case CVTRT_FAKE_RUNTIME_NULL: return nullptr;
        case CVTRT_FAKE_RUNTIME_LOW_ADDRESS: return reinterpret_cast<void*>(std::uintptr_t{0x228});
        default: return new RuntimeObject("runtime");
        }
    }

    static void* make_builder(void* logger, int32_t version)
    {
        record("create builder ", version);
        switch (behaviour()) {
        case CVTRT_FAKE_BUILDER_NULL: return nullptr;
        case CVTRT_FAKE_BUILDER_LOW_ADDRESS: return reinterpret_cast<void*>(std::uintptr_t{0x228});
        case CVTRT_FAKE_BUILDER_BAD_ALLOC: throw std::bad_alloc();
        case CVTRT_FAKE_BUILDER_THROWS_INT: throw 7;
        default: return new BuilderObject("builder", *static_cast<typename Abi::Logger*>(logger));
        }
    }

    static void* make_parser(void* network, void*, int32_t version)
    {
        record("create parser ", version, network == nullptr ? " without network" : "");
        switch (behaviour()) {
        case CVTRT_FAKE_PARSER_NULL: return nullptr;
        case CVTRT_FAKE_PARSER_THROWS: throw std::runtime_error("importer registry is broken");
        default: return new Parser();
        }
    }
};

} // namespace cvtrt::fake
