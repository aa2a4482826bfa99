#include "controllers/errd/pattern.h"

#include <regex.h>

#include <fmt/format.h>

namespace safekit::errd {

struct Pattern::Compiled {
  regex_t expression{};
  bool good{false};
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() {
    if (good) ::regfree(&expression);
  }
};

Result<Pattern> Pattern::compile(const std::string& text) {
  const auto compiled = std::make_shared<Compiled>();
  if (const int error = ::regcomp(&compiled->expression, text.c_str(), REG_EXTENDED | REG_NOSUB);
      error != 0) {
    char what[256];
    ::regerror(error, &compiled->expression, what, sizeof what);
    return Error{Code::Invalid, fmt::format("'{}' is no regular expression: {}", text, what)};
  }
  compiled->good = true;
  Pattern pattern;
  pattern.compiled_ = compiled;
  return pattern;
}

bool Pattern::matches(const std::string& text) const {
  return ::regexec(&compiled_->expression, text.c_str(), 0, nullptr, 0) == 0;
}

}  // namespace safekit::errd
