#include "abi/v8.h"
#include "library.h"

namespace cvtrt {

std::unique_ptr<cvtrt_library> open_v8(const cvtrt_entry_points& entry)
{
    return std::make_unique<Library<v8::Abi>>(entry);
}

} // namespace cvtrt
