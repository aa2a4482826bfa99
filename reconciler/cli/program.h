#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "reconciler/api/client.h"
#include "reconciler/cli/session.h"

namespace safekit::cli {

/// What the program needs of the world. Looks at it.
struct World {
  Output& output;
  std::map<std::string, std::string> environment{};
  /// To the daemon that the arguments name. Errors: Invalid, NotFound (token file).
  std::function<Result<std::unique_ptr<api::Client>>(const Arguments&)> connect{};
};

/// The whole program but its `main`: words after the program's name to an exit code.
[[nodiscard]] int run(const std::vector<std::string>& words, World& world);

/// By --server, --token-file, --ca, --socket and their environment variables.
[[nodiscard]] Result<std::unique_ptr<api::Client>> connect(
    const Arguments& args, const std::map<std::string, std::string>& environment);

}  // namespace safekit::cli
