#include "schema/rule/lua.h"

#include <charconv>
#include <cstdlib>
#include <memory>

#include <fmt/format.h>
#include <lua5.4/lua.hpp>

namespace safekit::rule {
namespace {

/// What the text sees. It runs beneath this, so that a mistake ends it, and is told, with its line.
/// Gives back the environment of the text, and the lists that it fills.
constexpr std::string_view kPrelude = R"lua(
local added, disabled = {}, {}
local states = {init = true, down = true, up = true, unknown = true}
local Action = {stop = "stop", stopstart = "stopstart", wait = "wait", restart = "restart", swap = "swap"}
local sort, info, is_action = table.sort, debug.getinfo, {}
for _, name in pairs(Action) do is_action[name] = true end

local function if_then(resource, state, action)
  if type(resource) ~= "string" then error('if_then: the first is a resource, such as "tcp.web"', 2) end
  if not states[state] then error('if_then: the second is a state: "init", "down", "up" or "unknown"', 2) end
  if not is_action[action] then error("if_then: the third is Action.stop, stopstart, wait, restart or swap", 2) end
  return {condition = resource .. " == " .. state, action = action, line = info(2, "l").currentline}
end

local function add(self, more)
  if type(more) ~= "table" then error("add a table of rules: Rules + { label = if_then(...) }", 2) end
  local labels = {}
  for label, rule in pairs(more) do
    if label ~= "_group" then
      if type(label) ~= "string" or type(rule) ~= "table" or not rule.condition then
        error("a rule is label = if_then(resource, state, action)", 2)
      end
      labels[#labels + 1] = label
    end
  end
  sort(labels)  -- a table has no order
  for _, label in ipairs(labels) do
    local rule = more[label]
    added[#added + 1] = {label, rule.condition, rule.action, rule.line, more._group}
  end
  return self
end

local function disable(label)
  if type(label) ~= "string" then error('Rules.disable: the label of a rule, such as "ip_failure"', 2) end
  disabled[#disabled + 1] = label
end

getmetatable("").__index = nil  -- its methods are a library, and a search may take for ever

local env = {Rules = setmetatable({disable = disable}, {__add = add}), Action = Action, if_then = if_then}
for _, name in ipairs({"assert", "error", "ipairs", "next", "pairs", "select", "tonumber", "tostring", "type"}) do
  env[name] = _G[name]
end
return env, added, disabled
)lua";

constexpr int kStepsBetweenLooks = 1000;
constexpr const char* kTooLong = "it does not come to an end";

/// Of one run: what it may still use.
struct Bounds {
  std::size_t bytes_left{kLuaBytesMax};
  int looks_left{kLuaStepsMax / kStepsBetweenLooks};
};

void* allocate(void* bounds, void* old, std::size_t old_size, std::size_t size) {
  std::size_t& left = static_cast<Bounds*>(bounds)->bytes_left;
  const std::size_t before = old != nullptr ? old_size : 0;  // for a new one it is the kind of object
  if (size == 0) {
    std::free(old);
    left += before;
    return nullptr;
  }
  if (size > before && size - before > left) return nullptr;
  void* made = std::realloc(old, size);
  if (made != nullptr) left = left + before - size;
  return made;
}

/// Lua leaves by longjmp: nothing here may need to be destroyed.
void look(lua_State* lua, lua_Debug*) {
  void* bounds = nullptr;
  (void)lua_getallocf(lua, &bounds);
  if (--static_cast<Bounds*>(bounds)->looks_left < 0) (void)luaL_error(lua, kTooLong);
}

using State_ = std::unique_ptr<lua_State, decltype(&lua_close)>;

/// `rules:3: what` is what, of line 3.
Problem problem_of(std::string_view message) {
  constexpr std::string_view kChunk = "rules:";
  Problem problem{.what = std::string{message}, .fix = "see docs/failover-rules.md"};
  if (!message.starts_with(kChunk)) return problem;
  message.remove_prefix(kChunk.size());
  const auto [end, error] = std::from_chars(message.data(), message.data() + message.size(), problem.line);
  const auto length = static_cast<std::size_t>(end - message.data());
  if (error == std::errc{} && message.substr(length).starts_with(": "))
    problem.what = message.substr(length + 2);
  return problem;
}

Problem raised(lua_State* lua) {
  std::size_t size = 0;
  const char* text = lua_type(lua, -1) == LUA_TSTRING ? lua_tolstring(lua, -1, &size) : nullptr;
  return problem_of(text != nullptr ? std::string_view{text, size}
                                    : std::string_view{"an error that is no text"});
}

/// Entry `index` of the list of strings at `list`. Only existing strings are read: nothing is allocated, so
/// nothing is raised.
std::string text_at(lua_State* lua, int list, lua_Integer index) {
  lua_rawgeti(lua, list, index);
  std::size_t size = 0;
  const char* text = lua_type(lua, -1) == LUA_TSTRING ? lua_tolstring(lua, -1, &size) : nullptr;
  std::string found = text != nullptr ? std::string{text, size} : std::string{};
  lua_pop(lua, 1);
  return found;
}

void collect(lua_State* lua, int added, int disabled, Peers peers, LuaRules& result) {
  for (lua_Integer i = 1; i <= static_cast<lua_Integer>(lua_rawlen(lua, added)); ++i) {
    lua_rawgeti(lua, added, i);
    const int entry = lua_gettop(lua);
    const std::string text = fmt::format("{}: if ({}) then {}();", text_at(lua, entry, 1),
                                         text_at(lua, entry, 2), text_at(lua, entry, 3));
    lua_rawgeti(lua, entry, 4);
    const int line = static_cast<int>(lua_tointegerx(lua, -1, nullptr));
    lua_pop(lua, 1);
    const bool of_checkers = text_at(lua, entry, 5) == "checker";
    lua_pop(lua, 1);
    Parsed parsed = parse(text, peers);
    for (Problem& problem : parsed.problems) {
      result.problems.push_back(
          {.line = line, .what = std::move(problem.what), .fix = std::move(problem.fix)});
    }
    for (Rule& rule : parsed.rules) {
      rule.of_checkers = of_checkers;
      result.rules.push_back(std::move(rule));
    }
  }
  for (lua_Integer i = 1; i <= static_cast<lua_Integer>(lua_rawlen(lua, disabled)); ++i) {
    result.disabled.push_back(text_at(lua, disabled, i));
  }
}

}  // namespace

LuaRules run_lua(std::string_view text, Peers peers) {
  LuaRules result;
  Bounds bounds;
  const State_ state{lua_newstate(allocate, &bounds), &lua_close};
  lua_State* lua = state.get();
  if (lua == nullptr) return {.problems = {{.what = "there is no memory for Lua"}}};
  // The bound on memory is far above what these need.
  luaL_openlibs(lua);
  constexpr int kEnvironment = 1, kAdded = 2, kDisabled = 3;
  const bool ready = luaL_loadbufferx(lua, kPrelude.data(), kPrelude.size(), "=prelude", "t") == LUA_OK &&
                     lua_pcall(lua, 0, 3, 0) == LUA_OK;
  if (!ready) return {.problems = {raised(lua)}};
  if (luaL_loadbufferx(lua, text.data(), text.size(), "=rules", "t") != LUA_OK)
    return {.problems = {raised(lua)}};
  lua_pushvalue(lua, kEnvironment);
  (void)lua_setupvalue(lua, -2, 1);  // its globals
  lua_sethook(lua, look, LUA_MASKCOUNT, kStepsBetweenLooks);
  const bool done = lua_pcall(lua, 0, 0, 0) == LUA_OK;
  lua_sethook(lua, nullptr, 0, 0);
  if (!done) return {.problems = {raised(lua)}};
  collect(lua, kAdded, kDisabled, peers, result);
  return result;
}

}  // namespace safekit::rule
