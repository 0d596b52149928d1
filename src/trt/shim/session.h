// What the C functions see of a library and a build, whatever interface declarations stand behind them.
#pragma once

#include <memory>
#include <string>

#include "abi/callbacks.h"
#include "cvtrt_trt.h"

namespace cvtrt {

// Thrown inside the shim only; the seam turns it into a status and a message.
struct Failure {
    cvtrt_status status;
    std::string message;
};

// TensorRT 10.16 and 11 answer a missing driver with small non-null addresses (0x228); no object lives in the first 64 KiB.
template <class T>
T* checked(T* object, const char* maker)
{
    constexpr std::uintptr_t lowest_address = 0x10000;
    if (reinterpret_cast<std::uintptr_t>(object) < lowest_address) {
        throw Failure{CVTRT_NO_OBJECT, std::string(maker) + " returned no object"};
    }
    return object;
}

inline void in_range(int32_t index, int32_t count)
{
    if (index < 0 || index >= count) {
        throw Failure{CVTRT_INVALID_ARGUMENT, "index out of range"};
    }
}

inline const char* text_or_empty(const char* text) noexcept { return text == nullptr ? "" : text; }

} // namespace cvtrt

struct cvtrt_library {
    virtual ~cvtrt_library() = default;
    virtual std::unique_ptr<cvtrt_builder> create_builder(const cvtrt_options& options) = 0;
    virtual std::unique_ptr<cvtrt_engine> load_engine(const void* plan, std::size_t bytes, bool host_code) = 0;
};

struct cvtrt_builder {
    virtual ~cvtrt_builder() = default;
    virtual void parse(const void* onnx, std::size_t bytes, const char* path) = 0;
    virtual int32_t parse_error_count() const = 0;
    virtual cvtrt_parse_error parse_error(int32_t index) const = 0;
    virtual cvtrt_counts counts() const = 0;
    virtual cvtrt_tensor tensor(int32_t direction, int32_t index) const = 0;
    virtual cvtrt_layer layer(int32_t index) const = 0;
    virtual int32_t keep_fp32(const char* const* names, std::size_t count) = 0;
    virtual void add_profile(const cvtrt_range* ranges, std::size_t count) = 0;
    virtual std::unique_ptr<cvtrt_blob> build() = 0;
    virtual std::unique_ptr<cvtrt_blob> timing_cache() = 0;
    virtual void add_timings(const void* blob, std::size_t bytes) = 0;
};

struct cvtrt_engine {
    virtual ~cvtrt_engine() = default;
    virtual cvtrt_engine_facts facts() const = 0;
    virtual cvtrt_port port(int32_t index) const = 0;
    virtual cvtrt_range range(int32_t index, int32_t profile) const = 0;
    virtual uint64_t scratch_bytes(int32_t profile) const = 0;
    virtual bool configure(const cvtrt_kernel_options& options) = 0;
    virtual std::unique_ptr<cvtrt_blob> kernels() const = 0;
    virtual std::unique_ptr<cvtrt_context> create_context() = 0;
};

struct cvtrt_context {
    virtual ~cvtrt_context() = default;
    virtual void set_scratch(void* memory, uint64_t bytes) = 0;
    virtual void set_profile(int32_t profile, void* stream) = 0;
    virtual void set_input_shape(int32_t index, const cvtrt_dims& dims) = 0;
    virtual cvtrt_dims shape(int32_t index) const = 0;
    virtual void set_address(int32_t index, void* address) = 0;
    virtual void enqueue(void* stream) = 0;
};

struct cvtrt_blob {
    std::unique_ptr<cvtrt::abi::IHostMemory> memory;
};

namespace cvtrt {

// One per translation unit of declarations.
std::unique_ptr<cvtrt_library> open_rtx(const cvtrt_entry_points& entry);
std::unique_ptr<cvtrt_library> open_v11(const cvtrt_entry_points& entry);
std::unique_ptr<cvtrt_library> open_v10(const cvtrt_entry_points& entry);
std::unique_ptr<cvtrt_library> open_v8(const cvtrt_entry_points& entry);

} // namespace cvtrt
