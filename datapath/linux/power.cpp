#include "datapath/linux/power.h"

namespace safekit::linux_os {

void SystemPower::reboot(std::function<void(const Error&)> failed) {
  if (!permitted_) return failed(Error{Code::Denied, "safekitd was started without --may-reboot"});
  const ProcessSpec spec{.argv = {"/usr/bin/systemctl", "reboot"}, .environment = {"PATH=/usr/bin:/bin"}};
  const auto started = processes_.start(spec, [failed](const ExitStatus& status) {
    if (status.code != 0) failed(Error{Code::Io, "`systemctl reboot` was refused"});
  });
  if (!started) failed(started.error());
}

}  // namespace safekit::linux_os
