#include "schema/check/judge.h"

#include <arpa/inet.h>
#include <regex.h>

#include <algorithm>

#include <fmt/format.h>

namespace safekit::check {
namespace {

constexpr std::size_t kNameBytesMax = 63;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

std::optional<Family> family_of(std::string_view address) {
  std::string bare{address};
  if (bare.size() > 2 && bare.front() == '[' && bare.back() == ']') bare = bare.substr(1, bare.size() - 2);
  unsigned char bytes[16]{};
  if (inet_pton(AF_INET, bare.c_str(), bytes) == 1) return Family::V4;
  if (inet_pton(AF_INET6, bare.c_str(), bytes) == 1) return Family::V6;
  return std::nullopt;
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_variable_name(std::string_view name) {
  return !name.empty() && !is_digit(name.front()) && std::all_of(name.begin(), name.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '_';
  });
}

std::vector<std::string_view> names_of(const std::vector<NodeName>& nodes) {
  std::vector<std::string_view> names;
  for (const NodeName& node : nodes) names.push_back(node.value);
  return names;
}

void judge_regex(const Judge& judge, const std::string& path, std::string_view tag,
                 const std::string& regex) {
  if (regex.empty()) return;
  const std::string bare = regex.front() == '!' ? regex.substr(1) : regex;
  regex_t compiled{};
  const int code = regcomp(&compiled, bare.c_str(), REG_EXTENDED | REG_NOSUB);
  if (code != 0) {
    char text[256]{};
    regerror(code, &compiled, text, sizeof text);
    judge.error(path, "bad-regex", fmt::format("bad regular expression '{}' in <{}>: {}", regex, tag, text),
                "it is a POSIX extended one");
    return;
  }
  regfree(&compiled);
}

bool share_a_node(const spec::Module& a, const spec::Module& b) {
  if (a.nodes.empty() || b.nodes.empty()) return true;
  return std::any_of(a.nodes.begin(), a.nodes.end(), [&](const NodeName& node) {
    return std::find(b.nodes.begin(), b.nodes.end(), node) != b.nodes.end();
  });
}

}  // namespace safekit::check
