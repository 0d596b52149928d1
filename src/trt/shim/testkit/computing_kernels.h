// What a computing engine of RTX has besides: it compiles a kernel for every input shape it meets, and caches them. Tests only.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "computing.h"

namespace cvtrt::computing {

// The shapes kernels were compiled for, in the words of `Context`; contexts of several lanes share one.
class KernelCache {
public:
    // Whether it was new.
    bool add(const std::string& shapes)
    {
        const std::lock_guard alone(lock_);
        return shapes_.insert(shapes).second;
    }

    // One line for the library, one per kernel.
    std::string written(int32_t version) const
    {
        const std::lock_guard alone(lock_);
        std::string text = first_line(version);
        for (const std::string& shapes : shapes_) {
            text += shapes + "\n";
        }
        return text;
    }

    // False where another library wrote it.
    bool read(std::string_view text, int32_t version)
    {
        const std::string first = first_line(version);
        if (text.substr(0, first.size()) != first) {
            return false;
        }
        const std::lock_guard alone(lock_);
        text.remove_prefix(first.size());
        for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
            shapes_.emplace(text.substr(0, end));
            text.remove_prefix(end + 1);
        }
        return true;
    }

private:
    static std::string first_line(int32_t version) { return "kernels of " + std::to_string(version) + "\n"; }

    mutable std::mutex lock_;
    std::set<std::string> shapes_;
};

// `Base` has `home()` and `make_context_with(kernels)`.
template <class Abi, class Base, bool compiles = Abi::compiles_at_run_time>
class CompilesKernels : public Base {
public:
    using Base::Base;
};

template <class Abi, class Base>
class CompilesKernels<Abi, Base, true> : public Base {
public:
    using Base::Base;

    class Cache final : public Abi::RuntimeCache::Methods {
    public:
        explicit Cache(const Home<Abi>& home) : home_(home) {}

        abi::IHostMemory* serialize() const noexcept override
        {
            return new Blob(home_.library(), CVTRT_COMPUTE_BLOB, kernels_->written(home_.version()));
        }
        bool deserialize(const void* blob, std::size_t bytes) noexcept override
        {
            const std::string_view text(static_cast<const char*>(blob), bytes);
            return kernels_->read(text, home_.version()) || home_.complain("the runtime cache is of another library");
        }
        const std::shared_ptr<KernelCache>& kernels() const noexcept { return kernels_; }

    private:
        Home<Abi> home_;
        std::shared_ptr<KernelCache> kernels_ = std::make_shared<KernelCache>();
    };
    using CacheObject = Counted<typename Abi::RuntimeCache, Cache>;

    class Config final : public Abi::RuntimeConfig::Methods {
    public:
        explicit Config(const Home<Abi>& home) : home_(home) {}

        void setExecutionContextAllocationStrategy(typename Abi::ContextAllocation) noexcept override {}
        typename Abi::RuntimeCache* createRuntimeCache() const noexcept override
        {
            return new CacheObject(home_.library(), CVTRT_COMPUTE_RUNTIME_CACHE, home_);
        }
        bool setRuntimeCache(const typename Abi::RuntimeCache& cache) noexcept override
        {
            kernels_ = static_cast<const CacheObject&>(cache).implementation().kernels();
            return true;
        }
        void setDynamicShapesKernelSpecializationStrategy(typename Abi::Specialization) noexcept override {}
        bool setCudaGraphStrategy(typename Abi::Graphs) noexcept override { return true; }
        const std::shared_ptr<KernelCache>& kernels() const noexcept { return kernels_; }

    private:
        Home<Abi> home_;
        std::shared_ptr<KernelCache> kernels_;
    };
    using ConfigObject = Counted<typename Abi::RuntimeConfig, Config>;

    typename Abi::Context* createExecutionContextWithRuntimeConfig(typename Abi::RuntimeConfig* config) noexcept override
    {
        return this->make_context_with(static_cast<ConfigObject*>(config)->implementation().kernels());
    }
    typename Abi::RuntimeConfig* createRuntimeConfig() noexcept override
    {
        if (this->home().refuses(CVTRT_COMPUTE_CREATE_CONFIG)) {
            return nullptr;
        }
        return new ConfigObject(this->home().library(), CVTRT_COMPUTE_RUNTIME_CONFIG, this->home());
    }
};

} // namespace cvtrt::computing
