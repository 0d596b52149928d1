// The build half, written once for every set of declarations. `Abi` names the classes and says what they can do.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "dims.h"
#include "listeners.h"
#include "names.h"
#include "session.h"

namespace cvtrt {

template <class Abi>
class Build final : public cvtrt_builder {
public:
    Build(typename Abi::Logger& logger, const cvtrt_entry_points& entry, const cvtrt_options& options)
        : monitor_(options.progress, options.progress_user)
    {
        const auto create_builder = reinterpret_cast<void* (*)(void* logger, int32_t version)>(entry.create_builder);
        const auto create_parser =
            reinterpret_cast<void* (*)(void* network, void* logger, int version)>(entry.create_parser);

        builder_.reset(checked(
            static_cast<typename Abi::Builder*>(create_builder(&logger, entry.infer_version)), "the builder factory"));
        typename Abi::Builder& builder = *builder_;
        config_.reset(checked(builder->createBuilderConfig(), "createBuilderConfig"));
        configure(options);
        network_.reset(checked(builder->createNetworkV2(Abi::network_flags), "createNetworkV2"));
        parser_.reset(checked(
            static_cast<typename Abi::Parser*>(create_parser(network_.get(), &logger, entry.parser_version)),
            "the parser factory"));
    }

    void parse(const void* onnx, std::size_t bytes, const char* path) override
    {
        const bool accepted = parser_->parse(onnx, bytes, path);
        if (accepted) {
            return;
        }
        if (parser_->getNbErrors() == 0) {
            throw Failure{CVTRT_FAILED, "the parser refused the model without a reason"};
        }
        throw Failure{CVTRT_PARSE_FAILED, "the parser refused the model"};
    }

    int32_t parse_error_count() const override { return parser_->getNbErrors(); }

    cvtrt_parse_error parse_error(int32_t index) const override
    {
        in_range(index, parser_->getNbErrors());
        const typename Abi::ParserError& error = *checked(parser_->getError(index), "getError");
        const char* name = nullptr;
        const char* operation = nullptr;
        if constexpr (Abi::parser_names_nodes) {
            name = error.nodeName();
            operation = error.nodeOperator();
        }
        return {static_cast<int32_t>(error.code()), error.node(), text_or_empty(name), text_or_empty(operation),
                text_or_empty(error.desc())};
    }

    cvtrt_counts counts() const override
    {
        typename Abi::Network& network = *network_;
        return {network->getNbInputs(), network->getNbOutputs(), network->getNbLayers()};
    }

    cvtrt_tensor tensor(int32_t direction, int32_t index) const override
    {
        typename Abi::Network& network = *network_;
        const bool input = direction == CVTRT_TENSOR_INPUT;
        in_range(index, input ? network->getNbInputs() : network->getNbOutputs());
        typename Abi::Tensor& tensor =
            *checked(input ? network->getInput(index) : network->getOutput(index), "getInput or getOutput");
        return {text_or_empty(tensor->getName()), dtype_from(tensor->getType()), dims_from(tensor->getDimensions())};
    }

    cvtrt_layer layer(int32_t index) const override
    {
        typename Abi::Network& network = *network_;
        in_range(index, network->getNbLayers());
        typename Abi::Layer& layer = *checked(network->getLayer(index), "getLayer");
        int32_t dtype = CVTRT_DTYPE_OTHER;
        if (layer->getNbOutputs() > 0) {
            typename Abi::Tensor& output = *checked(layer->getOutput(0), "getOutput");
            dtype = dtype_from(output->getType());
        }
        return {text_or_empty(layer->getName()), layer_kind(Abi::layer_type(layer->getType())), dtype};
    }

    int32_t keep_fp32(const char* const* names, std::size_t count) override
    {
        if constexpr (Abi::strongly_typed) {
            throw Failure{CVTRT_UNSUPPORTED, std::string("precision per layer with ") + Abi::name};
        } else {
            typename Abi::Network& network = *network_;
            int32_t kept = 0;
            for (int32_t index = 0; index < network->getNbLayers(); ++index) {
                typename Abi::Layer& layer = *checked(network->getLayer(index), "getLayer");
                const std::string_view name = text_or_empty(layer->getName());
                if (std::find(names, names + count, name) != names + count && compute_in_fp32(layer)) {
                    ++kept;
                }
            }
            return kept;
        }
    }

    void add_profile(const cvtrt_range* ranges, std::size_t count) override
    {
        typename Abi::Builder& builder = *builder_;
        typename Abi::Config& config = *config_;
        // Borrowed: the builder owns its profiles.
        typename Abi::Profile& profile = *checked(builder->createOptimizationProfile(), "createOptimizationProfile");
        for (const cvtrt_range* range = ranges; range != ranges + count; ++range) {
            set_dimensions(profile, range->input, abi::OptProfileSelector::kMIN, range->min);
            set_dimensions(profile, range->input, abi::OptProfileSelector::kOPT, range->opt);
            set_dimensions(profile, range->input, abi::OptProfileSelector::kMAX, range->max);
        }
        if (!profile->isValid()) {
            throw Failure{CVTRT_FAILED, "the optimisation profile is not valid"};
        }
        if (config->addOptimizationProfile(&profile) < 0) {
            throw Failure{CVTRT_FAILED, "the optimisation profile does not fit the network"};
        }
    }

    std::unique_ptr<cvtrt_blob> build() override
    {
        typename Abi::Builder& builder = *builder_;
        std::unique_ptr<abi::IHostMemory> plan(builder->buildSerializedNetwork(*network_, *config_));
        if (monitor_.stopped()) {
            throw Failure{CVTRT_CANCELLED, "the build was cancelled"};
        }
        if (plan == nullptr) {
            throw Failure{CVTRT_FAILED, "the builder returned no engine"};
        }
        return std::make_unique<cvtrt_blob>(cvtrt_blob{std::move(plan)});
    }

    std::unique_ptr<cvtrt_blob> timing_cache() override
    {
        if constexpr (Abi::timing_cache) {
            typename Abi::Config& config = *config_;
            if (timing_cache_ != nullptr) {
                // Borrowed: the configuration answers with the cache it was given.
                const abi::ITimingCache& cache = *checked(config->getTimingCache(), "getTimingCache");
                std::unique_ptr<abi::IHostMemory> blob(checked(cache->serialize(), "ITimingCache::serialize"));
                return std::make_unique<cvtrt_blob>(cvtrt_blob{std::move(blob)});
            }
        }
        throw Failure{CVTRT_UNSUPPORTED, std::string("no timing cache in this build with ") + Abi::name};
    }

    void add_timings(const void* blob, std::size_t bytes) override
    {
        if constexpr (Abi::timing_cache) {
            if (timing_cache_ != nullptr) {
                const std::unique_ptr<abi::ITimingCache> other = timings_from(blob, bytes);
                abi::ITimingCache& cache = *timing_cache_;
                if (!cache->combine(*other, false)) {
                    throw foreign_timings();
                }
                return;
            }
        }
        throw Failure{CVTRT_UNSUPPORTED, std::string("no timing cache in this build with ") + Abi::name};
    }

private:
    static Failure foreign_timings()
    {
        return Failure{CVTRT_FOREIGN_TIMINGS, "the timings belong to another library or device"};
    }

    // The library tells bytes that are no timings by giving no cache.
    std::unique_ptr<abi::ITimingCache> timings_from(const void* blob, std::size_t bytes)
    {
        typename Abi::Config& config = *config_;
        std::unique_ptr<abi::ITimingCache> cache(config->createTimingCache(blob, bytes));
        if (cache == nullptr && bytes != 0) {
            throw Failure{CVTRT_FOREIGN_TIMINGS, "the library reads no timings in them"};
        }
        checked(cache.get(), "createTimingCache");
        return cache;
    }

    void configure(const cvtrt_options& options)
    {
        typename Abi::Config& config = *config_;
        config->setProfilingVerbosity(abi::ProfilingVerbosity::kDETAILED);
        if (options.tf32 == 0) {
            config->clearFlag(Abi::BuilderFlag::kTF32);
        }
        if (options.workspace_bytes != 0) {
            config->setMemoryPoolLimit(abi::MemoryPoolType::kWORKSPACE, options.workspace_bytes);
        }
        if (options.optimization_level >= 0) {
            config->setBuilderOptimizationLevel(options.optimization_level);
        }
        if constexpr (Abi::progress) {
            if (options.progress != nullptr) {
                config->setProgressMonitor(&monitor_);
            }
        }
        share_profiles();
        set_typing(options);
        set_portability(options);
        set_targets(options);
        set_timing_cache(options);
    }

    // Contexts of several lanes use the same profile, which an engine of TensorRT 8.6 must have been built for.
    void share_profiles()
    {
        if constexpr (!Abi::shares_profiles) {
            typename Abi::Config& config = *config_;
            config->setPreviewFeature(Abi::PreviewFeature::kPROFILE_SHARING_0806, true);
        }
    }

    // A strongly typed network computes in the types of the model. TensorRT 8.6 takes those as hints: it needs leave for
    // the half type, and orders for the layers that must not have it.
    void set_typing(const cvtrt_options& options)
    {
        if constexpr (!Abi::strongly_typed) {
            typename Abi::Config& config = *config_;
            // cuBLAS and cuDNN are not carried, so the builder must not look for them.
            config->setTacticSources((1U << static_cast<int32_t>(Abi::TacticSource::kEDGE_MASK_CONVOLUTIONS))
                | (1U << static_cast<int32_t>(Abi::TacticSource::kJIT_CONVOLUTIONS)));
            switch (options.precision) {
            case CVTRT_DTYPE_F32: return;
            case CVTRT_DTYPE_F16: break;
            default: throw Failure{CVTRT_UNSUPPORTED, std::string("this precision with ") + Abi::name};
            }
            typename Abi::Builder& builder = *builder_;
            if (!builder->platformHasFastFp16()) {
                throw Failure{CVTRT_UNSUPPORTED, "FP16 is not fast on this device"};
            }
            config->setFlag(Abi::BuilderFlag::kFP16);
            config->setFlag(Abi::BuilderFlag::kOBEY_PRECISION_CONSTRAINTS);
        }
    }

    void set_portability(const cvtrt_options& options)
    {
        typename Abi::Config& config = *config_;
        if (options.version_compatible == 0 && options.hardware == CVTRT_HARDWARE_EXACT) {
            return;
        }
        if constexpr (!Abi::portable_plans) {
            throw Failure{CVTRT_UNSUPPORTED, std::string("version and hardware compatibility with ") + Abi::name};
        } else {
            if (options.version_compatible != 0) {
                config->setFlag(Abi::BuilderFlag::kVERSION_COMPATIBLE);
            }
            switch (options.hardware) {
            case CVTRT_HARDWARE_EXACT: return;
            case CVTRT_HARDWARE_AMPERE_PLUS:
                config->setHardwareCompatibilityLevel(abi::HardwareCompatibilityLevel::kAMPERE_PLUS);
                return;
            default: throw Failure{CVTRT_INVALID_ARGUMENT, "unknown hardware compatibility level"};
            }
        }
    }

    // Layers of other types, such as those that compute shapes, have no precision to set.
    static bool compute_in_fp32(typename Abi::Layer& layer)
    {
        bool floating = false;
        for (int32_t index = 0; index < layer->getNbOutputs(); ++index) {
            typename Abi::Tensor& output = *checked(layer->getOutput(index), "getOutput");
            if (output->getType() == abi::DataType::kFLOAT) {
                layer->setOutputType(index, abi::DataType::kFLOAT);
                floating = true;
            }
        }
        if (floating) {
            layer->setPrecision(abi::DataType::kFLOAT);
        }
        return floating;
    }

    void set_targets(const cvtrt_options& options)
    {
        if (options.target_count == 0) {
            return;
        }
        if constexpr (!Abi::targets) {
            throw Failure{CVTRT_UNSUPPORTED, std::string("choosing compute capabilities with ") + Abi::name};
        } else {
            typename Abi::Config& config = *config_;
            const auto count = static_cast<int32_t>(options.target_count);
            if (!config->setNbComputeCapabilities(count)) {
                throw Failure{CVTRT_FAILED, "too many compute capabilities"};
            }
            for (int32_t index = 0; index < count; ++index) {
                const int32_t target = options.targets[index];
                if (!config->setComputeCapability(typename Abi::ComputeCapability{target}, index)) {
                    throw Failure{CVTRT_FAILED, "compute capability " + std::to_string(target) + " was refused"};
                }
            }
        }
    }

    void set_timing_cache(const cvtrt_options& options)
    {
        if (options.use_timing_cache == 0) {
            return;
        }
        if constexpr (!Abi::timing_cache) {
            throw Failure{CVTRT_UNSUPPORTED, std::string("a timing cache with ") + Abi::name};
        } else {
            typename Abi::Config& config = *config_;
            timing_cache_ = timings_from(options.timing_cache, options.timing_cache_bytes);
            if (!config->setTimingCache(*timing_cache_, false)) {
                throw foreign_timings();
            }
        }
    }

    static void set_dimensions(
        typename Abi::Profile& profile, const char* input, abi::OptProfileSelector select, const cvtrt_dims& dims)
    {
        if (input == nullptr) {
            throw Failure{CVTRT_INVALID_ARGUMENT, "a range needs an input name"};
        }
        if (!profile->setDimensions(input, select, dims_to<typename Abi::Dims>(dims))) {
            throw Failure{CVTRT_FAILED, std::string("the ranges of input `") + input + "` are inconsistent"};
        }
    }

    // Destroyed from the last to the first: parser, network, config, timing cache, builder. The configuration refers to
    // the cache and the monitor, the parser to the network, and the builder owns the profiles.
    ProgressMonitor monitor_;
    std::unique_ptr<typename Abi::Builder> builder_;
    std::unique_ptr<abi::ITimingCache> timing_cache_;
    std::unique_ptr<typename Abi::Config> config_;
    std::unique_ptr<typename Abi::Network> network_;
    std::unique_ptr<typename Abi::Parser, typename Abi::DeleteParser> parser_;
};

} // namespace cvtrt
