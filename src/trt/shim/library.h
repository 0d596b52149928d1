// One loaded library: makes builds and engines with the entry points it was found to have.
#pragma once

#include "build.h"
#include "run.h"

namespace cvtrt {

template <class Abi>
class Library final : public cvtrt_library {
public:
    explicit Library(const cvtrt_entry_points& entry) : entry_(entry), logger_(LogTarget{entry.log, entry.log_user}) {}

    std::unique_ptr<cvtrt_builder> create_builder(const cvtrt_options& options) override
    {
        if (entry_.create_builder == nullptr || entry_.create_parser == nullptr) {
            throw Failure{CVTRT_UNSUPPORTED, "this library runs engines and builds none"};
        }
        return std::make_unique<Build<Abi>>(logger_, entry_, options);
    }

    std::unique_ptr<cvtrt_engine> load_engine(const void* plan, std::size_t bytes, bool host_code) override
    {
        return std::make_unique<Engine<Abi>>(logger_, entry_, plan, bytes, host_code);
    }

private:
    cvtrt_entry_points entry_;
    // One for all objects of this library: it keeps the first logger it is given.
    Logger<typename Abi::Logger> logger_;
};

} // namespace cvtrt
