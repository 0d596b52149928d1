#include "record.h"

#include <algorithm>
#include <cstring>

namespace {

thread_local std::string lines;
thread_local int32_t current = CVTRT_FAKE_WORKS;

} // namespace

int32_t cvtrt::fake::behaviour() noexcept { return current; }

void cvtrt::fake::append(const std::string& line)
{
    lines += line;
    lines += '\n';
}

void cvtrt_fake_behave(int32_t behaviour) { current = behaviour; }

size_t cvtrt_fake_take_record(char* out, size_t capacity)
{
    const size_t length = std::min(lines.size(), capacity - 1);
    std::memcpy(out, lines.data(), length);
    out[length] = '\0';
    const size_t whole = lines.size();
    lines.clear();
    return whole;
}
