// The run half, written once for every set of declarations: an engine with its runtime, and contexts on it.
#pragma once

#include <vector>

#include "dims.h"
#include "kernels.h"
#include "names.h"
#include "session.h"

namespace cvtrt {

inline const char* name_at(const std::vector<const char*>& names, int32_t index)
{
    in_range(index, static_cast<int32_t>(names.size()));
    return names[static_cast<std::size_t>(index)];
}

template <class Abi>
class Context final : public cvtrt_context {
public:
    // `names` are the engine's, and live as long as it.
    Context(std::unique_ptr<typename Abi::Context> context, std::vector<const char*> names)
        : context_(std::move(context)), names_(std::move(names))
    {
    }

    void set_scratch(void* memory, uint64_t bytes) override { Abi::set_scratch(*context_, memory, bytes); }

    void set_profile(int32_t profile, void* stream) override
    {
        accepted(calls()->setOptimizationProfileAsync(profile, static_cast<abi::CudaStream>(stream)),
            "the optimisation profile was refused");
    }

    void set_input_shape(int32_t index, const cvtrt_dims& dims) override
    {
        accepted(calls()->setInputShape(name(index), dims_to<typename Abi::Dims>(dims)), "the shape was refused");
    }

    cvtrt_dims shape(int32_t index) const override { return dims_from(calls()->getTensorShape(name(index))); }

    void set_address(int32_t index, void* address) override
    {
        accepted(calls()->setTensorAddress(name(index), address), "the address was refused");
    }

    void enqueue(void* stream) override
    {
        accepted(calls()->enqueueV3(static_cast<abi::CudaStream>(stream)), "the run was not enqueued");
    }

private:
    typename Abi::Context& calls() const noexcept { return *context_; }

    const char* name(int32_t index) const { return name_at(names_, index); }

    static void accepted(bool done, const char* otherwise)
    {
        if (!done) {
            throw Failure{CVTRT_FAILED, otherwise};
        }
    }

    std::unique_ptr<typename Abi::Context> context_;
    std::vector<const char*> names_;
};

template <class Abi>
class Engine final : public cvtrt_engine {
public:
    Engine(
        typename Abi::Logger& logger, const cvtrt_entry_points& entry, const void* plan, std::size_t bytes, bool host_code)
    {
        const auto create = reinterpret_cast<void* (*)(void* logger, int32_t version)>(entry.create_runtime);
        runtime_.reset(
            checked(static_cast<typename Abi::Runtime*>(create(&logger, entry.infer_version)), "the runtime factory"));
        if (host_code) {
            typename Abi::Runtime& runtime = *runtime_;
            runtime->setEngineHostCodeAllowed(true);
        }
        engine_.reset(checked(Abi::load(*runtime_, plan, bytes), "deserializeCudaEngine"));
        const int32_t count = calls()->getNbIOTensors();
        for (int32_t index = 0; index < count; ++index) {
            names_.push_back(checked(calls()->getIOTensorName(index), "getIOTensorName"));
        }
    }

    cvtrt_engine_facts facts() const override
    {
        return {static_cast<int32_t>(names_.size()), calls()->getNbOptimizationProfiles(), Abi::scratch_bytes(calls())};
    }

    cvtrt_port port(int32_t index) const override
    {
        const char* tensor = name(index);
        const bool input = calls()->getTensorIOMode(tensor) == abi::TensorIOMode::kINPUT;
        return {tensor, dtype_from(calls()->getTensorDataType(tensor)), input ? CVTRT_TENSOR_INPUT : CVTRT_TENSOR_OUTPUT,
                calls()->getTensorLocation(tensor) == abi::TensorLocation::kHOST ? 1 : 0,
                dims_from(calls()->getTensorShape(tensor))};
    }

    cvtrt_range range(int32_t index, int32_t profile) const override
    {
        const char* tensor = name(index);
        in_range(profile, calls()->getNbOptimizationProfiles());
        const auto at = [&](abi::OptProfileSelector select) {
            return dims_from(calls()->getProfileShape(tensor, profile, select));
        };
        return {tensor, at(abi::OptProfileSelector::kMIN), at(abi::OptProfileSelector::kOPT),
                at(abi::OptProfileSelector::kMAX)};
    }

    uint64_t scratch_bytes(int32_t profile) const override
    {
        in_range(profile, calls()->getNbOptimizationProfiles());
        return Abi::profile_scratch_bytes(calls(), profile);
    }

    bool configure(const cvtrt_kernel_options& options) override { return kernels_.configure(*engine_, options); }

    std::unique_ptr<cvtrt_blob> kernels() const override { return kernels_.cached(); }

    std::unique_ptr<cvtrt_context> create_context() override
    {
        std::unique_ptr<typename Abi::Context> context(
            checked(kernels_.create_context(*engine_), "createExecutionContext"));
        return std::make_unique<Context<Abi>>(std::move(context), names_);
    }

private:
    typename Abi::Engine& calls() const noexcept { return *engine_; }

    const char* name(int32_t index) const { return name_at(names_, index); }

    // Destroyed from the last to the first: a runtime must outlive its engine, and that its kernels.
    std::unique_ptr<typename Abi::Runtime> runtime_;
    std::unique_ptr<typename Abi::Engine> engine_;
    Kernels<Abi> kernels_;
    std::vector<const char*> names_;
};

} // namespace cvtrt
