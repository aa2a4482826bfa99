#pragma once

#include <memory>
#include <string>

#include "schema/base/result.h"

namespace safekit::errd {

/// A compiled POSIX extended regular expression (regcomp(3)), case-sensitive, searched anywhere in a text. A
/// value; copies share what is compiled.
class Pattern {
 public:
  /// Errors: Invalid, with the library's text.
  [[nodiscard]] static Result<Pattern> compile(const std::string& text);
  [[nodiscard]] bool matches(const std::string& text) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_{};
};

}  // namespace safekit::errd
