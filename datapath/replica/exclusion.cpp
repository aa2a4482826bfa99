#include "datapath/replica/exclusion.h"

#include <regex.h>

#include <algorithm>
#include <list>

#include "schema/base/bytes.h"
#include "schema/base/digest.h"

namespace safekit::replica {

namespace {

class Pattern {
 public:
  Pattern() = default;
  ~Pattern() {
    if (good_) ::regfree(&expression_);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  Status compile(const std::string& text) {
    const int error = ::regcomp(&expression_, text.c_str(), REG_EXTENDED | REG_NOSUB);
    if (error != 0) {
      std::array<char, 256> what{};
      ::regerror(error, &expression_, what.data(), what.size());
      return Error{Code::Invalid, fmt::format("'{}' is no regular expression: {}", text, what.data())};
    }
    good_ = true;
    return {};
  }
  [[nodiscard]] bool matches(const std::string& name) const {
    return ::regexec(&expression_, name.c_str(), 0, nullptr, 0) == 0;
  }

 private:
  regex_t expression_{};
  bool good_{false};
};

/// Without leading, trailing and double slashes and `.`.
std::string plain(const std::string& path) {
  std::string result;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    result += (result.empty() ? "" : "/") + part;
  }
  return result;
}

std::string joined(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

}  // namespace

struct Exclusion::Compiled {
  std::vector<std::string> paths{};
  std::list<Pattern> excluded{};
  std::list<Pattern> included{};
  std::uint64_t digest{0};
};

Result<Exclusion> Exclusion::compile(const std::vector<ExclusionRule>& rules) {
  Exclusion exclusion;
  if (rules.empty()) return exclusion;
  auto compiled = std::make_shared<Compiled>();
  ByteWriter all;
  for (const ExclusionRule& rule : rules) {
    all.text(rule.path);
    all.text(rule.regex);
    if (!rule.path.empty()) {
      compiled->paths.push_back(plain(rule.path));
    } else if (rule.regex.starts_with('!')) {
      SK_TRY_VOID(compiled->included.emplace_back().compile(rule.regex.substr(1)));
    } else {
      SK_TRY_VOID(compiled->excluded.emplace_back().compile(rule.regex));
    }
  }
  compiled->digest = digest128(all.bytes()).low | 1;
  exclusion.rules_ = std::move(compiled);
  return exclusion;
}

bool Exclusion::needs_paths() const { return rules_ != nullptr && !rules_->paths.empty(); }

bool Exclusion::excludes(const std::string& directory, const std::string& name, bool is_directory) const {
  if (empty()) return false;
  const auto matches = [&](const Pattern& pattern) { return pattern.matches(name); };
  if (std::ranges::any_of(rules_->excluded, matches)) return true;
  if (!is_directory && !rules_->included.empty() && std::ranges::none_of(rules_->included, matches)) return true;
  return needs_paths() && std::ranges::find(rules_->paths, joined(directory, name)) != rules_->paths.end();
}

bool Exclusion::excludes_path(const std::string& path, bool is_directory) const {
  if (empty()) return false;
  std::string directory;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    if (excludes(directory, name, is_directory || end < path.size())) return true;
    directory = path.substr(0, end);
    begin = end + 1;
  }
  return false;
}

std::vector<std::string> Exclusion::paths_below(const std::string& directory) const {
  std::vector<std::string> below;
  if (empty()) return below;
  const std::string prefix = directory.empty() ? "" : directory + "/";
  for (const std::string& path : rules_->paths) {
    if (path.size() > prefix.size() && path.starts_with(prefix)) below.push_back(path.substr(prefix.size()));
  }
  return below;
}

std::uint64_t Exclusion::digest() const { return empty() ? 0 : rules_->digest; }

std::uint64_t digest_of(const Exclusions& exclusions) {
  ByteWriter all;
  bool any = false;
  for (const Exclusion& exclusion : exclusions) {
    all.u64(exclusion.digest());
    any = any || !exclusion.empty();
  }
  return any ? digest128(all.bytes()).low | 1 : 0;
}

}  // namespace safekit::replica
