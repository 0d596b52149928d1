#include "abi/rtx.h"
#include "library.h"

namespace cvtrt {

std::unique_ptr<cvtrt_library> open_rtx(const cvtrt_entry_points& entry)
{
    return std::make_unique<Library<rtx::Abi>>(entry);
}

} // namespace cvtrt
