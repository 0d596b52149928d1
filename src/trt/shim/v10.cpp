#include "abi/v10.h"
#include "library.h"

namespace cvtrt {

std::unique_ptr<cvtrt_library> open_v10(const cvtrt_entry_points& entry)
{
    return std::make_unique<Library<v10::Abi>>(entry);
}

} // namespace cvtrt
