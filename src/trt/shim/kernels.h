// Kernels that RTX compiles on the device: how, and where they are kept. Empty for the other libraries.
#pragma once

#include "session.h"

namespace cvtrt {

template <class Abi, bool compiles = Abi::compiles_at_run_time>
class Kernels {
public:
    using Context = typename Abi::Context;

    bool configure(typename Abi::Engine&, const cvtrt_kernel_options&)
    {
        throw Failure{CVTRT_UNSUPPORTED, std::string("compiling kernels at run time with ") + Abi::name};
    }
    std::unique_ptr<cvtrt_blob> cached() const
    {
        throw Failure{CVTRT_UNSUPPORTED, std::string("a cache of kernels with ") + Abi::name};
    }
    Context* create_context(typename Abi::Engine& engine) const { return Abi::create_context(engine); }
};

template <class Abi>
class Kernels<Abi, true> {
public:
    using Context = typename Abi::Context;

    // Whether the cache of an earlier process was taken.
    bool configure(typename Abi::Engine& engine, const cvtrt_kernel_options& options)
    {
        std::unique_ptr<typename Abi::RuntimeConfig> made(checked(engine->createRuntimeConfig(), "createRuntimeConfig"));
        typename Abi::RuntimeConfig& config = *made;
        std::unique_ptr<typename Abi::RuntimeCache> cache(checked(config->createRuntimeCache(), "createRuntimeCache"));
        bool taken = false;
        if (options.cache_bytes != 0) {
            typename Abi::RuntimeCache& empty = *cache;
            taken = empty->deserialize(options.cache, options.cache_bytes);
        }
        if (!config->setRuntimeCache(*cache)) {
            throw Failure{CVTRT_FAILED, "the cache of kernels was refused"};
        }
        config->setExecutionContextAllocationStrategy(Abi::ContextAllocation::kUSER_MANAGED);
        config->setDynamicShapesKernelSpecializationStrategy(Abi::Specialization::kLAZY);
        if (!config->setCudaGraphStrategy(Abi::Graphs::kDISABLED)) {
            throw Failure{CVTRT_FAILED, "the choice of CUDA graphs was refused"};
        }
        config_ = std::move(made);
        cache_ = std::move(cache);
        return taken;
    }

    std::unique_ptr<cvtrt_blob> cached() const
    {
        if (cache_ == nullptr) {
            throw Failure{CVTRT_UNSUPPORTED, "a cache of kernels for an engine that was not told to keep one"};
        }
        const typename Abi::RuntimeCache& cache = *cache_;
        std::unique_ptr<abi::IHostMemory> blob(checked(cache->serialize(), "IRuntimeCache::serialize"));
        return std::make_unique<cvtrt_blob>(cvtrt_blob{std::move(blob)});
    }

    Context* create_context(typename Abi::Engine& engine) const
    {
        return config_ == nullptr ? Abi::create_context(engine)
                                  : engine->createExecutionContextWithRuntimeConfig(config_.get());
    }

private:
    // Destroyed from the last to the first: the configuration refers to the cache.
    std::unique_ptr<typename Abi::RuntimeCache> cache_;
    std::unique_ptr<typename Abi::RuntimeConfig> config_;
};

} // namespace cvtrt
