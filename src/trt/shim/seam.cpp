// The C functions: check arguments, forward, and let nothing escape but a status.
#include <cstdio>
#include <new>

#include "session.h"

namespace {

using cvtrt::Failure;

void say(cvtrt_message* message, const char* text) noexcept
{
    if (message != nullptr) {
        std::snprintf(message->text, sizeof message->text, "%s", text);
    }
}

template <class Body>
cvtrt_status guarded(cvtrt_message* message, Body body) noexcept
{
    try {
        body();
        return CVTRT_OK;
    } catch (const Failure& failure) {
        say(message, failure.message.c_str());
        return failure.status;
    } catch (const std::bad_alloc&) {
        say(message, "out of host memory");
        return CVTRT_OUT_OF_MEMORY;
    } catch (const std::exception& exception) {
        say(message, exception.what());
        return CVTRT_EXCEPTION;
    } catch (...) {
        say(message, "an exception of unknown type");
        return CVTRT_EXCEPTION;
    }
}

template <class... Pointers>
void need(const Pointers*... pointers)
{
    if (((pointers == nullptr) || ...)) {
        throw Failure{CVTRT_INVALID_ARGUMENT, "a required pointer is null"};
    }
}

std::unique_ptr<cvtrt_library> open(int32_t abi, const cvtrt_entry_points& entry)
{
    switch (abi) {
    case CVTRT_ABI_RTX: return cvtrt::open_rtx(entry);
    case CVTRT_ABI_V11: return cvtrt::open_v11(entry);
    case CVTRT_ABI_V10: return cvtrt::open_v10(entry);
    default: throw Failure{CVTRT_INVALID_ARGUMENT, "unknown set of interface declarations"};
    }
}

} // namespace

cvtrt_status cvtrt_library_open(
    int32_t abi, const cvtrt_entry_points* entry, cvtrt_library** out, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(entry, out);
        need(entry->create_builder, entry->create_parser);
        if (entry->log == nullptr) {
            throw Failure{CVTRT_INVALID_ARGUMENT, "a library needs a log function"};
        }
        *out = open(abi, *entry).release();
    });
}

cvtrt_status cvtrt_builder_create(
    cvtrt_library* library, const cvtrt_options* options, cvtrt_builder** out, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(library, options, out);
        if (options->target_count > 0) {
            need(options->targets);
        }
        *out = library->create_builder(*options).release();
    });
}

void cvtrt_builder_destroy(cvtrt_builder* builder)
{
    guarded(nullptr, [&] { delete builder; });
}

cvtrt_status cvtrt_builder_parse(
    cvtrt_builder* builder, const void* onnx, size_t bytes, const char* path, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(builder, onnx);
        builder->parse(onnx, bytes, path);
    });
}

cvtrt_status cvtrt_builder_parse_error_count(cvtrt_builder* builder, int32_t* out)
{
    return guarded(nullptr, [&] {
        need(builder, out);
        *out = builder->parse_error_count();
    });
}

cvtrt_status cvtrt_builder_parse_error(cvtrt_builder* builder, int32_t index, cvtrt_parse_error* out)
{
    return guarded(nullptr, [&] {
        need(builder, out);
        *out = builder->parse_error(index);
    });
}

cvtrt_status cvtrt_builder_counts(cvtrt_builder* builder, cvtrt_counts* out)
{
    return guarded(nullptr, [&] {
        need(builder, out);
        *out = builder->counts();
    });
}

cvtrt_status cvtrt_builder_tensor(cvtrt_builder* builder, int32_t direction, int32_t index, cvtrt_tensor* out)
{
    return guarded(nullptr, [&] {
        need(builder, out);
        *out = builder->tensor(direction, index);
    });
}

cvtrt_status cvtrt_builder_layer(cvtrt_builder* builder, int32_t index, cvtrt_layer* out)
{
    return guarded(nullptr, [&] {
        need(builder, out);
        *out = builder->layer(index);
    });
}

cvtrt_status cvtrt_builder_add_profile(
    cvtrt_builder* builder, const cvtrt_range* ranges, size_t count, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(builder, ranges);
        builder->add_profile(ranges, count);
    });
}

cvtrt_status cvtrt_builder_build(cvtrt_builder* builder, cvtrt_blob** out, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(builder, out);
        *out = builder->build().release();
    });
}

cvtrt_status cvtrt_builder_timing_cache(cvtrt_builder* builder, cvtrt_blob** out, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(builder, out);
        *out = builder->timing_cache().release();
    });
}

cvtrt_status cvtrt_blob_bytes(const cvtrt_blob* blob, const uint8_t** data, size_t* bytes)
{
    return guarded(nullptr, [&] {
        need(blob, data, bytes);
        const cvtrt::abi::IHostMemory& memory = *blob->memory;
        *data = static_cast<const uint8_t*>(memory->data());
        *bytes = memory->size();
    });
}

void cvtrt_blob_destroy(cvtrt_blob* blob)
{
    guarded(nullptr, [&] { delete blob; });
}
