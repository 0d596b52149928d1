// The logger and the progress monitor handed to the library.
#pragma once

#include <atomic>

#include "abi/callbacks.h"
#include "cvtrt_trt.h"

namespace cvtrt {

// Several threads log at once; the target function is told so.
struct LogTarget {
    cvtrt_log_fn log;
    void* user;

    void write(abi::Severity severity, const char* text) const noexcept
    {
        log(user, static_cast<int32_t>(severity), text == nullptr ? "" : text);
    }
};

template <class ILogger>
class Logger;

template <>
class Logger<abi::ILoggerV10> final : public abi::ILoggerV10 {
public:
    explicit Logger(LogTarget target) noexcept : target_(target) {}
    const LogTarget& target() const noexcept { return target_; }
    void log(abi::Severity severity, const char* text) noexcept override { target_.write(severity, text); }

private:
    LogTarget target_;
};

template <>
class Logger<abi::ILoggerV11> final : public abi::ILoggerV11 {
public:
    explicit Logger(LogTarget target) noexcept : target_(target) {}
    const LogTarget& target() const noexcept { return target_; }
    abi::InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILogger", 1, 0}; }
    void log(abi::Severity severity, const char* text) noexcept override { target_.write(severity, text); }

private:
    LogTarget target_;
};

// Once told to stop it stays stopped: phases run in parallel, and each has to hear it.
class ProgressMonitor final : public abi::IProgressMonitor {
public:
    ProgressMonitor(cvtrt_progress_fn progress, void* user) noexcept : progress_(progress), user_(user) {}

    bool stopped() const noexcept { return stopped_.load(); }

    abi::InterfaceInfo getInterfaceInfo() const noexcept override { return {"IProgressMonitor", 1, 0}; }

    void phaseStart(const char* phase, const char* parent, int32_t steps) noexcept override
    {
        tell(CVTRT_PROGRESS_START, phase, parent, steps);
    }

    bool stepComplete(const char* phase, int32_t step) noexcept override
    {
        tell(CVTRT_PROGRESS_STEP, phase, nullptr, step);
        return !stopped();
    }

    void phaseFinish(const char* phase) noexcept override { tell(CVTRT_PROGRESS_FINISH, phase, nullptr, 0); }

private:
    void tell(int32_t event, const char* phase, const char* parent, int32_t value) noexcept
    {
        if (progress_ != nullptr && progress_(user_, event, phase == nullptr ? "" : phase, parent, value) == 0) {
            stopped_.store(true);
        }
    }

    cvtrt_progress_fn progress_;
    void* user_;
    std::atomic<bool> stopped_{false};
};

} // namespace cvtrt
