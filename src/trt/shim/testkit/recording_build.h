// The build half of a recording TensorRT: what a set of declarations names, computing nothing. Tests only.
#pragma once

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "majors.h"
#include "recorded.h"

namespace cvtrt::fake {

// Methods without `override` exist in some majors only, and are never called in the others.
template <class Abi>
struct RecordingBuild {
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

    class ConfigOf : public Abi::Config::Methods {
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
        void preview(int32_t feature, bool enable) noexcept { record("setPreviewFeature ", feature, " ", enable); }
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

        bool count_targets(int32_t count) noexcept
        {
            record("setNbComputeCapabilities ", count);
            return true;
        }
        bool take_target(int32_t target, int32_t index) noexcept
        {
            record("setComputeCapability ", target, " at ", index);
            return behaviour() != CVTRT_FAKE_TARGET_REFUSED;
        }

        abi::IProgressMonitor* monitor() const noexcept { return monitor_; }

    private:
        int32_t profiles_{0};
        const abi::ITimingCache* cache_{nullptr};
        mutable std::size_t begun_with_{0};
        abi::IProgressMonitor* monitor_{nullptr};
    };

    using Config = TakesTargets<Abi, SharesProfiles<Abi, ConfigOf>>;
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
