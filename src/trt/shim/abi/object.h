// How every public TensorRT class is laid out: a virtual destructor, then the address of the object that has the methods.
// Measured the same in 8.6, 10, 11 and RTX (Itanium C++ ABI: Linux on x86-64 and aarch64).
#pragma once

#include <cstddef>
#include <cstdint>

// CUDA's name for what a stream points to; the same in the driver and in the runtime library.
struct CUstream_st;

// A virtual function of NVIDIA's that the shim never calls; it keeps the following ones in their slots.
#define CVTRT_GAP(slot) \
    virtual void gap##slot() noexcept {}

namespace cvtrt::abi {

using CudaStream = CUstream_st*;

// `delete` runs the deleting destructor in slot 1, inside the library that allocated the object.
template <class MethodTable>
class Object {
public:
    using Methods = MethodTable;

    virtual ~Object() noexcept = default;

    Methods* operator->() const noexcept { return methods_; }

protected:
    Methods* methods_{nullptr};
};

struct Dims32 {
    int32_t nbDims;
    int32_t d[8];
};

static_assert(sizeof(Dims32) == 36 && offsetof(Dims32, d) == 4);

struct Dims64 {
    int32_t nbDims;
    int64_t d[8];
};
static_assert(sizeof(Dims64) == 72 && offsetof(Dims64, d) == 8);

struct InterfaceInfo {
    const char* kind;
    int32_t major;
    int32_t minor;
};
static_assert(sizeof(InterfaceInfo) == 16 && offsetof(InterfaceInfo, major) == 8);

} // namespace cvtrt::abi
