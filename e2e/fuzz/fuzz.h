#pragma once

#include <span>
#include <vector>

#include "schema/base/bytes.h"

/// A fuzz program is one file of parsers, and fuzz.cpp (e2e/fuzz/run).
namespace safekit::fuzz {

struct Parser {
  const char* name{};
  std::size_t bytes_max{0};  ///< of an input: what reaches all of the parser; longer ones only take time
  /// Ends the process when something is wrong with what the parser made of the input.
  void (*read)(BytesView input){};
  std::vector<Bytes> (*seeds)(){};  ///< inputs to begin with
};
/// Of this program.
[[nodiscard]] std::span<const Parser> parsers();

/// An input whose first byte says how to treat the rest.
[[nodiscard]] inline Bytes seed(std::uint8_t first, BytesView rest) {
  Bytes bytes{first};
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  return bytes;
}

inline void put_u32(Bytes& bytes, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

}  // namespace safekit::fuzz
