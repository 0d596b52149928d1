// What a recording engine of RTX has besides: a configuration of its contexts, with a cache of kernels. Tests only.
#pragma once

#include "recorded.h"

namespace cvtrt::fake {

// `Base` has `make_context(strategy)`.
template <class Abi, class Base, bool compiles = Abi::compiles_at_run_time>
class RecordsKernels : public Base {};

template <class Abi, class Base>
class RecordsKernels<Abi, Base, true> : public Base {
public:
    class Cache final : public Abi::RuntimeCache::Methods {
    public:
        abi::IHostMemory* serialize() const noexcept override { return new Blob("kernels", "compiled"); }
        bool deserialize(const void*, std::size_t bytes) noexcept override
        {
            record("deserialize ", bytes);
            return behaviour() != CVTRT_FAKE_KERNELS_FOREIGN;
        }
    };

    class Config final : public Abi::RuntimeConfig::Methods {
    public:
        void setExecutionContextAllocationStrategy(typename Abi::ContextAllocation strategy) noexcept override
        {
            record("setExecutionContextAllocationStrategy ", static_cast<int32_t>(strategy));
        }
        typename Abi::RuntimeCache* createRuntimeCache() const noexcept override
        {
            return new Recorded<typename Abi::RuntimeCache, Cache>("runtime cache");
        }
        bool setRuntimeCache(const typename Abi::RuntimeCache&) noexcept override
        {
            record("setRuntimeCache");
            return behaviour() != CVTRT_FAKE_KERNELS_REFUSED;
        }
        void setDynamicShapesKernelSpecializationStrategy(typename Abi::Specialization strategy) noexcept override
        {
            record("setDynamicShapesKernelSpecializationStrategy ", static_cast<int32_t>(strategy));
        }
        bool setCudaGraphStrategy(typename Abi::Graphs strategy) noexcept override
        {
            record("setCudaGraphStrategy ", static_cast<int32_t>(strategy));
            return true;
        }
    };

    typename Abi::Context* createExecutionContextWithRuntimeConfig(typename Abi::RuntimeConfig* config) noexcept override
    {
        record(config == nullptr ? "no runtime config" : "with runtime config");
        return this->make_context(-1);
    }
    typename Abi::RuntimeConfig* createRuntimeConfig() noexcept override
    {
        return new Recorded<typename Abi::RuntimeConfig, Config>("runtime config");
    }
};

} // namespace cvtrt::fake
