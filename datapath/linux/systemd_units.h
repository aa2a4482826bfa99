#pragma once

#include <memory>

#include "schema/port/loop.h"
#include "schema/port/units.h"

namespace safekit::linux_os {

/// Units of systemd by D-Bus signals (org.freedesktop.systemd1(5)), on the system bus or where DBUS_SYSTEM_BUS_ADDRESS says. There
/// is a connection only while something is watched; a lost one is tried again each kUnitsRetry. Nothing here waits. A service.
class SystemdUnits final : public Units {
 public:
  explicit SystemdUnits(Loop& loop);
  ~SystemdUnits() override;
  SystemdUnits(const SystemdUnits&) = delete;
  SystemdUnits& operator=(const SystemdUnits&) = delete;

  std::uint64_t watch(const std::string& unit, std::function<void()> task) override;
  void unwatch(std::uint64_t id) override;
  [[nodiscard]] std::optional<bool> is_running(const std::string& unit) const override;
  [[nodiscard]] std::string problem() const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

inline constexpr Duration kUnitsRetry = seconds{5};

}  // namespace safekit::linux_os
