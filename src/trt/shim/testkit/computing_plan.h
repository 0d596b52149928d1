// The plan of a computing fake: a header as `plan_header.rs` reads it, the profiles it was built with, and the model. Tests only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cvtrt_trt.h"

namespace cvtrt::computing {

struct Range {
    std::array<cvtrt_dims, 3> at; // min, opt, max
};

// What one optimisation profile takes, by input.
using Ranges = std::map<std::string, Range>;

struct Release {
    uint8_t major;
    uint8_t minor;
    uint8_t patch;

    // The two ways of counting that libraries have.
    static Release of(int32_t version);
    bool operator==(const Release& other) const noexcept;
    bool operator<(const Release& other) const noexcept;
};

struct Plan {
    bool rtx{false};
    Release release{};
    std::vector<int32_t> targets; // 10 * major + minor; RTX only
    bool version_compatible{false};
    bool shares_profiles{true};
    std::vector<Ranges> profiles;
    std::string onnx;

    std::string written() const;
    // False where the bytes are no whole plan.
    static bool read(const void* bytes, std::size_t count, Plan& out);
};

} // namespace cvtrt::computing
