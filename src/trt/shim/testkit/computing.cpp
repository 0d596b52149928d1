#include "computing.h"

namespace {

const cvtrt_compute* installed = nullptr;

} // namespace

const cvtrt_compute& cvtrt::computing::rust() noexcept { return *installed; }

void cvtrt_compute_install(const cvtrt_compute* table) { installed = table; }
