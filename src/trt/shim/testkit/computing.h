// What all objects of a computing fake share: whose they are, that they are counted, and the model they stand for. Tests only.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "abi/callbacks.h"
#include "compute.h"
#include "dims.h"
#include "listeners.h"

namespace cvtrt::computing {

// What Rust installed.
const cvtrt_compute& rust() noexcept;

// The library an object belongs to.
template <class Abi>
class Home {
public:
    // The shim hands every factory the logger of its library, whose target Rust knows it by.
    Home(void* logger, int32_t version)
        : logger_(static_cast<Logger<typename Abi::Logger>*>(static_cast<typename Abi::Logger*>(logger))),
          library_(rust().library_of(logger_->target().user)), version_(version)
    {
    }

    void* library() const noexcept { return library_; }
    int32_t version() const noexcept { return version_; }

    // Whether this call is to fail; the log then says why.
    bool refuses(int32_t call) const noexcept
    {
        switch (rust().outcome(library_, call)) {
        case CVTRT_COMPUTE_PASSES: return false;
        case CVTRT_COMPUTE_OUT_OF_MEMORY:
            complain("Error Code 2: OutOfMemory (Requested size was 4096 bytes.)");
            return true;
        default: complain("asked for by a test"); return true;
        }
    }

    // False, for the caller to return.
    bool complain(const std::string& text) const noexcept
    {
        logger_->log(abi::Severity::kERROR, text.c_str());
        return false;
    }

    void warn(const std::string& text) const noexcept { logger_->log(abi::Severity::kWARNING, text.c_str()); }

private:
    Logger<typename Abi::Logger>* logger_;
    void* library_;
    int32_t version_;
};

// A public object that is counted while it lives; `Methods` is the implementation behind it.
template <class Object, class Methods>
class Counted final : public Object {
public:
    template <class... Arguments>
    Counted(void* library, int32_t kind, Arguments&&... arguments)
        : library_(library), kind_(kind), implementation_(std::forward<Arguments>(arguments)...)
    {
        this->methods_ = &implementation_;
        rust().count(library_, kind_, 1);
    }
    ~Counted() noexcept override { rust().count(library_, kind_, -1); }

    Methods& implementation() noexcept { return implementation_; }
    const Methods& implementation() const noexcept { return implementation_; }

private:
    void* library_;
    int32_t kind_;
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
using Blob = Counted<abi::IHostMemory, HostMemory>;

// A model as Rust understands it; none where it does not.
class Model {
public:
    Model(void* library, const std::string& onnx, cvtrt_message& message)
        : raw_(rust().open_model(library, onnx.data(), onnx.size(), &message))
    {
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;
    ~Model()
    {
        if (raw_ != nullptr) {
            rust().close_model(raw_);
        }
    }

    bool opened() const noexcept { return raw_ != nullptr; }
    int32_t ports() const noexcept { return rust().port_count(raw_); }
    cvtrt_port port(int32_t index) const noexcept
    {
        cvtrt_port port{};
        rust().port(raw_, index, &port);
        return port;
    }
    // -1 where no port has the name.
    int32_t index_of(const std::string& name) const noexcept
    {
        for (int32_t index = 0; index < ports(); ++index) {
            if (port(index).name == name) {
                return index;
            }
        }
        return -1;
    }
    bool infer(cvtrt_dims* shapes) const noexcept { return rust().infer(raw_, shapes) != 0; }
    bool enqueue(const cvtrt_compute_run& run, cvtrt_message& message) const noexcept
    {
        return rust().enqueue(raw_, &run, &message) != 0;
    }

private:
    void* raw_;
};

inline bool is_input(const cvtrt_port& port) noexcept { return port.direction == CVTRT_TENSOR_INPUT; }

inline bool is_dynamic(const cvtrt_dims& dims) noexcept
{
    for (int32_t axis = 0; axis < dims.rank; ++axis) {
        if (dims.size[axis] < 0) {
            return true;
        }
    }
    return false;
}

inline abi::DataType data_type(int32_t dtype) noexcept
{
    switch (dtype) {
    case CVTRT_DTYPE_F16: return abi::DataType::kHALF;
    case CVTRT_DTYPE_BF16: return abi::DataType::kBF16;
    case CVTRT_DTYPE_I32: return abi::DataType::kINT32;
    case CVTRT_DTYPE_I64: return abi::DataType::kINT64;
    case CVTRT_DTYPE_BOOL: return abi::DataType::kBOOL;
    case CVTRT_DTYPE_U8: return abi::DataType::kUINT8;
    case CVTRT_DTYPE_I8: return abi::DataType::kINT8;
    default: return abi::DataType::kFLOAT;
    }
}

} // namespace cvtrt::computing
