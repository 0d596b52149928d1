// The build half of a computing TensorRT: its plan holds the model itself and the profiles it was told. Tests only.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "computing.h"
#include "computing_plan.h"
#include "majors.h"

namespace cvtrt::computing {

using fake::SharesProfiles;
using fake::TakesTargets;

// Methods without `override` exist in some majors only, and are never called in the others.
template <class Abi>
struct ComputingBuild {
    using Dims = typename Abi::Dims;
    // How the profile takes dimensions: by value in 8.6, by reference since.
    using DimsArgument = std::conditional_t<Abi::strongly_typed, const Dims&, Dims>;

    class Tensor final : public Abi::Tensor::Methods {
    public:
        explicit Tensor(const cvtrt_port& port) : port_(port) {}
        const char* getName() const noexcept override { return port_.name; }
        Dims getDimensions() const noexcept override { return dims_to<Dims>(port_.dims); }
        abi::DataType getType() const noexcept override { return data_type(port_.dtype); }

    private:
        cvtrt_port port_;
    };

    // Borrowed from the network, so not counted.
    class TensorObject final : public Abi::Tensor {
    public:
        explicit TensorObject(const cvtrt_port& port) : tensor_(port) { this->methods_ = &tensor_; }

    private:
        Tensor tensor_;
    };

    class Network final : public Abi::Network::Methods {
    public:
        int32_t getNbLayers() const noexcept override { return 0; }
        typename Abi::Layer* getLayer(int32_t) const noexcept override { return nullptr; }
        int32_t getNbInputs() const noexcept override { return static_cast<int32_t>(inputs_.size()); }
        typename Abi::Tensor* getInput(int32_t index) const noexcept override { return at(inputs_, index); }
        int32_t getNbOutputs() const noexcept override { return static_cast<int32_t>(outputs_.size()); }
        typename Abi::Tensor* getOutput(int32_t index) const noexcept override { return at(outputs_, index); }

        void fill(std::string onnx, std::unique_ptr<Model> model)
        {
            onnx_ = std::move(onnx);
            model_ = std::move(model);
            for (int32_t index = 0; index < model_->ports(); ++index) {
                const cvtrt_port port = model_->port(index);
                (is_input(port) ? inputs_ : outputs_).push_back(std::make_unique<TensorObject>(port));
            }
        }
        const std::string& onnx() const noexcept { return onnx_; }
        const Model* model() const noexcept { return model_.get(); }

    private:
        using Tensors = std::vector<std::unique_ptr<TensorObject>>;

        static typename Abi::Tensor* at(const Tensors& tensors, int32_t index) noexcept
        {
            return tensors[static_cast<std::size_t>(index)].get();
        }

        std::string onnx_;
        std::unique_ptr<Model> model_;
        Tensors inputs_;
        Tensors outputs_;
    };
    using NetworkObject = Counted<typename Abi::Network, Network>;

    class Profile final : public Abi::Profile::Methods {
    public:
        bool setDimensions(const char* input, abi::OptProfileSelector select, DimsArgument dims) noexcept override
        {
            ranges_[input].at[static_cast<std::size_t>(select)] = dims_from(dims);
            return true;
        }
        bool isValid() const noexcept override
        {
            for (const auto& [input, range] : ranges_) {
                for (int32_t axis = 0; axis < range.at[0].rank; ++axis) {
                    if (range.at[0].size[axis] > range.at[1].size[axis] || range.at[1].size[axis] > range.at[2].size[axis]) {
                        return false;
                    }
                }
            }
            return true;
        }
        const Ranges& ranges() const noexcept { return ranges_; }

    private:
        Ranges ranges_;
    };
    using ProfileObject = Counted<typename Abi::Profile, Profile>;

    class TimingCache final : public abi::VTimingCache {
    public:
        explicit TimingCache(void* library) : library_(library) {}
        abi::IHostMemory* serialize() const noexcept override { return new Blob(library_, CVTRT_COMPUTE_BLOB, "timings"); }
        bool combine(const abi::ITimingCache&, bool) noexcept override { return true; }

    private:
        void* library_;
    };

    class ConfigOf : public Abi::Config::Methods {
    public:
        using Flag = typename Abi::BuilderFlag;

        explicit ConfigOf(void* library) : library_(library) {}

        void clearFlag(Flag) noexcept override {}
        void setFlag(Flag flag) noexcept override
        {
            plan_.version_compatible = plan_.version_compatible || flag == Flag::kVERSION_COMPATIBLE;
        }
        int32_t addOptimizationProfile(const typename Abi::Profile* profile) noexcept override
        {
            plan_.profiles.push_back(static_cast<const ProfileObject*>(profile)->implementation().ranges());
            return static_cast<int32_t>(plan_.profiles.size()) - 1;
        }
        void setProfilingVerbosity(abi::ProfilingVerbosity) noexcept override {}
        abi::ITimingCache* createTimingCache(const void*, std::size_t) const noexcept override
        {
            return new Counted<abi::ITimingCache, TimingCache>(library_, CVTRT_COMPUTE_TIMING_CACHE, library_);
        }
        bool setTimingCache(const abi::ITimingCache& cache, bool) noexcept override
        {
            cache_ = &cache;
            return true;
        }
        const abi::ITimingCache* getTimingCache() const noexcept override { return cache_; }
        void setMemoryPoolLimit(abi::MemoryPoolType, std::size_t) noexcept override {}
        void setBuilderOptimizationLevel(int32_t) noexcept override {}
        void setHardwareCompatibilityLevel(abi::HardwareCompatibilityLevel) noexcept override {}
        bool setTacticSources(uint32_t) noexcept { return true; }
        void setProgressMonitor(abi::IProgressMonitor* monitor) noexcept { monitor_ = monitor; }

        void preview(int32_t, bool enable) noexcept { plan_.shares_profiles = enable; }
        bool count_targets(int32_t count) noexcept
        {
            plan_.targets.assign(static_cast<std::size_t>(count), 0);
            return true;
        }
        bool take_target(int32_t target, int32_t index) noexcept
        {
            plan_.targets[static_cast<std::size_t>(index)] = target;
            return true;
        }

        const Plan& plan() const noexcept { return plan_; }
        // Whether the build may go on after its one step.
        bool goes_on() const noexcept
        {
            if (monitor_ == nullptr) {
                return true;
            }
            monitor_->phaseStart("Building Engine", nullptr, 1);
            const bool on = monitor_->stepComplete("Building Engine", 0);
            monitor_->phaseFinish("Building Engine");
            return on;
        }

    private:
        static Plan unshared_unless_asked()
        {
            Plan plan;
            plan.shares_profiles = Abi::shares_profiles;
            return plan;
        }

        void* library_;
        Plan plan_ = unshared_unless_asked();
        const abi::ITimingCache* cache_{nullptr};
        abi::IProgressMonitor* monitor_{nullptr};
    };
    using ConfigObject = Counted<typename Abi::Config, TakesTargets<Abi, SharesProfiles<Abi, ConfigOf>>>;

    class Builder final : public Abi::Builder::Methods {
    public:
        explicit Builder(const Home<Abi>& home) : home_(home) {}

        bool platformHasFastFp16() const noexcept { return true; }
        typename Abi::Config* createBuilderConfig() noexcept override
        {
            return new ConfigObject(home_.library(), CVTRT_COMPUTE_CONFIG, home_.library());
        }
        typename Abi::Network* createNetworkV2(uint32_t) noexcept override
        {
            return new NetworkObject(home_.library(), CVTRT_COMPUTE_NETWORK);
        }
        typename Abi::Profile* createOptimizationProfile() noexcept override
        {
            profiles_.push_back(std::make_unique<ProfileObject>(home_.library(), CVTRT_COMPUTE_PROFILE));
            return profiles_.back().get();
        }
        abi::IHostMemory* buildSerializedNetwork(
            typename Abi::Network& network, typename Abi::Config& config) noexcept override
        {
            const Network& parsed = static_cast<NetworkObject&>(network).implementation();
            const ConfigOf& options = static_cast<ConfigObject&>(config).implementation();
            if (!options.goes_on() || home_.refuses(CVTRT_COMPUTE_BUILD) || !ranges_cover(parsed, options.plan())) {
                return nullptr;
            }
            Plan plan = options.plan();
            plan.rtx = Abi::targets;
            plan.release = Release::of(home_.version());
            plan.onnx = parsed.onnx();
            return new Blob(home_.library(), CVTRT_COMPUTE_BLOB, plan.written());
        }

    private:
        bool ranges_cover(const Network& network, const Plan& plan) const
        {
            if (network.model() == nullptr) {
                return home_.complain("the network has no layers");
            }
            for (int32_t index = 0; index < network.model()->ports(); ++index) {
                const cvtrt_port port = network.model()->port(index);
                if (!is_input(port) || !is_dynamic(port.dims)) {
                    continue;
                }
                if (plan.profiles.empty()) {
                    return home_.complain("the network has dynamic inputs, but no optimization profile");
                }
                for (const Ranges& ranges : plan.profiles) {
                    if (ranges.count(port.name) == 0) {
                        return home_.complain(std::string("a profile lacks the dynamic input ") + port.name);
                    }
                }
            }
            return true;
        }

        Home<Abi> home_;
        std::vector<std::unique_ptr<ProfileObject>> profiles_;
    };
    using BuilderObject = Counted<typename Abi::Builder, Builder>;

    class ParserError final : public Abi::ParserError {
    public:
        explicit ParserError(const char* description) : description_(description) {}
        abi::ErrorCode code() const override { return static_cast<abi::ErrorCode>(3); }
        const char* desc() const override { return description_.c_str(); }
        int node() const override { return -1; }
        const char* nodeName() const { return ""; }
        const char* nodeOperator() const { return ""; }

    private:
        std::string description_;
    };

    class Parser final : public Abi::Parser {
    public:
        Parser(const Home<Abi>& home, Network& network) : home_(home), network_(network)
        {
            rust().count(home_.library(), CVTRT_COMPUTE_PARSER, 1);
        }
        ~Parser() noexcept { rust().count(home_.library(), CVTRT_COMPUTE_PARSER, -1); }
        void destroy() noexcept { delete this; }

        bool parse(const void* onnx, std::size_t bytes, const char*) noexcept override
        {
            if (home_.refuses(CVTRT_COMPUTE_PARSE)) {
                return false;
            }
            std::string copy(static_cast<const char*>(onnx), bytes);
            cvtrt_message message{};
            auto model = std::make_unique<Model>(home_.library(), copy, message);
            if (!model->opened()) {
                error_.emplace(message.text);
                return false;
            }
            network_.fill(std::move(copy), std::move(model));
            return true;
        }
        int getNbErrors() const noexcept override { return error_.has_value() ? 1 : 0; }
        const typename Abi::ParserError* getError(int) const noexcept override { return &*error_; }

    private:
        Home<Abi> home_;
        Network& network_;
        std::optional<ParserError> error_;
    };

    static void* make_builder(void* logger, int32_t version)
    {
        const Home<Abi> home(logger, version);
        if (home.refuses(CVTRT_COMPUTE_CREATE_BUILDER)) {
            return nullptr;
        }
        return new BuilderObject(home.library(), CVTRT_COMPUTE_BUILDER, home);
    }

    static void* make_parser(void* network, void* logger, int32_t version)
    {
        auto* own = static_cast<NetworkObject*>(static_cast<typename Abi::Network*>(network));
        return new Parser(Home<Abi>(logger, version), own->implementation());
    }
};

} // namespace cvtrt::computing
