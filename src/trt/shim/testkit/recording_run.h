// The run half of a recording TensorRT. Tests only.
#pragma once

#include <cstdint>
#include <string_view>

#include "majors.h"
#include "recorded.h"
#include "recording_kernels.h"

namespace cvtrt::fake {

// Methods without `override` exist in some majors only, and are never called in the others.
template <class Abi>
struct RecordingRun {
    using Dims = typename Abi::Dims;

    class Context final : public Abi::Context::Methods {
    public:
        void setDeviceMemory(void* memory) noexcept { record("setDeviceMemory ", memory); }
        void setDeviceMemoryV2(void* memory, int64_t bytes) noexcept { record("setDeviceMemory ", memory, " ", bytes); }
        std::size_t updateDeviceMemorySizeForShapes() noexcept { return 512; }
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
        std::size_t getDeviceMemorySizeForProfile(int32_t profile) const noexcept { return profile == 0 ? 1024 : 4096; }
        int64_t getDeviceMemorySizeForProfileV2(int32_t profile) const noexcept { return profile == 0 ? 1024 : 4096; }

        typename Abi::Context* make_context(int32_t strategy) noexcept
        {
            record("createExecutionContext ", strategy);
            return behaviour() == CVTRT_FAKE_CONTEXT_NULL ? nullptr : new Recorded<typename Abi::Context, Context>("context");
        }

    private:
        static bool is(const char* tensor, std::string_view name) noexcept { return tensor == name; }
    };

    using EngineObject = Recorded<typename Abi::Engine, MakesContexts<Abi, RecordsKernels<Abi, EngineOf>>>;

    class RuntimeOf : public Abi::Runtime::Methods {
    public:
        void setEngineHostCodeAllowed(bool allowed) noexcept override { record("setEngineHostCodeAllowed ", allowed); }

        static typename Abi::Engine* make_engine(const void*, std::size_t bytes, bool no_factory) noexcept
        {
            record("deserializeCudaEngine ", bytes, no_factory ? "" : " with a plugin factory");
            return behaviour() == CVTRT_FAKE_ENGINE_NULL ? nullptr : new EngineObject("engine");
        }
    };
    using RuntimeObject = Recorded<typename Abi::Runtime, LoadsPlans<Abi, RuntimeOf>>;

    static void* make_runtime(void*, int32_t version)
    {
        record("create runtime ", version);
        switch (behaviour()) {
        case CVTRT_FAKE_RUNTIME_NULL: return nullptr;
        case CVTRT_FAKE_RUNTIME_LOW_ADDRESS: return reinterpret_cast<void*>(std::uintptr_t{0x228});
        default: return new RuntimeObject("runtime");
        }
    }
};

} // namespace cvtrt::fake
