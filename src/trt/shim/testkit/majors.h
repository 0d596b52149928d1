// The calls that differ between majors in name or arguments, each turned into one that does not; `Base` has the rest.
#pragma once

#include "abi/callbacks.h"

namespace cvtrt::fake {

// An engine, whose contexts 8.6 makes by another name. `Base` has `make_context(strategy)`.
template <class Abi, class Base, bool strategies = Abi::strongly_typed>
class MakesContexts final : public Base {
public:
    using Base::Base;

    typename Abi::Context* createExecutionContext(typename Abi::ContextAllocation strategy) noexcept override
    {
        return this->make_context(static_cast<int32_t>(strategy));
    }
};

template <class Abi, class Base>
class MakesContexts<Abi, Base, false> final : public Base {
public:
    using Base::Base;

    typename Abi::Context* createExecutionContextWithoutDeviceMemory() noexcept override { return this->make_context(-1); }
};

// A runtime, which 8.6 hands a plugin factory. `Base` has `make_engine(plan, bytes)`.
template <class Abi, class Base, bool plain = Abi::strongly_typed>
class LoadsPlans final : public Base {
public:
    using Base::Base;

    typename Abi::Engine* deserializeCudaEngine(const void* plan, std::size_t bytes) noexcept override
    {
        return this->make_engine(plan, bytes, true);
    }
};

template <class Abi, class Base>
class LoadsPlans<Abi, Base, false> final : public Base {
public:
    using Base::Base;

    typename Abi::Engine* deserializeCudaEngine(
        const void* plan, std::size_t bytes, typename Abi::PluginFactory* factory) noexcept override
    {
        return this->make_engine(plan, bytes, factory == nullptr);
    }
};

// A configuration, which 8.6 asks for leave to share profiles. `Base` has `preview(feature, enable)`.
template <class Abi, class Base, bool shared = Abi::shares_profiles>
class SharesProfiles : public Base {
public:
    using Base::Base;
};

template <class Abi, class Base>
class SharesProfiles<Abi, Base, false> : public Base {
public:
    using Base::Base;

    void setPreviewFeature(typename Abi::PreviewFeature feature, bool enable) noexcept override
    {
        this->preview(static_cast<int32_t>(feature), enable);
    }
};

// A configuration, which RTX tells its targets. `Base` has `count_targets(count)` and `take_target(target, index)`.
template <class Abi, class Base, bool targets = Abi::targets>
class TakesTargets final : public Base {
public:
    using Base::Base;
};

template <class Abi, class Base>
class TakesTargets<Abi, Base, true> final : public Base {
public:
    using Base::Base;

    bool setNbComputeCapabilities(int32_t count) noexcept override { return this->count_targets(count); }
    bool setComputeCapability(typename Abi::ComputeCapability target, int32_t index) noexcept override
    {
        return this->take_target(static_cast<int32_t>(target), index);
    }
};

} // namespace cvtrt::fake
