#include "computing_plan.h"

#include <cstring>
#include <string_view>
#include <tuple>

namespace cvtrt::computing {

namespace {

constexpr std::size_t header_bytes = 64;

// Bits of the target mask, as in `plan_header.rs`.
constexpr std::array<int32_t, 6> rtx_targets{75, 80, 86, 89, 120, 121};

template <class Number>
void put(std::string& out, Number number)
{
    char bytes[sizeof number];
    std::memcpy(bytes, &number, sizeof number);
    out.append(bytes, sizeof number);
}

void put_text(std::string& out, std::string_view text)
{
    put(out, static_cast<uint64_t>(text.size()));
    out.append(text);
}

// Takes from the front; once something is missing, everything is.
class Reader {
public:
    explicit Reader(std::string_view rest) : rest_(rest) {}

    bool whole() const noexcept { return !short_ && rest_.empty(); }

    template <class Number>
    Number number()
    {
        Number number{};
        const std::string_view bytes = take(sizeof number);
        if (bytes.size() == sizeof number) {
            std::memcpy(&number, bytes.data(), sizeof number);
        }
        return number;
    }

    std::string text() { return std::string(take(number<uint64_t>())); }

    // How many things follow, each of at least one byte.
    uint64_t count()
    {
        const auto count = number<uint64_t>();
        short_ = short_ || count > rest_.size();
        return short_ ? 0 : count;
    }

private:
    std::string_view take(uint64_t bytes)
    {
        if (short_ || bytes > rest_.size()) {
            short_ = true;
            return {};
        }
        const std::string_view taken = rest_.substr(0, bytes);
        rest_.remove_prefix(bytes);
        return taken;
    }

    std::string_view rest_;
    bool short_{false};
};

std::string header(const Plan& plan, std::size_t body_bytes)
{
    std::string out = plan.rtx ? "vtrt" : "ftrt";
    out.resize(header_bytes, '\0');
    const uint64_t bytes = header_bytes + body_bytes;
    std::memcpy(&out[16], &bytes, sizeof bytes);
    std::memcpy(&out[24], &plan.release, sizeof plan.release);
    uint32_t mask = 0;
    for (std::size_t bit = 0; bit < rtx_targets.size(); ++bit) {
        for (const int32_t target : plan.targets) {
            mask |= target == rtx_targets[bit] ? 1U << bit : 0U;
        }
    }
    std::memcpy(&out[32], &mask, sizeof mask);
    return out;
}

} // namespace

Release Release::of(int32_t version)
{
    const int32_t scale = version < 10'000 ? 1'000 : 10'000;
    const auto part = [](int32_t number) { return static_cast<uint8_t>(number); };
    return {part(version / scale), part(version % scale / 100), part(version % 100)};
}

bool Release::operator==(const Release& other) const noexcept
{
    return major == other.major && minor == other.minor && patch == other.patch;
}

bool Release::operator<(const Release& other) const noexcept
{
    return std::tie(major, minor, patch) < std::tie(other.major, other.minor, other.patch);
}

std::string Plan::written() const
{
    std::string body;
    put(body, static_cast<uint8_t>(version_compatible));
    put(body, static_cast<uint8_t>(shares_profiles));
    put(body, static_cast<uint64_t>(profiles.size()));
    for (const Ranges& ranges : profiles) {
        put(body, static_cast<uint64_t>(ranges.size()));
        for (const auto& [input, range] : ranges) {
            put_text(body, input);
            put(body, range.at);
        }
    }
    put_text(body, onnx);
    return header(*this, body.size()) + body;
}

bool Plan::read(const void* bytes, std::size_t count, Plan& out)
{
    const std::string_view all(static_cast<const char*>(bytes), count);
    if (all.size() < header_bytes) {
        return false;
    }
    out.rtx = all.substr(0, 4) == "vtrt";
    std::memcpy(&out.release, &all[24], sizeof out.release);
    Reader rest(all.substr(header_bytes));
    out.version_compatible = rest.number<uint8_t>() != 0;
    out.shares_profiles = rest.number<uint8_t>() != 0;
    out.profiles.resize(rest.count());
    for (Ranges& ranges : out.profiles) {
        for (uint64_t left = rest.count(); left > 0; --left) {
            const std::string input = rest.text();
            ranges[input].at = rest.number<std::array<cvtrt_dims, 3>>();
        }
    }
    out.onnx = rest.text();
    return rest.whole();
}

} // namespace cvtrt::computing
