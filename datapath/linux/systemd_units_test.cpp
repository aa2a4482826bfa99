#include "datapath/linux/systemd_units.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "datapath/linux/files.h"
#include "datapath/linux/loop.h"

namespace safekit::linux_os {
namespace {

/// A bus of its own, with a systemd or without.
class SystemdUnitsTest : public ::testing::Test {
 protected:
  SystemdUnitsTest() {
    char name[] = "/tmp/sk-units-XXXXXX";
    directory = mkdtemp(name);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + directory + "/bus").c_str(), 1);
    loop.after(seconds{20}, [this] {
      ADD_FAILURE() << "timed out: " << units.problem();
      loop.stop();
    });
  }
  ~SystemdUnitsTest() override {
    if (systemd != nullptr) ::pclose(systemd);
    if (bus != nullptr) {
      (void)!::system(("kill $(cat " + directory + "/pid)").c_str());
      ::pclose(bus);
    }
    std::filesystem::remove_all(directory);
    unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
  }
  /// False where there is no dbus-daemon.
  bool start_bus() {
    const std::string config = directory + "/conf";
    EXPECT_TRUE(SystemFiles{}.put(config,
                                  "<busconfig><type>system</type><listen>unix:path=" + directory +
                                      "/bus</listen><auth>EXTERNAL</auth><pidfile>" + directory + "/pid</pidfile>"
                                      "<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>"
                                      "<allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
                                  0644));
    bus = ::popen(("dbus-daemon --nofork --print-address --config-file=" + config + " 2>/dev/null").c_str(), "r");
    char line[512];
    return bus != nullptr && std::fgets(line, sizeof line, bus) != nullptr;
  }
  void start_systemd() {
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "systemd_stub";
    systemd = ::popen((program + " > " + directory + "/ready").c_str(), "w");
    ASSERT_NE(systemd, nullptr);
    while (!std::filesystem::exists(directory + "/ready") || std::filesystem::file_size(directory + "/ready") == 0) ::usleep(1000);
  }
  void set(const std::string& unit, const std::string& state) {
    std::fprintf(systemd, "%s %s\n", unit.c_str(), state.c_str());
    std::fflush(systemd);
  }
  /// Until the unit is so; it is told, not asked for.
  void wait(std::optional<bool> running) {
    wanted = running;
    if (units.is_running("web.service") != running) loop.run();
    EXPECT_EQ(units.is_running("web.service"), running);
  }
  void told() {
    if (units.is_running("web.service") == wanted) loop.stop();
  }

  std::string directory{};
  std::FILE* bus{nullptr};
  std::FILE* systemd{nullptr};
  AsioLoop loop{};
  SystemdUnits units{loop};
  std::optional<bool> wanted{};
};

TEST_F(SystemdUnitsTest, TellsChangesOfAUnit) {
  if (!start_bus()) GTEST_SKIP() << "no dbus-daemon";
  start_systemd();
  const auto id = units.watch("web.service", [this] { told(); });
  wait(false);
  set("web.service", "active");
  wait(true);
  set("web.service", "deactivating");
  wait(false);
  set("other.service", "active");
  set("web.service", "reloading");
  wait(true);
  EXPECT_EQ(units.problem(), "");
  EXPECT_EQ(units.is_running("other.service"), std::nullopt) << "nobody follows it";
  units.unwatch(id);
  EXPECT_EQ(units.is_running("web.service"), std::nullopt);
}

TEST_F(SystemdUnitsTest, WaitsForASystemdThatComesLater) {
  if (!start_bus()) GTEST_SKIP() << "no dbus-daemon";
  units.watch("web.service", [this] {
    if (!units.problem().empty()) loop.stop();
  });
  loop.run();
  EXPECT_NE(units.problem().find("systemd does not answer"), std::string::npos) << units.problem();
  units.watch("web.service", [this] { told(); });
  start_systemd();
  wait(false);
  set("web.service", "active");
  wait(true);
  EXPECT_EQ(units.problem(), "");
}

TEST_F(SystemdUnitsTest, SaysThatThereIsNoBus) {
  units.watch("web.service", [this] { loop.stop(); });
  loop.run();
  EXPECT_EQ(units.is_running("web.service"), std::nullopt);
  EXPECT_EQ(units.problem(), "systemd does not answer on D-Bus (No such file or directory)");
}

}  // namespace
}  // namespace safekit::linux_os
