// Interfaces the library calls and the shim implements, and the smaller ones that never changed between majors.
#pragma once

#include <memory>

#include "object.h"
#include "values.h"

namespace cvtrt::abi {

class IVersionedInterface {
public:
    virtual APILanguage getAPILanguage() const noexcept { return APILanguage::kCPP; }
    virtual InterfaceInfo getInterfaceInfo() const noexcept = 0;
    virtual ~IVersionedInterface() noexcept = default;
};

// Up to 10.x.
class ILoggerV10 {
public:
    virtual void log(Severity severity, const char* text) noexcept = 0;
    virtual ~ILoggerV10() = default;
};

// From 11.0 on, and in RTX.
class ILoggerV11 : public IVersionedInterface {
public:
    virtual void log(Severity severity, const char* text) noexcept = 0;
};

// From 10.0 on.
class IProgressMonitor : public IVersionedInterface {
public:
    virtual void phaseStart(const char* phase, const char* parent, int32_t steps) noexcept = 0;
    virtual bool stepComplete(const char* phase, int32_t step) noexcept = 0;
    virtual void phaseFinish(const char* phase) noexcept = 0;
};

class VHostMemory {
public:
    virtual ~VHostMemory() noexcept = default;
    virtual void* data() const noexcept = 0;
    virtual std::size_t size() const noexcept = 0;
};
class IHostMemory : public Object<VHostMemory> {};

class ITimingCache;
class VTimingCache {
public:
    virtual ~VTimingCache() noexcept = default;
    virtual IHostMemory* serialize() const noexcept = 0;
    virtual bool combine(const ITimingCache& other, bool ignoreMismatch) noexcept = 0;
};
class ITimingCache : public Object<VTimingCache> {};

// From 10.0 on. Called directly, without an implementation pointer; owned by the parser, never deleted.
class IParserError {
public:
    virtual ErrorCode code() const = 0;
    virtual const char* desc() const = 0;
    CVTRT_GAP(2) // file
    CVTRT_GAP(3) // line
    CVTRT_GAP(4) // func
    virtual int node() const = 0;
    virtual const char* nodeName() const = 0;
    virtual const char* nodeOperator() const = 0;

protected:
    ~IParserError() = default;
};

static_assert(sizeof(IHostMemory) == 16, "virtual table pointer, then implementation pointer");

} // namespace cvtrt::abi
