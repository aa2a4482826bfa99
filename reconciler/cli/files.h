#pragma once

#include <string>
#include <vector>

#include "reconciler/api/source.h"
#include "reconciler/cli/session.h"

/// Files that a person names: texts, folders of a module, archives, `-`.
namespace safekit::cli {

/// Errors: NotFound, Io, Exhausted for a file that is too large.
[[nodiscard]] Result<std::string> read_file(const std::string& path);
/// Errors: Io.
Status write_file(const std::string& path, std::string_view text);

struct ReadSource {
  api::Source source{};
  std::vector<doc::Problem> problems{};  ///< of the text alone
};
/// A file, `-`, a `.safe` archive, or a folder with `module.yaml`, `cluster.yaml`, `conf/userconfig.xml` or
/// `userconfig.xml`. The scripts that the module names are read along.
Result<ReadSource> read_source(const std::string& path, const Session& session);

}  // namespace safekit::cli
