#include "schema/rule/parse.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include <fmt/format.h>

namespace safekit::rule {
namespace {

constexpr std::array kActions{Action::Stop, Action::StopStart, Action::Wait, Action::Restart, Action::Swap};

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
/// Of the id of a resource, which may be an address or hold a path of its own: `intf.10.0.0.0`, `ip.fd00::1`,
/// `module.web_10.0.0.1`.
bool is_id(char c) {
  return is_word(c) || c == '.' || c == '-' || c == ':' || c == '/' || c == '@' || c == '%';
}
bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// What stands between two blanks, or a sign.
class Text {
 public:
  explicit Text(std::string_view text) : text_(text) {}

  /// Blanks and comments. False: a comment does not end.
  bool skip() {
    while (at_ < text_.size()) {
      if (is_space(text_[at_])) {
        ++at_;
      } else if (text_.substr(at_).starts_with("/*")) {
        const std::size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) return false;
        at_ = end + 2;
      } else {
        break;
      }
    }
    return true;
  }
  [[nodiscard]] bool ended() const { return at_ == text_.size(); }
  [[nodiscard]] std::size_t place() const { return at_; }
  void go_to(std::size_t place) { at_ = place; }
  [[nodiscard]] bool sees(std::string_view sign) const { return text_.substr(at_).starts_with(sign); }
  bool take(std::string_view sign) {
    if (!sees(sign)) return false;
    at_ += sign.size();
    return true;
  }
  template <class Belongs>
  std::string_view take_while(Belongs belongs) {
    const std::size_t begin = at_;
    while (at_ < text_.size() && belongs(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  /// What a message shows of this place.
  [[nodiscard]] std::string shown() const {
    if (ended()) return "the end";
    const std::string_view rest = text_.substr(at_);
    const auto length = std::ranges::find_if(rest, is_space) - rest.begin();
    return fmt::format("'{}'", rest.substr(0, std::min<std::size_t>(static_cast<std::size_t>(length), 24)));
  }
  [[nodiscard]] std::pair<int, int> line_and_column(std::size_t place) const {
    const std::string_view before = text_.substr(0, place);
    const std::size_t line_begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    return {1 + static_cast<int>(std::ranges::count(before, '\n')), 1 + static_cast<int>(place - line_begin)};
  }
  /// Behind the `;` that ends this rule, or to the end.
  void leave_rule() {
    while (skip() && !ended() && !take(";")) ++at_;
    if (!ended() && sees("/*")) at_ = text_.size();  // a comment without an end
  }

 private:
  std::string_view text_;
  std::size_t at_{0};
};

class Parser {
 public:
  Parser(std::string_view text, Peers peers) : text_(text), peers_(peers) {}

  Parsed run() {
    for (;;) {
      if (!text_.skip()) {
        fail("a comment does not end", "write '*/' behind it");
        report();
        break;
      }
      if (text_.ended()) break;
      if (auto rule = one_rule()) {
        parsed_.rules.push_back(std::move(*rule));
      } else {
        report();
        text_.leave_rule();
      }
    }
    return std::move(parsed_);
  }

 private:
  /// The first thing wrong in a rule; what follows from it is not told.
  std::nullopt_t fail(std::string what, std::string fix, std::optional<std::size_t> place = {}) {
    if (!wrong_) {
      const auto [line, column] = text_.line_and_column(place.value_or(text_.place()));
      wrong_ = Problem{line, column, std::move(what), std::move(fix)};
    }
    return std::nullopt;
  }
  void report() {
    parsed_.problems.push_back(std::move(*wrong_));
    wrong_.reset();
  }
  bool expect(std::string_view sign, std::string_view where) {
    (void)text_.skip();
    if (text_.take(sign)) return true;
    fail(fmt::format("'{}' is expected {}, and here is {}", sign, where, text_.shown()),
         "write label: if (condition) then action();");
    return false;
  }
  std::string_view word() {
    (void)text_.skip();
    return text_.take_while(is_word);
  }

  std::optional<Rule> one_rule() {
    const std::size_t begin = text_.place();
    Rule rule{.label = std::string{word()}, .condition = {}};
    if (rule.label.empty())
      return fail(fmt::format("a rule begins with its label, and here is {}", text_.shown()),
                  "write label: if (condition) then action();");
    if (!expect(":", "behind the label")) return std::nullopt;
    if (word() != "if")
      return fail(fmt::format("rule '{}' has no 'if'", rule.label),
                  "write label: if (condition) then action();", begin);
    if (!expect("(", "behind 'if'")) return std::nullopt;
    auto condition = any_of(0);
    if (!condition) return std::nullopt;
    rule.condition = std::move(*condition);
    if (!expect(")", "behind the condition")) return std::nullopt;
    if (word() != "then")
      return fail(fmt::format("rule '{}' has no 'then'", rule.label),
                  "write label: if (condition) then action();");
    const auto action = an_action();
    if (!action) return std::nullopt;
    rule.action = *action;
    if (!expect(";", "at the end of the rule")) return std::nullopt;
    if (!labels_.insert(rule.label).second)
      return fail(fmt::format("the label '{}' is given twice", rule.label),
                  "give each rule a label of its own", begin);
    return rule;
  }

  std::optional<Action> an_action() {
    (void)text_.skip();
    const std::size_t begin = text_.place();
    const std::string_view name = word();
    const auto* found =
        std::ranges::find_if(kActions, [&](Action action) { return name_of(action) == name; });
    if (name == "wakeup" || text_.sees("."))
      return fail("only the product's own rules wake up and set resources",
                  "use stop, stopstart, wait, restart or swap", begin);
    if (found == kActions.end()) {
      text_.go_to(begin);
      return fail(fmt::format("there is no action {}", text_.shown()),
                  "use stop(), stopstart(), wait(), restart() or swap()");
    }
    if (!expect("(", "behind the action") || !expect(")", "behind the action")) return std::nullopt;
    return *found;
  }

  template <class Group>
  std::optional<Condition> group_of(std::string_view sign, std::optional<Condition> (Parser::*part)(int),
                                    int depth) {
    Group group;
    do {
      auto one = (this->*part)(depth);
      if (!one) return std::nullopt;
      group.operands.push_back(std::make_shared<const Condition>(std::move(*one)));
      (void)text_.skip();
    } while (text_.take(sign));
    if (group.operands.size() == 1) return *group.operands.front();
    return Condition{std::move(group)};
  }
  std::optional<Condition> any_of(int depth) { return group_of<AnyOf>("||", &Parser::all_of, depth); }
  std::optional<Condition> all_of(int depth) { return group_of<AllOf>("&&", &Parser::comparison, depth); }

  using Operand = std::variant<State, Resource, Condition>;

  std::optional<Condition> comparison(int depth) {
    (void)text_.skip();
    const std::size_t begin = text_.place();
    auto left = operand(depth);
    if (!left) return std::nullopt;
    (void)text_.skip();
    const bool equal = text_.take("==");
    if (!equal && !text_.take("!=")) {
      if (auto* condition = std::get_if<Condition>(&*left)) return std::move(*condition);
      if (auto* resource = std::get_if<Resource>(&*left))
        return Condition{Comparison{.left = std::move(*resource)}};
      return fail(fmt::format("a state alone is no condition: '{}'", name_of(std::get<State>(*left))),
                  "compare a resource with it: tcp.web == down", begin);
    }
    auto right = operand(depth);
    if (!right) return std::nullopt;
    if (std::holds_alternative<State>(*left)) std::swap(*left, *right);
    auto* resource = std::get_if<Resource>(&*left);
    if (resource == nullptr || std::holds_alternative<Condition>(*right)) {
      return fail("a resource can be compared with a state or another resource only",
                  "write for example tcp.web == down", begin);
    }
    Comparison made{.left = std::move(*resource), .right = State::Up, .equal = equal};
    if (auto* other = std::get_if<Resource>(&*right)) {
      made.right = std::move(*other);
    } else {
      made.right = std::get<State>(*right);
    }
    return Condition{std::move(made)};
  }

  std::optional<Operand> operand(int depth) {
    (void)text_.skip();
    if (depth == kDepthMax)
      return fail(fmt::format("more than {} brackets within each other", kDepthMax), "make it two rules");
    if (text_.sees("!") && !text_.sees("!=")) {
      (void)text_.take("!");
      auto negated = comparison_operand(depth + 1);
      if (!negated) return std::nullopt;
      return Operand{Condition{Not{std::make_shared<const Condition>(std::move(*negated))}}};
    }
    if (text_.take("(")) {
      auto inner = any_of(depth + 1);
      if (!inner || !expect(")", "to close a bracket")) return std::nullopt;
      return Operand{std::move(*inner)};
    }
    return resource_or_state();
  }

  /// Behind `!`: it binds more tightly than a comparison.
  std::optional<Condition> comparison_operand(int depth) {
    (void)text_.skip();
    const std::size_t begin = text_.place();
    auto one = operand(depth);
    if (!one) return std::nullopt;
    if (auto* condition = std::get_if<Condition>(&*one)) return std::move(*condition);
    if (auto* resource = std::get_if<Resource>(&*one))
      return Condition{Comparison{.left = std::move(*resource)}};
    return fail(fmt::format("a state alone is no condition: '{}'", name_of(std::get<State>(*one))),
                "write !(tcp.web == down)", begin);
  }

  std::optional<Operand> resource_or_state() {
    const std::size_t begin = text_.place();
    Resource resource{.remote = false, .of_class = std::string{word()}, .id = {}};
    if (resource.of_class.empty())
      return fail(fmt::format("a resource or a state is expected, and here is {}", text_.shown()),
                  "write for example tcp.web == down");
    if (!text_.take(".")) {
      const State state = state_of(resource.of_class);
      if (state != State::Other) return Operand{state};
      if (text_.sees("("))
        return fail(fmt::format("'{}()' is for the product's own rules", resource.of_class),
                    "use a resource, such as heartbeat.*", begin);
      return fail(fmt::format("'{}' is neither a resource nor a state", resource.of_class),
                  "a resource is class.id; states are init, down, up and unknown", begin);
    }
    if (resource.of_class == "local" || resource.of_class == "remote") {
      resource.remote = resource.of_class == "remote";
      resource.of_class = std::string{text_.take_while(is_word)};
      if (resource.of_class.empty() || !text_.take("."))
        return fail("a resource is class.id", "write for example remote.rfs.degraded", begin);
    }
    if (text_.take("?")) {
      resource.id = "?";
    } else if (text_.take("*")) {
      resource.id = "*";
    } else {
      resource.id = std::string{text_.take_while(is_id)};
    }
    if (resource.id.empty())
      return fail(fmt::format("'{}.' has no id", resource.of_class),
                  "name a resource, or ? for any and * for all of the class", begin);
    if (resource.remote && peers_ == Peers::Several)
      return fail("'remote.' has no meaning where there is more than one other node",
                  "use local resources only", begin);
    return Operand{std::move(resource)};
  }

  Text text_;
  Peers peers_;
  std::set<std::string> labels_{};
  std::optional<Problem> wrong_{};
  Parsed parsed_{};
};

}  // namespace

bool is_lua(std::string_view text) {
  const auto* begin = std::ranges::find_if_not(text, is_space);
  return std::string_view{begin, text.end()}.starts_with("--Lua Rules");
}

Parsed parse(std::string_view text, Peers peers) {
  return Parser{text, peers}.run();
}

}  // namespace safekit::rule
