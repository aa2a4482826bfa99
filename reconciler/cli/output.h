#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/base/result.h"
#include "schema/doc/node.h"
#include "schema/status/event.h"

/// What people see: tables, colours, lines of logs. Pure.
namespace safekit::cli {

/// Where text goes. A service of the program's main, or of a test.
class Output {
 public:
  virtual ~Output() = default;
  virtual void out(std::string_view text) = 0;
  virtual void err(std::string_view text) = 0;
  [[nodiscard]] virtual bool is_terminal() const = 0;
  /// Whoever read the output is gone.
  [[nodiscard]] virtual bool is_broken() const = 0;
};

enum class Colour { None, Green, Yellow, Red };
[[nodiscard]] std::string coloured(std::string_view text, Colour colour, bool on);
/// Ready green, Transient yellow, NotReady red, all else plain.
[[nodiscard]] Colour colour_of(std::string_view readiness);

/// Columns as wide as their longest cell, two blanks between; colours do not count as width. A value.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_{};
};

/// `-o`.
enum class Form { Table, Wide, Yaml, Json, Name };
/// Errors: Invalid.
[[nodiscard]] Result<Form> parse_form(const std::string& word);
/// Yaml or Json.
[[nodiscard]] std::string printed(const doc::Node& tree, Form form);

/// `node1=PRIM(Ready)`, of one entry of `status.nodes`.
[[nodiscard]] std::string node_state(const doc::Node& node, bool colours);
/// `| 2026-11-23 20:00:11.123456 | heart | E | Local state PRIM Ready`
[[nodiscard]] std::string log_line(const status::Event& event);
/// The lines of `safekit state` of one module (spec/operations.md 1.7).
[[nodiscard]] std::string state_text(const std::string& module, const doc::Node& status, bool verbose,
                                     bool colours);
/// What the failover rules of this node say: those that hold first.
[[nodiscard]] std::string rules_text(const std::string& module, const doc::Node& status);
[[nodiscard]] std::string modules_table(const std::vector<doc::Node>& modules, bool wide, bool colours);
[[nodiscard]] std::string clusters_table(const std::vector<doc::Node>& clusters);
[[nodiscard]] std::string nodes_table(const doc::Node& list, bool colours);
[[nodiscard]] std::string description(const doc::Node& module, const std::vector<status::Event>& events,
                                      bool colours);

}  // namespace safekit::cli
