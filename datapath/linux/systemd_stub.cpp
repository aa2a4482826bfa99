#include <poll.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <string>

/// For tests: what systemd shows of its units on D-Bus, where there is no systemd. Connects where DBUS_SYSTEM_BUS_ADDRESS says, prints
/// `ready`, and takes lines `UNIT STATE` on standard input; a unit that was not named is inactive. Ends with its input.
namespace {

constexpr const char* kUnits = "/org/freedesktop/systemd1/unit";
constexpr const char* kUnit = "org.freedesktop.systemd1.Unit";

std::map<std::string, std::string> states;  // by object path

int state_of(sd_bus*, const char* path, const char*, const char*, sd_bus_message* reply, void*, sd_bus_error*) {
  const auto found = states.find(path);
  return sd_bus_message_append(reply, "s", found == states.end() ? "inactive" : found->second.c_str());
}

int find_unit(sd_bus*, const char*, const char*, void*, void** found, sd_bus_error*) {
  *found = nullptr;
  return 1;
}

int subscribe(sd_bus_message* call, void*, sd_bus_error*) { return sd_bus_reply_method_return(call, ""); }

const sd_bus_vtable kUnitTable[] = {SD_BUS_VTABLE_START(0),
                                    SD_BUS_PROPERTY("ActiveState", "s", state_of, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
                                    SD_BUS_VTABLE_END};
const sd_bus_vtable kManagerTable[] = {SD_BUS_VTABLE_START(0),
                                       SD_BUS_METHOD("Subscribe", "", "", subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
                                       SD_BUS_VTABLE_END};

void check(int result, const char* what) {
  if (result >= 0) return;
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(-result));
  std::exit(1);
}

void take_line(sd_bus* bus, const std::string& line) {
  const auto blank = line.find(' ');
  char* path = nullptr;
  check(sd_bus_path_encode(kUnits, line.substr(0, blank).c_str(), &path), "path");
  states[path] = line.substr(blank + 1);
  check(sd_bus_emit_properties_changed(bus, path, kUnit, "ActiveState", nullptr), "emit");
  std::free(path);
}

}  // namespace

int main() {
  sd_bus* bus = nullptr;
  check(sd_bus_open_system(&bus), "open");
  check(sd_bus_add_fallback_vtable(bus, nullptr, kUnits, kUnit, kUnitTable, find_unit, nullptr), "units");
  check(sd_bus_add_object_vtable(bus, nullptr, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", kManagerTable, nullptr),
        "manager");
  check(sd_bus_request_name(bus, "org.freedesktop.systemd1", 0), "name");
  std::cout << "ready" << std::endl;
  std::string input;
  for (;;) {
    int more = 1;
    while (more > 0) check(more = sd_bus_process(bus, nullptr), "process");
    check(sd_bus_flush(bus), "flush");
    pollfd ready[] = {{STDIN_FILENO, POLLIN, 0}, {sd_bus_get_fd(bus), POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0) return 1;
    if (ready[0].revents == 0) continue;
    char bytes[4096];
    const ssize_t got = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (got <= 0) return 0;
    input.append(bytes, static_cast<std::size_t>(got));
    for (auto end = input.find('\n'); end != std::string::npos; end = input.find('\n')) {
      take_line(bus, input.substr(0, end));
      input.erase(0, end + 1);
    }
  }
}
