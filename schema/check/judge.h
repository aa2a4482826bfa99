#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "schema/check/validate.h"

/// Shared by the files of validate: how a rule reports, and small questions about names and addresses.
namespace safekit::check {

/// Reports against fields of a spec by their path, `spec.replication.directories[0].path`.
class Judge {
 public:
  Judge(const codec::Positions& positions, doc::Problems& problems)
      : positions_(positions), problems_(problems) {}
  void error(const std::string& path, std::string_view rule, std::string message,
             std::string fix = {}) const {
    problems_.error(positions_.find(path), rule, std::move(message), std::move(fix));
  }
  void warning(const std::string& path, std::string_view rule, std::string message,
               std::string fix = {}) const {
    problems_.warning(positions_.find(path), rule, std::move(message), std::move(fix));
  }
  /// The text gives the field.
  [[nodiscard]] bool is_given(const std::string& path) const { return positions_.has(path); }

 private:
  const codec::Positions& positions_;
  doc::Problems& problems_;
};

enum class Family { V4, V6 };
/// Empty: it is a name, its family is not known. Brackets around IPv6 are taken.
[[nodiscard]] std::optional<Family> family_of(std::string_view address);
/// Node, lan, group and module names: letters, digits, `_ . -`, up to 63.
[[nodiscard]] bool is_plain_name(std::string_view name);
[[nodiscard]] bool is_variable_name(std::string_view name);
/// `nodes` as text, for suggestions.
[[nodiscard]] std::vector<std::string_view> names_of(const std::vector<NodeName>& nodes);
/// Error when the POSIX extended regular expression does not compile; a leading `!` is no part of it.
void judge_regex(const Judge& judge, const std::string& path, std::string_view tag, const std::string& regex);

void judge_vip(const Judge& judge, const spec::Module& module, const Surroundings& around);
void judge_replication(const Judge& judge, const spec::Module& module, const Surroundings& around);
void judge_checkers(const Judge& judge, const spec::Module& module, const Surroundings& around);
void judge_errd(const Judge& judge, const spec::Module& module, const Surroundings& around);
void judge_failover_rules(const Judge& judge, const spec::Module& module);

/// Two modules meet on some node; a module whose nodes are unknown meets every other.
[[nodiscard]] bool share_a_node(const spec::Module& a, const spec::Module& b);

}  // namespace safekit::check
