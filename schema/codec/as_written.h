#pragma once

#include <functional>
#include <map>
#include <string>

#include "schema/doc/node.h"

/// The wording of an XML file beside its meaning: see spec/written_xml.h.
namespace safekit::codec {

/// Attributes and texts of `written` that `usual` (the same element as we would write it) has not or has
/// otherwise.
[[nodiscard]] std::map<std::string, std::string> wording(const doc::Node& written, const doc::Node& usual);

/// Puts the wording back into the document, as far as `means_the_same` agrees: all of it, else each part for
/// itself.
void restore_wording(doc::Node& document, const std::map<std::string, std::string>& wording,
                     const std::function<bool(const doc::Node& document)>& means_the_same);

/// What `wanted` says beyond or against `got`; null where it has nothing. merge() adds it.
[[nodiscard]] doc::Node beyond(const doc::Node& wanted, const doc::Node& got);
void merge(doc::Node& tree, const doc::Node& more);

}  // namespace safekit::codec
