#include "facts.h"

#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <string>
#include <typeinfo>
#include <vector>

#include "abi/rtx.h"
#include "abi/v10.h"
#include "abi/v11.h"
#include "abi/v8.h"
#include "names.h"

// Each major's names, those it shares with others included.
namespace cvtrt::v8 {
using namespace abi;
}
namespace cvtrt::v10 {
using namespace abi;
}
namespace cvtrt::v11 {
using namespace abi;
}
namespace cvtrt::rtx {
using namespace v11;
using ILogger = Abi::Logger;
} // namespace cvtrt::rtx

namespace {

using namespace cvtrt;

// A pointer to a virtual member holds its byte offset in the table: in the first word, plus one (x86-64), or as it is (aarch64).
template <class Member>
int32_t slot_of(Member member)
{
    std::ptrdiff_t words[2];
    static_assert(sizeof member == sizeof words);
    std::memcpy(words, &member, sizeof words);
#if !defined(__aarch64__)
    words[0] -= 1;
#endif
    return static_cast<int32_t>(words[0] / static_cast<std::ptrdiff_t>(sizeof(void*)));
}

std::string demangled(const std::type_info& type)
{
    int status = 0;
    char* text = __cxxabiv1::__cxa_demangle(type.name(), nullptr, nullptr, &status);
    std::string out = status == 0 ? text : type.name();
    std::free(text);
    return out;
}

struct Slot {
    const char* abi;
    const char* interface;
    const char* method;
    std::string type;
    int32_t slot;
};

// A destructor has no address; the first virtual function declared after it tells where it lies.
template <class Interface>
class AfterDestructor : public Interface {
public:
    virtual void next() {}
};

template <class Interface>
int32_t deleting_slot()
{
    return slot_of(&AfterDestructor<Interface>::next) - 1;
}

#define METHOD(version, type, name) \
    {#version, #type, #name, demangled(typeid(&version::type::name)), slot_of(&version::type::name)}

#define METHODS_OF_MAJOR(version) \
    METHOD(version, VTensor, getName), \
    METHOD(version, VTensor, getDimensions), \
    METHOD(version, VTensor, getType), \
    METHOD(version, VLayer, getType), \
    METHOD(version, VLayer, getName), \
    METHOD(version, VLayer, getNbOutputs), \
    METHOD(version, VLayer, getOutput), \
    METHOD(version, VNetworkDefinition, getNbLayers), \
    METHOD(version, VNetworkDefinition, getLayer), \
    METHOD(version, VNetworkDefinition, getNbInputs), \
    METHOD(version, VNetworkDefinition, getInput), \
    METHOD(version, VNetworkDefinition, getNbOutputs), \
    METHOD(version, VNetworkDefinition, getOutput), \
    METHOD(version, VOptimizationProfile, setDimensions), \
    METHOD(version, VOptimizationProfile, isValid), \
    METHOD(version, VBuilderConfig, clearFlag), \
    METHOD(version, VBuilderConfig, setFlag), \
    METHOD(version, VBuilderConfig, addOptimizationProfile), \
    METHOD(version, VBuilderConfig, setProfilingVerbosity), \
    METHOD(version, VBuilderConfig, createTimingCache), \
    METHOD(version, VBuilderConfig, setTimingCache), \
    METHOD(version, VBuilderConfig, getTimingCache), \
    METHOD(version, VBuilderConfig, setMemoryPoolLimit), \
    METHOD(version, VBuilderConfig, setBuilderOptimizationLevel), \
    METHOD(version, VBuilderConfig, setHardwareCompatibilityLevel), \
    METHOD(version, VBuilder, createBuilderConfig), \
    METHOD(version, VBuilder, createNetworkV2), \
    METHOD(version, VBuilder, createOptimizationProfile), \
    METHOD(version, VBuilder, buildSerializedNetwork), \
    METHOD(version, VHostMemory, data), \
    METHOD(version, VHostMemory, size), \
    METHOD(version, VTimingCache, serialize), \
    METHOD(version, VTimingCache, combine), \
    METHOD(version, IParser, parse), \
    METHOD(version, IParser, getNbErrors), \
    METHOD(version, IParser, getError), \
    METHOD(version, IParserError, code), \
    METHOD(version, IParserError, desc), \
    METHOD(version, IParserError, node), \
    METHOD(version, ILogger, log), \
    METHOD(version, VRuntime, deserializeCudaEngine), \
    METHOD(version, VRuntime, setEngineHostCodeAllowed), \
    METHOD(version, VCudaEngine, getNbOptimizationProfiles), \
    METHOD(version, VCudaEngine, getTensorShape), \
    METHOD(version, VCudaEngine, getTensorDataType), \
    METHOD(version, VCudaEngine, getTensorLocation), \
    METHOD(version, VCudaEngine, getTensorIOMode), \
    METHOD(version, VCudaEngine, getProfileShape), \
    METHOD(version, VCudaEngine, getNbIOTensors), \
    METHOD(version, VCudaEngine, getIOTensorName), \
    METHOD(version, VExecutionContext, setOptimizationProfileAsync), \
    METHOD(version, VExecutionContext, setInputShape), \
    METHOD(version, VExecutionContext, getTensorShape), \
    METHOD(version, VExecutionContext, setTensorAddress), \
    METHOD(version, VExecutionContext, enqueueV3)

#define METHODS_SINCE_10(version) \
    METHOD(version, VBuilderConfig, setProgressMonitor), \
    {#version, "IParser", "~IParser", "", deleting_slot<version::IParser>()}, \
    METHOD(version, IParserError, nodeName), \
    METHOD(version, IParserError, nodeOperator), \
    METHOD(version, IProgressMonitor, phaseStart), \
    METHOD(version, IProgressMonitor, stepComplete), \
    METHOD(version, IProgressMonitor, phaseFinish), \
    METHOD(version, IVersionedInterface, getAPILanguage), \
    METHOD(version, IVersionedInterface, getInterfaceInfo), \
    {#version, "IVersionedInterface", "~IVersionedInterface", "", deleting_slot<cvtrt::abi::IVersionedInterface>()}, \
    METHOD(version, VCudaEngine, createExecutionContext)

const std::vector<Slot>& slots()
{
    static const std::vector<Slot> table{
        METHODS_OF_MAJOR(v8),
        METHOD(v8, VLayer, setPrecision),
        METHOD(v8, VLayer, setOutputType),
        METHOD(v8, VBuilderConfig, setTacticSources),
        METHOD(v8, VBuilderConfig, setPreviewFeature),
        METHOD(v8, VBuilder, platformHasFastFp16),
        METHOD(v8, IParser, destroy),
        METHOD(v8, VCudaEngine, createExecutionContextWithoutDeviceMemory),
        METHOD(v8, VCudaEngine, getDeviceMemorySize),
        METHOD(v8, VExecutionContext, setDeviceMemory),
        {"v8", "ILogger", "~ILogger", "", deleting_slot<v8::ILogger>()},
        METHODS_OF_MAJOR(v10),
        METHODS_SINCE_10(v10),
        METHOD(v10, VCudaEngine, getDeviceMemorySize),
        METHOD(v10, VCudaEngine, getDeviceMemorySizeForProfile),
        METHOD(v10, VExecutionContext, setDeviceMemory),
        METHOD(v10, VExecutionContext, updateDeviceMemorySizeForShapes),
        {"v10", "ILogger", "~ILogger", "", deleting_slot<v10::ILogger>()},
        METHODS_OF_MAJOR(v11),
        METHODS_SINCE_10(v11),
        METHOD(v11, VCudaEngine, getDeviceMemorySizeV2),
        METHOD(v11, VCudaEngine, getDeviceMemorySizeForProfileV2),
        METHOD(v11, VExecutionContext, setDeviceMemoryV2),
        METHOD(v11, VExecutionContext, updateDeviceMemorySizeForShapes),
        METHODS_OF_MAJOR(rtx),
        METHODS_SINCE_10(rtx),
        METHOD(rtx, VCudaEngine, getDeviceMemorySizeV2),
        METHOD(rtx, VCudaEngine, getDeviceMemorySizeForProfileV2),
        METHOD(rtx, VExecutionContext, setDeviceMemoryV2),
        METHOD(rtx, VExecutionContext, updateDeviceMemorySizeForShapes),
        METHOD(rtx, VCudaEngine, createExecutionContextWithRuntimeConfig),
        METHOD(rtx, VCudaEngine, createRuntimeConfig),
        METHOD(rtx, VRuntimeConfig, setExecutionContextAllocationStrategy),
        METHOD(rtx, VRuntimeConfig, createRuntimeCache),
        METHOD(rtx, VRuntimeConfig, setRuntimeCache),
        METHOD(rtx, VRuntimeConfig, setDynamicShapesKernelSpecializationStrategy),
        METHOD(rtx, VRuntimeConfig, setCudaGraphStrategy),
        METHOD(rtx, VRuntimeCache, serialize),
        METHOD(rtx, VRuntimeCache, deserialize),
        METHOD(rtx, VBuilderConfig, setNbComputeCapabilities),
        METHOD(rtx, VBuilderConfig, setComputeCapability),
    };
    return table;
}

#define VALUE(version, type, name) {#version, #type, #name, static_cast<int32_t>(version::type::name)}

#define VALUES_OF_MAJOR(version) \
    VALUE(version, BuilderFlag, kTF32), \
    VALUE(version, BuilderFlag, kVERSION_COMPATIBLE), \
    VALUE(version, DataType, kFLOAT), \
    VALUE(version, DataType, kHALF), \
    VALUE(version, DataType, kINT8), \
    VALUE(version, DataType, kINT32), \
    VALUE(version, DataType, kBOOL), \
    VALUE(version, DataType, kUINT8), \
    VALUE(version, DataType, kFP8), \
    VALUE(version, OptProfileSelector, kMIN), \
    VALUE(version, OptProfileSelector, kOPT), \
    VALUE(version, OptProfileSelector, kMAX), \
    VALUE(version, MemoryPoolType, kWORKSPACE), \
    VALUE(version, ProfilingVerbosity, kDETAILED), \
    VALUE(version, HardwareCompatibilityLevel, kNONE), \
    VALUE(version, HardwareCompatibilityLevel, kAMPERE_PLUS), \
    VALUE(version, Severity, kINTERNAL_ERROR), \
    VALUE(version, Severity, kERROR), \
    VALUE(version, Severity, kWARNING), \
    VALUE(version, Severity, kINFO), \
    VALUE(version, Severity, kVERBOSE), \
    VALUE(version, ErrorCode, kSUCCESS), \
    VALUE(version, ErrorCode, kMEM_ALLOC_FAILED), \
    VALUE(version, TensorIOMode, kNONE), \
    VALUE(version, TensorIOMode, kINPUT), \
    VALUE(version, TensorIOMode, kOUTPUT), \
    VALUE(version, TensorLocation, kDEVICE), \
    VALUE(version, TensorLocation, kHOST)

#define VALUES_SINCE_10(version) \
    VALUE(version, NetworkDefinitionCreationFlag, kSTRONGLY_TYPED), \
    VALUE(version, DataType, kBF16), \
    VALUE(version, DataType, kINT64), \
    VALUE(version, HardwareCompatibilityLevel, kSAME_COMPUTE_CAPABILITY), \
    VALUE(version, APILanguage, kCPP), \
    VALUE(version, ExecutionContextAllocationStrategy, kUSER_MANAGED)

constexpr cvtrt_value_fact values[]{
    VALUES_OF_MAJOR(v8),
    VALUE(v8, BuilderFlag, kFP16),
    VALUE(v8, BuilderFlag, kOBEY_PRECISION_CONSTRAINTS),
    VALUE(v8, NetworkDefinitionCreationFlag, kEXPLICIT_BATCH),
    VALUE(v8, PreviewFeature, kPROFILE_SHARING_0806),
    VALUE(v8, TacticSource, kEDGE_MASK_CONVOLUTIONS),
    VALUE(v8, TacticSource, kJIT_CONVOLUTIONS),
    VALUES_OF_MAJOR(v10),
    VALUES_SINCE_10(v10),
    VALUES_OF_MAJOR(v11),
    VALUES_SINCE_10(v11),
    VALUES_OF_MAJOR(rtx),
    VALUES_SINCE_10(rtx),
    VALUE(rtx, DynamicShapesKernelSpecializationStrategy, kLAZY),
    VALUE(rtx, DynamicShapesKernelSpecializationStrategy, kEAGER),
    VALUE(rtx, DynamicShapesKernelSpecializationStrategy, kNONE),
    VALUE(rtx, CudaGraphStrategy, kDISABLED),
    VALUE(rtx, CudaGraphStrategy, kWHOLE_GRAPH_CAPTURE),
};

} // namespace

int32_t cvtrt_slot_fact_at(int32_t index, cvtrt_slot_fact* out)
{
    if (index < 0 || static_cast<std::size_t>(index) >= slots().size()) {
        return 0;
    }
    const Slot& slot = slots()[static_cast<std::size_t>(index)];
    *out = {slot.abi, slot.interface, slot.method, slot.type.c_str(), slot.slot};
    return 1;
}

int32_t cvtrt_value_fact_at(int32_t index, cvtrt_value_fact* out)
{
    if (index < 0 || static_cast<std::size_t>(index) >= std::size(values)) {
        return 0;
    }
    *out = values[index];
    return 1;
}

const char* cvtrt_layer_kind(const char* abi, int32_t type)
{
    const cvtrt::abi::LayerType own{type};
    return cvtrt::layer_kind(std::strcmp(abi, "v8") == 0 ? v8::Abi::layer_type(own) : own);
}
