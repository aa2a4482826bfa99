#pragma once

#include <map>
#include <string>

namespace safekit::script {

/// AM_start_wrapper and AM_stop_wrapper (spec/runtime.md 2.7), also with `.sh` behind as SafeKit names them on Linux: name to text.
[[nodiscard]] std::map<std::string, std::string> wrappers_of(const std::string& module, const std::string& program_dir);

}  // namespace safekit::script
