#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "schema/doc/node.h"
#include "schema/spec/cluster.h"
#include "schema/spec/defaults.h"
#include "schema/spec/module.h"

namespace safekit::codec {

/// Where each field of a spec stands in its text: `spec.heartbeats.lans[0].name` to line and column. A value.
class Positions {
 public:
  void note(const std::string& path, doc::Position at) { at_.emplace(path, at); }
  [[nodiscard]] bool has(const std::string& path) const { return at_.count(path) != 0; }
  /// Of the field; if it was left out, of what surrounds it.
  [[nodiscard]] doc::Position find(std::string path) const;

 private:
  std::map<std::string, doc::Position> at_{};
};

struct Decoded {
  std::variant<spec::Cluster, spec::Module> object{};
  Positions positions{};
};

/// One document of YAML or JSON (`apiVersion`, `kind`, `metadata`, `spec`) to its spec. Everything that is
/// wrong goes to `problems`, also what comes after the first mistake; a field that is wrong keeps its
/// default. Empty: the kind is unknown.
[[nodiscard]] std::optional<Decoded> decode(const doc::Node& document, doc::Problems& problems);

/// The same for the tree of only the spec, in long form, with the defaults of `dialect`: what safekit_xml
/// makes.
void decode_spec(const doc::Node& tree, spec::Dialect dialect, spec::Cluster& cluster, Positions& positions,
                 doc::Problems& problems);
void decode_spec(const doc::Node& tree, spec::Dialect dialect, spec::Module& module, Positions& positions,
                 doc::Problems& problems);
/// Fields of `metadata` that the tree has replace those in `metadata`.
void decode_metadata(const doc::Node& tree, spec::Metadata& metadata, Positions& positions,
                     doc::Problems& problems);

}  // namespace safekit::codec
