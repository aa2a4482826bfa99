#pragma once

#include <map>
#include <string>

#include "schema/port/files.h"

namespace safekit::fake {

/// A disk of small files that a test fills and looks at.
class MemoryFiles final : public Files {
 public:
  struct Entry {
    std::string text{};
    std::uint32_t mode{0};
  };
  std::map<std::string, Entry> entries{};
  bool is_full{false};  ///< nothing more can be written

  Result<std::string> read(const std::string& path) override {
    const auto found = entries.find(path);
    if (found == entries.end()) return Error{Code::NotFound, "no file '" + path + "'"};
    return found->second.text;
  }
  Status replace(const std::string& path, std::string_view text, std::uint32_t mode) override {
    if (is_full) return Error{Code::Exhausted, "no space left"};
    entries[path] = Entry{std::string{text}, mode};
    return {};
  }
  Status put(const std::string& path, std::string_view text, std::uint32_t mode) override {
    return replace(path, text, mode);
  }
  Result<std::vector<FileInfo>> list(const std::string& directory) override {
    std::vector<FileInfo> files;
    const std::string prefix = directory + "/";
    for (const auto& [path, entry] : entries) {
      if (path.starts_with(prefix) && path.find('/', prefix.size()) == std::string::npos) {
        files.push_back({path.substr(prefix.size()), entry.text.size()});
      }
    }
    return files;
  }
  Status make_directories(const std::string&) override { return {}; }
  Status truncate(const std::string& path) override {
    entries[path].text.clear();
    return {};
  }
  Status remove(const std::string& path) override {
    entries.erase(path);
    return {};
  }
  Status remove_tree(const std::string& path) override {
    std::erase_if(entries, [&](const auto& entry) { return entry.first.starts_with(path + "/"); });
    return {};
  }
};

}  // namespace safekit::fake
