// The run half of a computing TensorRT: keeps the real library's rules, and lets Rust do the work. Tests only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "computing.h"
#include "computing_kernels.h"
#include "computing_plan.h"
#include "majors.h"

namespace cvtrt::computing {

using fake::LoadsPlans;
using fake::MakesContexts;

// What an engine and its contexts share.
template <class Abi>
struct Loaded {
    Home<Abi> home;
    Plan plan;
    std::unique_ptr<Model> model;
    // Profiles that belong to one context each, where the plan does not share them.
    std::mutex lock;
    std::set<int32_t> taken;
    int32_t contexts{0};

    Loaded(const Home<Abi>& where, Plan what, std::unique_ptr<Model> of)
        : home(where), plan(std::move(what)), model(std::move(of))
    {
    }

    int32_t profiles() const noexcept { return std::max(1, static_cast<int32_t>(plan.profiles.size())); }

    // The dimensions a profile ends at for an input.
    cvtrt_dims end(const cvtrt_port& port, int32_t profile, std::size_t which) const
    {
        if (!plan.profiles.empty()) {
            const Ranges& ranges = plan.profiles[static_cast<std::size_t>(profile)];
            const auto found = ranges.find(port.name);
            if (found != ranges.end()) {
                return found->second.at[which];
            }
        }
        return port.dims;
    }

    // As much as the inputs are large: different for every shape, and never nothing.
    uint64_t scratch_bytes(int32_t profile) const
    {
        uint64_t bytes = 0;
        for (int32_t index = 0; index < model->ports(); ++index) {
            const cvtrt_port port = model->port(index);
            bytes += is_input(port) ? bytes_of(end(port, profile, 2)) : 0;
        }
        return bytes;
    }
    uint64_t scratch_bytes() const
    {
        uint64_t most = 0;
        for (int32_t profile = 0; profile < profiles(); ++profile) {
            most = std::max(most, scratch_bytes(profile));
        }
        return most;
    }

    static uint64_t bytes_of(const cvtrt_dims& dims) noexcept
    {
        constexpr uint64_t granule = 256;
        uint64_t elements = 1;
        for (int32_t axis = 0; axis < dims.rank; ++axis) {
            elements *= static_cast<uint64_t>(dims.size[axis]);
        }
        return (elements / granule + 1) * granule;
    }
};

// Methods without `override` exist in some majors only, and are never called in the others.
template <class Abi>
struct ComputingRun {
    using Dims = typename Abi::Dims;
    using Shared = std::shared_ptr<Loaded<Abi>>;

    class Context final : public Abi::Context::Methods {
    public:
        // Without `kernels`, every one it needs is compiled anew.
        Context(Shared engine, std::shared_ptr<KernelCache> kernels)
            : engine_(std::move(engine)), kernels_(std::move(kernels)), shapes_(static_cast<std::size_t>(engine_->model->ports())),
              addresses_(shapes_.size())
        {
            const std::lock_guard alone(engine_->lock);
            ++engine_->contexts;
            forget_shapes();
        }
        ~Context() noexcept
        {
            const std::lock_guard alone(engine_->lock);
            --engine_->contexts;
            engine_->taken.erase(profile_);
        }

        void setDeviceMemory(void* memory) noexcept { give_scratch(memory, UINT64_MAX); }
        void setDeviceMemoryV2(void* memory, int64_t bytes) noexcept { give_scratch(memory, static_cast<uint64_t>(bytes)); }
        std::size_t updateDeviceMemorySizeForShapes() noexcept
        {
            scratch_ = nullptr;
            return needed();
        }

        bool setOptimizationProfileAsync(int32_t profile, abi::CudaStream) noexcept override
        {
            if (engine_->home.refuses(CVTRT_COMPUTE_SET_PROFILE)) {
                return false;
            }
            if (profile < 0 || profile >= engine_->profiles()) {
                return engine_->home.complain("there is no optimization profile " + std::to_string(profile));
            }
            if (!engine_->plan.shares_profiles) {
                const std::lock_guard alone(engine_->lock);
                engine_->taken.erase(profile_);
                if (!engine_->taken.insert(profile).second) {
                    return engine_->home.complain(
                        "profile " + std::to_string(profile) + " has been chosen by another IExecutionContext");
                }
            }
            profile_ = profile;
            forget_shapes();
            return true;
        }

        bool setInputShape(const char* tensor, const Dims& dims) noexcept override
        {
            const int32_t index = engine_->model->index_of(tensor);
            if (engine_->home.refuses(CVTRT_COMPUTE_SET_SHAPE)) {
                return false;
            }
            if (index < 0 || !is_input(engine_->model->port(index))) {
                return engine_->home.complain(std::string("there is no input ") + tensor);
            }
            const cvtrt_dims asked = dims_from(dims);
            if (!profile_takes(engine_->model->port(index), asked)) {
                return engine_->home.complain(std::string("the dimensions of ") + tensor + " satisfy no condition of profile "
                    + std::to_string(profile_));
            }
            shapes_[static_cast<std::size_t>(index)] = asked;
            return true;
        }

        Dims getTensorShape(const char* tensor) const noexcept override
        {
            const int32_t index = engine_->model->index_of(tensor);
            std::vector<cvtrt_dims> shapes = shapes_;
            if (index < 0) {
                return {-1, {}};
            }
            const cvtrt_port port = engine_->model->port(index);
            if (is_input(port) || (inputs_known() && engine_->model->infer(shapes.data()))) {
                return dims_to<Dims>(shapes[static_cast<std::size_t>(index)]);
            }
            return dims_to<Dims>(port.dims);
        }

        bool setTensorAddress(const char* tensor, void* address) noexcept override
        {
            constexpr uintptr_t alignment = 256; // NVIDIA's header asks for it
            const int32_t index = engine_->model->index_of(tensor);
            if (engine_->home.refuses(CVTRT_COMPUTE_SET_ADDRESS)) {
                return false;
            }
            if (index < 0) {
                return engine_->home.complain(std::string("there is no tensor ") + tensor);
            }
            if (reinterpret_cast<uintptr_t>(address) % alignment != 0) {
                return engine_->home.complain(std::string("the address of ") + tensor + " is not aligned to 256 bytes");
            }
            addresses_[static_cast<std::size_t>(index)] = address;
            return true;
        }

        bool enqueueV3(abi::CudaStream stream) noexcept override
        {
            if (engine_->home.refuses(CVTRT_COMPUTE_ENQUEUE)) {
                return false;
            }
            std::vector<cvtrt_dims> shapes = shapes_;
            if (!inputs_known() || !engine_->model->infer(shapes.data())) {
                return engine_->home.complain("not all shapes are specified");
            }
            if (std::find(addresses_.begin(), addresses_.end(), nullptr) != addresses_.end()) {
                return engine_->home.complain("a tensor has no address");
            }
            if (scratch_ == nullptr || scratch_bytes_ < needed()) {
                return engine_->home.complain("the device memory is smaller than the run needs");
            }
            compile();
            const cvtrt_compute_run run{
                reinterpret_cast<uintptr_t>(stream), shapes.data(), addresses_.data(), scratch_, needed()};
            cvtrt_message message{};
            return engine_->model->enqueue(run, message) || engine_->home.complain(message.text);
        }

    private:
        void give_scratch(void* memory, uint64_t bytes) noexcept
        {
            scratch_ = memory;
            scratch_bytes_ = bytes;
        }

        void compile()
        {
            std::string words;
            for (const cvtrt_dims& shape : shapes_) {
                for (int32_t axis = 0; axis < shape.rank; ++axis) {
                    words += std::to_string(shape.size[axis]) + (axis + 1 < shape.rank ? "x" : " ");
                }
            }
            if (Abi::compiles_at_run_time && kernels_->add(words)) {
                rust().compiled(engine_->home.library());
            }
        }

        uint64_t needed() const noexcept
        {
            uint64_t bytes = 0;
            for (int32_t index = 0; index < engine_->model->ports(); ++index) {
                const cvtrt_dims& shape = shapes_[static_cast<std::size_t>(index)];
                bytes += is_input(engine_->model->port(index)) ? Loaded<Abi>::bytes_of(shape) : 0;
            }
            return bytes;
        }

        void forget_shapes() noexcept
        {
            for (int32_t index = 0; index < engine_->model->ports(); ++index) {
                shapes_[static_cast<std::size_t>(index)] = engine_->model->port(index).dims;
            }
        }

        bool inputs_known() const noexcept
        {
            for (int32_t index = 0; index < engine_->model->ports(); ++index) {
                if (is_input(engine_->model->port(index)) && is_dynamic(shapes_[static_cast<std::size_t>(index)])) {
                    return false;
                }
            }
            return true;
        }

        bool profile_takes(const cvtrt_port& port, const cvtrt_dims& dims) const noexcept
        {
            if (profile_ < 0 || dims.rank != port.dims.rank) {
                return false;
            }
            const cvtrt_dims least = engine_->end(port, profile_, 0);
            const cvtrt_dims most = engine_->end(port, profile_, 2);
            for (int32_t axis = 0; axis < dims.rank; ++axis) {
                if (dims.size[axis] < least.size[axis] || dims.size[axis] > most.size[axis]) {
                    return false;
                }
            }
            return true;
        }

        Shared engine_;
        std::shared_ptr<KernelCache> kernels_;
        int32_t profile_{-1};
        std::vector<cvtrt_dims> shapes_;
        std::vector<void*> addresses_;
        void* scratch_{nullptr};
        uint64_t scratch_bytes_{0};
    };
    using ContextObject = Counted<typename Abi::Context, Context>;

    class EngineOf : public Abi::Engine::Methods {
    public:
        explicit EngineOf(Shared loaded) : loaded_(std::move(loaded)) {}
        ~EngineOf() noexcept
        {
            if (loaded_->contexts != 0) {
                rust().misused(loaded_->home.library(), "an engine was deleted before its contexts");
            }
        }

        int32_t getNbOptimizationProfiles() const noexcept override { return loaded_->profiles(); }
        Dims getTensorShape(const char* tensor) const noexcept override { return dims_to<Dims>(port(tensor).dims); }
        abi::DataType getTensorDataType(const char* tensor) const noexcept override { return data_type(port(tensor).dtype); }
        abi::TensorLocation getTensorLocation(const char*) const noexcept override { return abi::TensorLocation::kDEVICE; }
        abi::TensorIOMode getTensorIOMode(const char* tensor) const noexcept override
        {
            return is_input(port(tensor)) ? abi::TensorIOMode::kINPUT : abi::TensorIOMode::kOUTPUT;
        }
        Dims getProfileShape(const char* tensor, int32_t profile, abi::OptProfileSelector select) const noexcept override
        {
            if (!is_input(port(tensor))) {
                return {-1, {}};
            }
            return dims_to<Dims>(loaded_->end(port(tensor), profile, static_cast<std::size_t>(select)));
        }
        int32_t getNbIOTensors() const noexcept override { return loaded_->model->ports(); }
        const char* getIOTensorName(int32_t index) const noexcept override { return loaded_->model->port(index).name; }
        std::size_t getDeviceMemorySize() const noexcept { return loaded_->scratch_bytes(); }
        int64_t getDeviceMemorySizeV2() const noexcept { return static_cast<int64_t>(loaded_->scratch_bytes()); }
        std::size_t getDeviceMemorySizeForProfile(int32_t profile) const noexcept { return loaded_->scratch_bytes(profile); }
        int64_t getDeviceMemorySizeForProfileV2(int32_t profile) const noexcept
        {
            return static_cast<int64_t>(loaded_->scratch_bytes(profile));
        }

        const Home<Abi>& home() const noexcept { return loaded_->home; }
        typename Abi::Context* make_context(int32_t) noexcept { return make_context_with(std::make_shared<KernelCache>()); }
        typename Abi::Context* make_context_with(std::shared_ptr<KernelCache> kernels) noexcept
        {
            if (loaded_->home.refuses(CVTRT_COMPUTE_CREATE_CONTEXT)) {
                return nullptr;
            }
            return new ContextObject(loaded_->home.library(), CVTRT_COMPUTE_CONTEXT, loaded_, std::move(kernels));
        }

    private:
        cvtrt_port port(const char* tensor) const { return loaded_->model->port(loaded_->model->index_of(tensor)); }

        Shared loaded_;
    };
    using EngineObject = Counted<typename Abi::Engine, MakesContexts<Abi, CompilesKernels<Abi, EngineOf>>>;

    class RuntimeOf : public Abi::Runtime::Methods {
    public:
        explicit RuntimeOf(const Home<Abi>& home) : home_(home) {}
        ~RuntimeOf() noexcept
        {
            if (!engine_.expired()) {
                rust().misused(home_.library(), "a runtime was deleted before its engine");
            }
        }

        void setEngineHostCodeAllowed(bool allowed) noexcept override { host_code_ = allowed; }

        typename Abi::Engine* make_engine(const void* bytes, std::size_t count, bool) noexcept
        {
            Plan plan;
            if (home_.refuses(CVTRT_COMPUTE_LOAD) || !accepts(bytes, count, plan)) {
                return nullptr;
            }
            cvtrt_message message{};
            auto model = std::make_unique<Model>(home_.library(), plan.onnx, message);
            if (!model->opened()) {
                home_.complain(message.text);
                return nullptr;
            }
            auto loaded = std::make_shared<Loaded<Abi>>(home_, std::move(plan), std::move(model));
            engine_ = loaded;
            return new EngineObject(home_.library(), CVTRT_COMPUTE_ENGINE, std::move(loaded));
        }

    private:
        bool accepts(const void* bytes, std::size_t count, Plan& plan) const
        {
            if (!Plan::read(bytes, count, plan)) {
                return home_.complain("the serialized engine is corrupt");
            }
            const Release own = Release::of(home_.version());
            if (!plan.version_compatible) {
                return plan.release == own || home_.complain("the engine plan was built with another version of the library");
            }
            if (plan.release.major != own.major || own < plan.release) {
                return home_.complain("the engine plan is not compatible with this version of the library");
            }
            return host_code_ || home_.complain("the engine has a lean runtime inside, and host code is not allowed");
        }

        Home<Abi> home_;
        bool host_code_{false};
        std::weak_ptr<Loaded<Abi>> engine_;
    };
    using RuntimeObject = Counted<typename Abi::Runtime, LoadsPlans<Abi, RuntimeOf>>;

    static void* make_runtime(void* logger, int32_t version)
    {
        const Home<Abi> home(logger, version);
        if (home.refuses(CVTRT_COMPUTE_CREATE_RUNTIME)) {
            return nullptr;
        }
        return new RuntimeObject(home.library(), CVTRT_COMPUTE_RUNTIME, home);
    }
};

} // namespace cvtrt::computing
