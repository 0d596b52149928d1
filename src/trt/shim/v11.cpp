#include "abi/v11.h"
#include "library.h"

namespace cvtrt {

std::unique_ptr<cvtrt_library> open_v11(const cvtrt_entry_points& entry)
{
    return std::make_unique<Library<v11::Abi>>(entry);
}

} // namespace cvtrt
