#pragma once

#include <string>
#include <vector>

#include "schema/spec/module.h"

namespace safekit::check {

/// A setting that is accepted, kept and given back, but that this version does not act on.
struct Unhonoured {
  std::string path{};    ///< `spec.replication.syncAt`
  std::string reason{};  ///< what happens instead, one plain sentence
  friend bool operator==(const Unhonoured&, const Unhonoured&) = default;
};

/// For the warning at apply and the condition `NotHonoured`. A controller that begins to honour a setting
/// removes its line here in the same change.
[[nodiscard]] std::vector<Unhonoured> unhonoured(const spec::Module& module);

}  // namespace safekit::check
