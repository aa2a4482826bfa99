#include "controllers/script/wrappers.h"

#include <fmt/format.h>

namespace safekit::script {

std::map<std::string, std::string> wrappers_of(const std::string& module, const std::string& program_dir) {
  std::map<std::string, std::string> wrappers;
  for (const char* verb : {"start", "stop"}) {
    const std::string text = fmt::format("#!/bin/sh\n# The application of module {0} by hand, while the module is stopped.\n"
                                         "exec {2}/safekit -r wrapper {1} {0}\n", module, verb, program_dir);
    wrappers[fmt::format("{}_{}_wrapper", module, verb)] = text;
    wrappers[fmt::format("{}_{}_wrapper.sh", module, verb)] = text;
  }
  return wrappers;
}

}  // namespace safekit::script
