// Objects whose calls and destruction are written down. Tests only.
#pragma once

#include <string>
#include <utility>

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

} // namespace cvtrt::fake
