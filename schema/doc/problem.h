#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace safekit::doc {

/// Counted from 1; 0: unknown (the value came from no text). Columns count bytes.
struct Position {
  std::uint32_t line{0};
  std::uint32_t column{0};
  friend auto operator<=>(const Position&, const Position&) = default;
};

enum class Severity { Error, Warning };

/// One thing that is wrong with a text, for a person. A value.
struct Problem {
  Severity severity{Severity::Error};
  std::string file{};
  Position at{};
  std::string rule{};  ///< short and stable: `unknown-field`, `network-unknown`; number of spec/config.md 6
                       ///< in validate.h
  std::string message{};  ///< what is wrong, one sentence without a full stop
  std::string fix{};      ///< what to do about it; may be empty
  friend bool operator==(const Problem&, const Problem&) = default;
};

/// `file:line:column: error: message (fix) [rule]`
[[nodiscard]] std::string to_string(const Problem& problem);

/// Collects every problem of one file. A value. It stops taking errors at kProblemsMax: nobody reads more.
class Problems {
 public:
  explicit Problems(std::string file = {}) : file_(std::move(file)) {}
  void error(Position at, std::string_view rule, std::string message, std::string fix = {});
  void warning(Position at, std::string_view rule, std::string message, std::string fix = {});
  [[nodiscard]] bool has_errors() const;
  [[nodiscard]] const std::vector<Problem>& list() const { return list_; }
  [[nodiscard]] const std::string& file() const { return file_; }
  void append(const Problems& other);
  /// By position, equal ones once.
  void sort();

 private:
  static constexpr std::size_t kProblemsMax = 200;
  void add(Problem problem);
  std::string file_{};
  std::vector<Problem> list_{};
};

}  // namespace safekit::doc
