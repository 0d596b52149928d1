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
    case CVTRT_ABI_V8: return cvtrt::open_v8(entry);
    default: throw Failure{CVTRT_INVALID_ARGUMENT, "unknown set of interface declarations"};
    }
}

} // namespace

cvtrt_status cvtrt_library_open(
    int32_t abi, const cvtrt_entry_points* entry, cvtrt_library** out, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(entry, out);
        need(entry->create_runtime);
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

cvtrt_status cvtrt_builder_keep_fp32(
    cvtrt_builder* builder, const char* const* names, size_t count, int32_t* out, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(builder, names, out);
        *out = builder->keep_fp32(names, count);
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

cvtrt_status cvtrt_builder_add_timings(
    cvtrt_builder* builder, const void* blob, size_t bytes, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(builder, blob);
        builder->add_timings(blob, bytes);
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

cvtrt_status cvtrt_engine_load(
    cvtrt_library* library, const void* plan, size_t bytes, int32_t host_code, cvtrt_engine** out, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(library, plan, out);
        *out = library->load_engine(plan, bytes, host_code != 0).release();
    });
}

void cvtrt_engine_destroy(cvtrt_engine* engine)
{
    guarded(nullptr, [&] { delete engine; });
}

cvtrt_status cvtrt_engine_get_facts(const cvtrt_engine* engine, cvtrt_engine_facts* out)
{
    return guarded(nullptr, [&] {
        need(engine, out);
        *out = engine->facts();
    });
}

cvtrt_status cvtrt_engine_port(const cvtrt_engine* engine, int32_t index, cvtrt_port* out)
{
    return guarded(nullptr, [&] {
        need(engine, out);
        *out = engine->port(index);
    });
}

cvtrt_status cvtrt_engine_range(const cvtrt_engine* engine, int32_t index, int32_t profile, cvtrt_range* out)
{
    return guarded(nullptr, [&] {
        need(engine, out);
        *out = engine->range(index, profile);
    });
}

cvtrt_status cvtrt_engine_scratch(const cvtrt_engine* engine, int32_t profile, uint64_t* out)
{
    return guarded(nullptr, [&] {
        need(engine, out);
        *out = engine->scratch_bytes(profile);
    });
}

cvtrt_status cvtrt_engine_configure(
    cvtrt_engine* engine, const cvtrt_kernel_options* options, int32_t* cache_taken, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(engine, options, cache_taken);
        *cache_taken = engine->configure(*options) ? 1 : 0;
    });
}

cvtrt_status cvtrt_engine_kernels(const cvtrt_engine* engine, cvtrt_blob** out, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(engine, out);
        *out = engine->kernels().release();
    });
}

cvtrt_status cvtrt_context_create(cvtrt_engine* engine, cvtrt_context** out, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(engine, out);
        *out = engine->create_context().release();
    });
}

void cvtrt_context_destroy(cvtrt_context* context)
{
    guarded(nullptr, [&] { delete context; });
}

cvtrt_status cvtrt_context_set_scratch(cvtrt_context* context, void* memory, uint64_t bytes, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(context);
        context->set_scratch(memory, bytes);
    });
}

cvtrt_status cvtrt_context_set_profile(cvtrt_context* context, int32_t profile, void* stream, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(context);
        context->set_profile(profile, stream);
    });
}

cvtrt_status cvtrt_context_set_input_shape(
    cvtrt_context* context, int32_t index, const cvtrt_dims* dims, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(context, dims);
        context->set_input_shape(index, *dims);
    });
}

cvtrt_status cvtrt_context_shape(const cvtrt_context* context, int32_t index, cvtrt_dims* out)
{
    return guarded(nullptr, [&] {
        need(context, out);
        *out = context->shape(index);
    });
}

cvtrt_status cvtrt_context_set_address(cvtrt_context* context, int32_t index, void* address, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(context);
        context->set_address(index, address);
    });
}

cvtrt_status cvtrt_context_enqueue(cvtrt_context* context, void* stream, cvtrt_message* message)
{
    return guarded(message, [&] {
        need(context);
        context->enqueue(stream);
    });
}
