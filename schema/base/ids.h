#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace safekit {

/// A name that cannot be mixed up with another kind of name. A value; empty means "none".
template <class Tag>
struct Name {
  std::string value{};
  Name() = default;
  explicit Name(std::string text) : value(std::move(text)) {}
  [[nodiscard]] bool empty() const { return value.empty(); }
  [[nodiscard]] const std::string& str() const { return value; }
  friend auto operator<=>(const Name&, const Name&) = default;
};

/// A number that cannot be mixed up with another kind of number. A value.
template <class Tag>
struct Number {
  std::uint64_t value{0};
  friend constexpr auto operator<=>(const Number&, const Number&) = default;
};

using NodeName = Name<struct NodeTag>;      ///< node of the cluster, unique in it
using ModuleName = Name<struct ModuleTag>;  ///< application module, unique in the cluster
using LanName = Name<struct LanTag>;        ///< logical network of the cluster

using Revision = Number<struct RevisionTag>;              ///< stored version of the whole store, grows with each change
using DataGeneration = Number<struct DataGenerationTag>;  ///< random; a period of writes without the peer (design.md 6)
using InodeId = Number<struct InodeIdTag>;                ///< file or directory, assigned by the primary, valid in one session
using ZoneIndex = Number<struct ZoneIndexTag>;            ///< zone i of a file covers bytes [i * zone, (i + 1) * zone)
using SequenceNumber = Number<struct SequenceTag>;        ///< position of an operation in the replication stream

}  // namespace safekit

template <class Tag>
struct std::hash<safekit::Name<Tag>> {
  std::size_t operator()(const safekit::Name<Tag>& name) const noexcept { return std::hash<std::string>{}(name.value); }
};
template <class Tag>
struct std::hash<safekit::Number<Tag>> {
  std::size_t operator()(safekit::Number<Tag> number) const noexcept { return std::hash<std::uint64_t>{}(number.value); }
};
