#pragma once

#include <string>
#include <vector>

#include "schema/spec/cluster.h"
#include "schema/spec/module.h"

namespace safekit::check {

/// One field that differs. `before` or `after` is empty when the field, or the part it belongs to, is not
/// there.
struct FieldChange {
  std::string path{};  ///< `spec.checkers.tcp[listener].port`: parts of lists are named, not counted
  std::string before{};
  std::string after{};
  friend bool operator==(const FieldChange&, const FieldChange&) = default;
};

/// What `safekit diff` shows: every field with its default filled in, so that a default written out is no
/// change. Order and wording of the files, generation and resourceVersion do not count.
[[nodiscard]] std::vector<FieldChange> diff(const spec::Cluster& before, const spec::Cluster& after);
[[nodiscard]] std::vector<FieldChange> diff(const spec::Module& before, const spec::Module& after);

/// `~ path: before -> after`, `+ path: after`, `- path: before`; one line each.
[[nodiscard]] std::string to_string(const FieldChange& change);

/// The spec itself differs, so that its generation grows; a label alone does not make a new generation.
[[nodiscard]] bool spec_differs(const spec::Cluster& before, const spec::Cluster& after);
[[nodiscard]] bool spec_differs(const spec::Module& before, const spec::Module& after);

}  // namespace safekit::check
