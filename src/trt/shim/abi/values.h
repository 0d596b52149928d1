// Enums whose values are the same in every supported major; later majors only append.
#pragma once

#include <cstdint>

namespace cvtrt::abi {

enum class APILanguage : int32_t { kCPP = 0 };

enum class DataType : int32_t {
    kFLOAT = 0,
    kHALF = 1,
    kINT8 = 2,
    kINT32 = 3,
    kBOOL = 4,
    kUINT8 = 5,
    kFP8 = 6,
    kBF16 = 7,
    kINT64 = 8,
};

enum class OptProfileSelector : int32_t { kMIN = 0, kOPT = 1, kMAX = 2 };

enum class MemoryPoolType : int32_t { kWORKSPACE = 0 };

enum class HardwareCompatibilityLevel : int32_t { kNONE = 0, kAMPERE_PLUS = 1, kSAME_COMPUTE_CAPABILITY = 2 };

enum class TensorIOMode : int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };

enum class TensorLocation : int32_t { kDEVICE = 0, kHOST = 1 };

enum class ProfilingVerbosity : int32_t { kDETAILED = 2 };

enum class Severity : int32_t { kINTERNAL_ERROR = 0, kERROR = 1, kWARNING = 2, kINFO = 3, kVERBOSE = 4 };

// nvonnxparser::ErrorCode; values from 9 on appear in 10.0.
enum class ErrorCode : int32_t { kSUCCESS = 0, kMEM_ALLOC_FAILED = 2 };

// An index into the names of names.h.
enum class LayerType : int32_t {};

} // namespace cvtrt::abi
