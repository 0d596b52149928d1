// The device half of `kernels`; each function does what its host twin in `twin.rs` does, in the same order of operations.
// Compiled to `kernels.ptx` by `scripts/check-ptx --write`, without fused multiply-add. Grids cover their work in strides.

typedef unsigned int u32;
typedef unsigned long long u64;

#define EACH(index, count)                                                                                              \
    for (u64 index = blockIdx.x * (u64)blockDim.x + threadIdx.x; index < (count); index += gridDim.x * (u64)blockDim.x)

/// x += dt * ((1 + guidance) * v0 - guidance * v1), for both rows of x.
extern "C" __global__ void euler_step(float* x, const float* velocity, u64 row, const float* dt, float guidance) {
    float step = *dt;
    EACH(index, row) {
        float with = velocity[index];
        float without = velocity[row + index];
        float moved = x[index] + step * ((1.0f + guidance) * with - guidance * without);
        x[index] = moved;
        x[row + index] = moved;
    }
}

struct Append {
    void* past;
    const void* fresh;
    float* past_valid;
    const int* positions;
    const float* fresh_valid;
    u64 past_side;   // units from one side to the next
    u64 fresh_side;  // the same of the new rows
    u32 sides;
    u32 rows;
    u32 heads;
    u32 capacity;  // positions of a row of the past
    u32 count;     // new positions of a row
    u32 units;     // units of a position
};

template <typename Unit>
static __device__ void append(const Append& a) {
    Unit* past = (Unit*)a.past;
    const Unit* fresh = (const Unit*)a.fresh;
    u64 side_units = (u64)a.rows * a.heads * a.count * a.units;
    EACH(index, side_units * a.sides) {
        u64 side = index / side_units;
        u64 rest = index % side_units;
        u32 unit = rest % a.units;
        u32 step = rest / a.units % a.count;
        u64 head = rest / a.units / a.count;
        u64 row = head / a.heads;
        u64 token = row * a.count + step;
        u32 position = a.positions[token];
        if (a.fresh_valid[token] == 0.0f || position >= a.capacity) {
            continue;
        }
        past[side * a.past_side + (head * a.capacity + position) * a.units + unit] = fresh[side * a.fresh_side + rest];
        if (side == 0 && head == row * a.heads && unit == 0) {
            a.past_valid[row * a.capacity + position] = 1.0f;
        }
    }
}

extern "C" __global__ void append_bytes(Append a) { append<unsigned char>(a); }

extern "C" __global__ void append_words(Append a) { append<uint4>(a); }

/// Adds the number of values that are NaN or infinite to `count`.
extern "C" __global__ void count_not_finite(const float* values, u64 length, u32* count) {
    u32 found = 0;
    EACH(index, length) {
        found += (__float_as_uint(values[index]) & 0x7f800000u) == 0x7f800000u;
    }
    if (found != 0) {
        atomicAdd(count, found);
    }
}
