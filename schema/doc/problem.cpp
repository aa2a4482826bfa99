#include "schema/doc/problem.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::doc {

std::string to_string(const Problem& problem) {
  std::string text = problem.file;
  if (problem.at.line != 0) text += fmt::format(":{}:{}", problem.at.line, problem.at.column);
  if (!text.empty()) text += ": ";
  text += problem.severity == Severity::Error ? "error: " : "warning: ";
  text += problem.message;
  if (!problem.fix.empty()) text += fmt::format(" ({})", problem.fix);
  if (!problem.rule.empty()) text += fmt::format(" [{}]", problem.rule);
  return text;
}

void Problems::add(Problem problem) {
  if (list_.size() < kProblemsMax) list_.push_back(std::move(problem));
}

void Problems::error(Position at, std::string_view rule, std::string message, std::string fix) {
  add({Severity::Error, file_, at, std::string{rule}, std::move(message), std::move(fix)});
}

void Problems::warning(Position at, std::string_view rule, std::string message, std::string fix) {
  add({Severity::Warning, file_, at, std::string{rule}, std::move(message), std::move(fix)});
}

bool Problems::has_errors() const {
  return std::any_of(list_.begin(), list_.end(),
                     [](const Problem& problem) { return problem.severity == Severity::Error; });
}

void Problems::append(const Problems& other) {
  for (const Problem& problem : other.list_) add(problem);
}

void Problems::sort() {
  std::stable_sort(list_.begin(), list_.end(),
                   [](const Problem& a, const Problem& b) { return a.at < b.at; });
  list_.erase(std::unique(list_.begin(), list_.end()), list_.end());
}

}  // namespace safekit::doc
