#pragma once

#include <string>

#include "schema/base/digest.h"
#include "schema/doc/node.h"
#include "schema/spec/cluster.h"
#include "schema/spec/defaults.h"
#include "schema/spec/module.h"

namespace safekit::codec {

/// A whole object as people read it: what equals its default is left out, short forms are used.
[[nodiscard]] doc::Node encode(const spec::Cluster& cluster);
[[nodiscard]] doc::Node encode(const spec::Module& module);

enum class Fill { LeaveOutDefaults, EveryField };
/// Only the spec, without short forms. With LeaveOutDefaults the defaults are those of `dialect`.
[[nodiscard]] doc::Node encode_spec(const spec::Cluster& cluster, spec::Dialect dialect, Fill fill);
[[nodiscard]] doc::Node encode_spec(const spec::Module& module, spec::Dialect dialect, Fill fill);
[[nodiscard]] doc::Node encode_metadata(const spec::Metadata& metadata);

/// What the store keeps and digests: compact JSON of `encode` without `metadata.generation` and
/// `resourceVersion`. Equal wishes have equal text. Defaults are left out, so that a node of an older version
/// understands what a newer one sends, as long as nothing new is used.
[[nodiscard]] std::string canonical_json(const spec::Cluster& cluster);
[[nodiscard]] std::string canonical_json(const spec::Module& module);
[[nodiscard]] Digest128 content_digest(const spec::Cluster& cluster);
[[nodiscard]] Digest128 content_digest(const spec::Module& module);

}  // namespace safekit::codec
