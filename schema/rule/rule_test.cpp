#include <gtest/gtest.h>

#include <map>

#include <fmt/format.h>

#include "schema/rule/evaluate.h"
#include "schema/rule/lua.h"
#include "schema/rule/parse.h"

namespace safekit::rule {
namespace {

/// The only condition of `if (...)`.
Condition condition(const std::string& text) {
  const Parsed parsed = parse("r: if (" + text + ") then wait();");
  EXPECT_TRUE(parsed.problems.empty())
      << text << ": " << (parsed.problems.empty() ? "" : parsed.problems[0].what);
  return parsed.rules.empty() ? Condition{} : parsed.rules[0].condition;
}

std::string shape(const std::string& text) {
  return text_of(condition(text));
}

TEST(RuleLanguage, ReadsTheRulesOfTheManual) {
  const Parsed parsed = parse(R"(
    /* all addresses gone */
    allip_failure: if (ip.* == down) then stopstart();
    c_queue:if(custom.queue==down)then restart( ) ;
    net: if (intf.10.0.0.0 == down || (heartbeat.* == down && !(ping.router != up))) then wait();
    other: if (remote.rfs.degraded == up && local.tcp.a == tcp.b) then swap();  /* end */
  )");
  ASSERT_TRUE(parsed.problems.empty()) << parsed.problems[0].what;
  ASSERT_EQ(parsed.rules.size(), 4U);
  EXPECT_EQ(text_of(parsed.rules[0]), "allip_failure: if (ip.* == down) then stopstart();");
  EXPECT_EQ(text_of(parsed.rules[1]), "c_queue: if (custom.queue == down) then restart();");
  EXPECT_EQ(text_of(parsed.rules[2]),
            "net: if (intf.10.0.0.0 == down || (heartbeat.* == down && !(ping.router != up))) then wait();");
  EXPECT_EQ(text_of(parsed.rules[3]), "other: if (remote.rfs.degraded == up && tcp.a == tcp.b) then swap();");
}

TEST(RuleLanguage, BindsAsC) {
  EXPECT_EQ(shape("a.x == up || b.x == up && c.x == up"), "a.x == up || (b.x == up && c.x == up)");
  EXPECT_EQ(shape("(a.x == up || b.x == up) && c.x == up"), "(a.x == up || b.x == up) && c.x == up");
  EXPECT_EQ(shape("((a.x == up))"), "a.x == up");
  EXPECT_EQ(shape("up == a.x"), "a.x == up");
  EXPECT_EQ(shape("a.x"), "a.x == up") << "a resource alone";
  EXPECT_EQ(shape("!a.x"), "!(a.x == up)");
  EXPECT_EQ(shape("!!(a.x == up)"), "!(!(a.x == up))");
}

TEST(RuleLanguage, WhatIsWrittenAgainIsTheSame) {
  for (const char* text : {"a.x == up || b.? == up && !(c.* != init)", "remote.a.x == unknown",
                           "module.web_10.0.0.1 == down", "ip.fd00::1 == down"}) {
    EXPECT_EQ(shape(shape(text)), shape(text));
  }
}

TEST(RuleLanguage, KeepsWhatIsRightAndTellsWhatIsWrongOfEachRule) {
  const Parsed parsed = parse(
      "one: if (a.x == up) then wait();\ntwo: if (a.x = up) then wait();\n  three: if (a.x == up) then "
      "reboot();\nfour: if (a.x == up) then stop();\nfive");
  ASSERT_EQ(parsed.rules.size(), 2U);
  EXPECT_EQ(parsed.rules[1].label, "four");
  ASSERT_EQ(parsed.problems.size(), 3U);
  EXPECT_EQ(parsed.problems[0], (Problem{2, 14, "')' is expected behind the condition, and here is '='",
                                         "write label: if (condition) then action();"}));
  EXPECT_EQ(parsed.problems[1], (Problem{3, 30, "there is no action 'reboot();'",
                                         "use stop(), stopstart(), wait(), restart() or swap()"}));
  EXPECT_EQ(parsed.problems[2].line, 5);
}

TEST(RuleLanguage, Refuses) {
  for (const auto& [text, part] : std::map<std::string, std::string>{
           {"r: if (up) then wait();", "a state alone"},
           {"r: if (!down) then wait();", "a state alone"},
           {"r: if (up == down) then wait();", "a resource can be compared"},
           {"r: if ((a.x == up) == up) then wait();", "a resource can be compared"},
           {"r: if (a. == up) then wait();", "has no id"},
           {"r: if (remote.a == up) then wait();", "class.id"},
           {"r: if (cluster() == up) then wait();", "product's own"},
           {"r: if (a.x == up) then wakeup();", "only the product's own"},
           {"r: if (a.x == up) then rfs.uptodate = up;", "only the product's own"},
           {"r: if (a.x == running) then wait();", "neither a resource nor a state"},
           {"r: if (a.x == up) wait();", "no 'then'"},
           {"r if (a.x == up) then wait();", "':' is expected"},
           {": if (a.x == up) then wait();", "begins with its label"},
           {"r: if (a.x == up) then wait()", "';' is expected"},
           {"r: if (a.x == up then wait();", "')' is expected"},
           {"r: if (a.x == up) then wait(); r: if (a.y == up) then stop();", "given twice"},
           {"/* r: if (a.x == up) then wait();", "does not end"},
           {"r: if (a.x == up /* ) then wait();", "')' is expected"}}) {
    const Parsed parsed = parse(text);
    ASSERT_EQ(parsed.problems.size(), 1U) << text;
    EXPECT_NE(parsed.problems[0].what.find(part), std::string::npos)
        << text << ": " << parsed.problems[0].what;
    EXPECT_FALSE(parsed.problems[0].fix.empty());
  }
  EXPECT_EQ(parse("r: if (remote.a.x == up) then wait();", Peers::Several).problems.size(), 1U);
  EXPECT_TRUE(parse("").problems.empty());
}

TEST(RuleLanguage, BracketsHaveABound) {
  const auto nested = [](int depth) {
    return fmt::format("r: if ({}a.x == up{}) then wait();",
                       std::string(static_cast<std::size_t>(depth), '('),
                       std::string(static_cast<std::size_t>(depth), ')'));
  };
  EXPECT_TRUE(parse(nested(kDepthMax - 1)).problems.empty());
  EXPECT_EQ(parse(nested(kDepthMax)).problems.size(), 1U);
  EXPECT_EQ(parse(nested(100'000)).problems.size(), 1U);
  EXPECT_EQ(parse("r: if (" + std::string(100'000, '!') + "a.x) then wait();").problems.size(), 1U);
}

TEST(RuleLanguage, KnowsALuaText) {
  EXPECT_TRUE(is_lua("\n  --Lua Rules\nRules.disable(\"x\")"));
  EXPECT_FALSE(is_lua("r: if (a.x == up) then wait(); --Lua Rules"));
  EXPECT_FALSE(is_lua(""));
}

TEST(RuleLanguage, NamesItsResources) {
  EXPECT_EQ(resources_of(condition("a.x == b.? || !(a.x == up) && remote.c.* == down")),
            (std::vector<Resource>{{false, "a", "x"}, {false, "b", "?"}, {true, "c", "*"}}));
}

TEST(RuleLua, ReadsTheExampleOfTheManual) {
  const LuaRules read = run_lua(R"(--Lua Rules
Rules = Rules + { my_rule = if_then("tcp.front","down",Action.stopstart), _group="checker" }
Rules.disable("ip_failure")
)");
  ASSERT_TRUE(read.problems.empty()) << read.problems[0].what;
  ASSERT_EQ(read.rules.size(), 1U);
  EXPECT_EQ(text_of(read.rules[0]), "my_rule: if (tcp.front == down) then stopstart();");
  EXPECT_EQ(read.disabled, std::vector<std::string>{"ip_failure"});
}

TEST(RuleLua, IsALanguage) {
  const LuaRules read = run_lua(R"(--Lua Rules
for i, id in ipairs({"a", "b"}) do Rules = Rules + { ["t_" .. id] = if_then("tcp." .. id, "down", Action.restart) } end
Rules = Rules + { z = if_then("remote.ip.*", "unknown", Action.wait), y = if_then("ip.?", "up", Action.stop) }
)");
  ASSERT_TRUE(read.problems.empty()) << read.problems[0].what;
  std::vector<std::string> texts;
  for (const Rule& rule : read.rules) texts.push_back(text_of(rule));
  EXPECT_EQ(texts, (std::vector<std::string>{
                       "t_a: if (tcp.a == down) then restart();", "t_b: if (tcp.b == down) then restart();",
                       "y: if (ip.? == up) then stop();", "z: if (remote.ip.* == unknown) then wait();"}));
}

TEST(RuleLua, TellsTheLineOfAMistake) {
  for (const auto& [text, line, part] : std::vector<std::tuple<std::string, int, std::string>>{
           {"\nRules = Rules + {", 2, "expected"},
           {"\n\nRules = Rules + { a = if_then(\"tcp.x\", \"gone\", Action.stop) }", 3,
            "the second is a state"},
           {"Rules = Rules + { a = if_then(\"tcp.x\", \"down\", Action.reboot) }", 1, "the third is Action"},
           {"Rules = Rules + { a = if_then(nil, \"down\", Action.stop) }", 1, "the first is a resource"},
           {"\nRules = Rules + { a = if_then(\"tcp\", \"down\", Action.stop) }", 2,
            "neither a resource nor a state"},
           {"\nRules = Rules + { [\"a b\"] = if_then(\"tcp.x\", \"down\", Action.stop) }", 2,
            "':' is expected"},
           {"Rules = Rules + { a = 5 }", 1, "a rule is label"},
           {"Rules = Rules + 5", 1, "add a table"},
           {"Rules.disable(5)", 1, "the label of a rule"},
           {"\nnothing.at = 1", 2, "nil value"},
           {"error({})", 1, "no text"}}) {
    const LuaRules read = run_lua(text);
    ASSERT_EQ(read.problems.size(), 1U) << text;
    EXPECT_EQ(read.problems[0].line, line) << text;
    EXPECT_NE(read.problems[0].what.find(part), std::string::npos) << text << ": " << read.problems[0].what;
  }
}

TEST(RuleLua, ReachesNothingAndEnds) {
  for (const char* name :
       {"io", "os", "debug", "package", "require", "load", "dofile", "string", "table", "coroutine", "pcall",
        "setmetatable", "getmetatable", "rawset", "collectgarbage", "print", "_G"}) {
    EXPECT_TRUE(run_lua(fmt::format("assert({} == nil)", name)).problems.empty()) << name;
  }
  EXPECT_EQ(run_lua("while true do end").problems.at(0).what, "it does not come to an end");
  EXPECT_EQ(run_lua("local s = 'x' while true do s = s .. s end").problems.at(0).what, "not enough memory");
  EXPECT_EQ(run_lua("local t = {} for i = 1, 1e9 do t[i] = {} end").problems.size(), 1U);
  EXPECT_EQ(run_lua("local function f() return 1 + f() end f()").problems.size(), 1U);
  EXPECT_EQ(run_lua("local s = ('x'):rep(9)").problems.size(), 1U) << "methods are a library too";
  EXPECT_EQ(run_lua("\x1bLua").problems.size(), 1U) << "no byte code";
}

/// Resources by `class.id` or `remote.class.id`.
using Values = std::map<std::string, std::string>;

Verdict verdict(const std::string& text, const Values& values) {
  const Known known{.state = [&](const Resource& resource) -> std::optional<State> {
                      const auto found = values.find(text_of(resource));
                      return found == values.end() ? std::nullopt : std::optional{state_of(found->second)};
                    },
                    .ids =
                        [&](bool remote, const std::string& of_class) {
                          std::vector<std::string> ids;
                          const std::string prefix = (remote ? "remote." : "") + of_class + ".";
                          for (const auto& [name, value] : values) {
                            if (name.starts_with(prefix)) ids.push_back(name.substr(prefix.size()));
                          }
                          return ids;
                        }};
  return evaluate(condition(text), known);
}
Truth truth(const std::string& text, const Values& values) {
  return verdict(text, values).truth;
}

TEST(RuleEvaluation, ComparesStates) {
  const Values values{{"a.x", "up"}, {"a.y", "down"}, {"remote.a.x", "unknown"}, {"user.boot", "on"}};
  EXPECT_EQ(truth("a.x == up", values), Truth::True);
  EXPECT_EQ(truth("a.x == down", values), Truth::False);
  EXPECT_EQ(truth("a.x != down", values), Truth::True);
  EXPECT_EQ(truth("a.x == a.y", values), Truth::False);
  EXPECT_EQ(truth("a.x != a.y", values), Truth::True);
  EXPECT_EQ(truth("remote.a.x == unknown", values), Truth::True);
  EXPECT_EQ(truth("remote.a.x == down", values), Truth::False) << "what is not known is not down";
  EXPECT_EQ(truth("remote.b.x == unknown", values), Truth::True) << "there is none";
  EXPECT_EQ(truth("user.boot == up", values), Truth::False);
  EXPECT_EQ(truth("user.boot != up", values), Truth::True);
}

TEST(RuleEvaluation, WhatHasNoValueYetFiresNothing) {
  const Values values{{"a.x", "init"}, {"a.y", "down"}};
  for (const char* text : {"a.x == down", "a.x != down", "!(a.x == down)", "a.x == a.y", "a.none == down"}) {
    EXPECT_EQ(truth(text, values), Truth::NotYet) << text;
  }
  EXPECT_EQ(truth("a.x == init", values), Truth::True);
  EXPECT_EQ(truth("a.y == init", values), Truth::False);
  EXPECT_EQ(truth("a.x == down || a.y == down", values), Truth::True) << "one is enough";
  EXPECT_EQ(truth("a.x == down && a.y == up", values), Truth::False) << "it cannot become true";
  EXPECT_EQ(truth("a.x == down && a.y == down", values), Truth::NotYet);
}

TEST(RuleEvaluation, AnyAndAllOfAClass) {
  const Values values{{"a.x", "down"}, {"a.y", "up"},   {"b.x", "down"},
                      {"b.y", "down"}, {"c.x", "down"}, {"c.y", "init"}};
  EXPECT_EQ(truth("a.? == down", values), Truth::True);
  EXPECT_EQ(truth("a.* == down", values), Truth::False);
  EXPECT_EQ(truth("b.* == down", values), Truth::True);
  EXPECT_EQ(truth("b.? == up", values), Truth::False);
  EXPECT_EQ(truth("c.? == down", values), Truth::True);
  EXPECT_EQ(truth("c.* == down", values), Truth::NotYet);
  EXPECT_EQ(truth("c.? == up", values), Truth::NotYet);
  EXPECT_EQ(truth("none.* == down", values), Truth::False) << "of nothing nothing is concluded";
  EXPECT_EQ(truth("none.? != up", values), Truth::False);
  EXPECT_EQ(truth("a.? == b.*", values), Truth::True);
  EXPECT_EQ(truth("a.* == b.*", values), Truth::False);
}

TEST(RuleEvaluation, SaysWhatDecides) {
  const Values values{{"a.x", "down"}, {"a.y", "up"}, {"b.x", "up"}, {"b.y", "init"}};
  const Seen ax{{false, "a", "x"}, State::Down};
  const Seen ay{{false, "a", "y"}, State::Up};
  const Seen bx{{false, "b", "x"}, State::Up};
  const Seen by{{false, "b", "y"}, State::Init};
  EXPECT_EQ(verdict("a.? == down", values).because, std::vector{ax});
  EXPECT_EQ(verdict("a.* == down", values).because, std::vector{ay}) << "what stands in the way";
  EXPECT_EQ(verdict("a.? == down && b.x == up", values).because, (std::vector{ax, bx}));
  EXPECT_EQ(verdict("a.x == up || b.x == down", values).because, (std::vector{ax, bx}));
  EXPECT_EQ(verdict("a.x == down && b.y == down", values).because, std::vector{by}) << "what is waited for";
  EXPECT_EQ(verdict("a.y == a.y", values).because, std::vector{ay});
}

}  // namespace
}  // namespace safekit::rule
