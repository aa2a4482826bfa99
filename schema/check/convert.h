#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/check/load.h"

namespace safekit::check {

struct Converted {
  std::string text{};                    ///< empty when there were errors, or several objects for XML
  std::vector<doc::Problem> problems{};  ///< of the text that came in
};

/// A text in one form to another form. Several objects become several YAML documents; JSON and XML hold one.
[[nodiscard]] Converted convert(std::string_view text, const std::string& file_name, Format to,
                                const LoadOptions& options = {});

/// One object as text. Auto counts as YAML.
[[nodiscard]] std::string print(const spec::Cluster& cluster, Format format);
[[nodiscard]] std::string print(const spec::Module& module, Format format);

}  // namespace safekit::check
