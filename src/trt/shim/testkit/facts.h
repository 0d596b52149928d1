/* What the declarations say about themselves, for comparison with tables taken from NVIDIA's headers. Tests only. */
#ifndef CVTRT_TRT_FACTS_H
#define CVTRT_TRT_FACTS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cvtrt_slot_fact {
    const char* abi; /* rtx, v11, v10, v8 */
    const char* interface;
    const char* method;
    const char* type; /* the member's C++ type, demangled */
    int32_t slot;
} cvtrt_slot_fact;

typedef struct cvtrt_value_fact {
    const char* abi;
    const char* enumeration;
    const char* name;
    int32_t value;
} cvtrt_value_fact;

/* Return 0 past the end. */
int32_t cvtrt_slot_fact_at(int32_t index, cvtrt_slot_fact* out);
int32_t cvtrt_value_fact_at(int32_t index, cvtrt_value_fact* out);

/* The project's name of a layer type's number in one set of declarations. */
const char* cvtrt_layer_kind(const char* abi, int32_t type);

#ifdef __cplusplus
}
#endif

#endif
