#include "reconciler/cli/files.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "schema/codec/safe_archive.h"

namespace safekit::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFileBytesMax = codec::kArchiveBytesMax;
constexpr std::array kInFolder{"module.yaml", "module.yml",          "module.json",   "cluster.yaml",
                               "cluster.xml", "conf/userconfig.xml", "userconfig.xml"};

struct Closed {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, Closed>;

bool is_text(const std::string& bytes) {
  return bytes.find('\0') == std::string::npos;
}

/// Where a path leads: the file to parse.
Result<fs::path> main_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  for (const char* name : kInFolder) {
    if (fs::exists(path / name, ignored)) return path / name;
  }
  return Error{Code::NotFound,
               fmt::format("folder '{}' has no module.yaml, cluster.yaml or userconfig.xml", path.string())};
}

/// An XML module has no name: the folder's, `web` in web/conf/userconfig.xml, else the file's.
std::string name_for(const fs::path& file) {
  fs::path folder = fs::absolute(file).parent_path();
  if (file.stem() != "userconfig") return file.stem().string();
  if (folder.filename() == "conf") folder = folder.parent_path();
  return folder.filename().string();
}

Result<std::map<std::string, std::string>> read_scripts(const fs::path& folder) {
  std::map<std::string, std::string> scripts;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator{folder, error}) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || name.starts_with(".")) continue;
    SK_TRY(std::string text, read_file(entry.path().string()));
    if (!is_text(text)) {
      return Error{
          Code::Invalid,
          fmt::format("'{}' is no text; scripts travel in the configuration. Install programs on the nodes "
                      "and call them from a script",
                      entry.path().string())};
    }
    scripts[name] = std::move(text);
  }
  if (error)
    return Error{Code::NotFound, fmt::format("folder of scripts '{}': {}", folder.string(), error.message())};
  return scripts;
}

/// Only what the text asks for: the environment of a shell is nobody else's business.
codec::Environment environment_of(const std::string& text, const std::map<std::string, std::string>& all) {
  codec::Environment wanted;
  for (const auto& [name, value] : all) {
    if (text.find("%" + name + "%") != std::string::npos) wanted[name] = value;
  }
  return wanted;
}

Status add_scripts(const fs::path& file, const check::LoadResult& loaded, api::Source& source) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path{"."};
  std::error_code ignored;
  for (const spec::Module* module : loaded.modules()) {
    if (!module->scripts) continue;
    const std::string& directory = module->scripts->directory;
    if (!directory.empty()) {
      SK_TRY(source.scripts[directory], read_scripts(folder / directory));
    } else if (loaded.format == check::Format::Xml) {
      for (const fs::path& bin :
           {folder / "bin", folder.filename() == "conf" ? folder.parent_path() / "bin" : folder / "bin"}) {
        if (!fs::is_directory(bin, ignored)) continue;
        SK_TRY(source.scripts["bin"], read_scripts(bin));
      }
    }
  }
  return {};
}

Result<ReadSource> read_archive(const fs::path& path, const std::string& bytes, const Session& session) {
  SK_TRY(const codec::SafeArchive archive, codec::read_safe_archive(as_bytes(bytes)));
  const std::string config = codec::config_path(archive);
  if (config.empty())
    return Error{Code::Invalid, fmt::format("archive '{}' has no conf/userconfig.xml", path.string())};
  ReadSource read;
  read.source.file = path.string() + ":" + config;
  read.source.text = archive.files.at(config);
  read.source.format = check::Format::Xml;
  read.source.name = path.stem().string();
  read.source.environment = environment_of(read.source.text, session.environment);
  constexpr std::string_view kBin = "bin/";
  for (const auto& [name, text] : archive.files) {
    if (name.starts_with(kBin) && is_text(text)) read.source.scripts["bin"][name.substr(kBin.size())] = text;
  }
  return read;
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  const File file{path == "-" ? stdin : std::fopen(path.c_str(), "rb")};
  if (!file) {
    return Error{errno == ENOENT ? Code::NotFound : Code::Io,
                 fmt::format("'{}': {}", path, std::strerror(errno))};
  }
  std::string text;
  std::array<char, 65536> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    text.append(buffer.data(), got);
    if (text.size() > kFileBytesMax) return Error{Code::Exhausted, fmt::format("'{}' is too large", path)};
  }
  if (std::ferror(file.get()) != 0)
    return Error{Code::Io, fmt::format("'{}': {}", path, std::strerror(errno))};
  return text;
}

Status write_file(const std::string& path, std::string_view text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  const bool written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool closed = file != nullptr && std::fclose(file) == 0;
  if (written && closed) return {};
  return Error{Code::Io, fmt::format("'{}': {}", path, std::strerror(errno))};
}

Result<ReadSource> read_source(const std::string& path, const Session& session) {
  SK_TRY(const fs::path file, main_file(path));
  SK_TRY(std::string text, read_file(file.string()));
  ReadSource read;
  if (text.starts_with("PK\x03\x04")) {
    SK_TRY(read, read_archive(file, text, session));
  } else {
    read.source.file = path == "-" ? "standard input" : file.string();
    read.source.text = std::move(text);
    read.source.environment = environment_of(read.source.text, session.environment);
    if (path != "-") read.source.name = name_for(file);
  }
  if (!session.args.name.empty()) read.source.name = session.args.name;
  if (!session.args.module.empty()) read.source.name = session.args.module;
  const check::LoadResult loaded = check::load(read.source.text, read.source.file,
                                               {.format = read.source.format,
                                                .environment = read.source.environment,
                                                .module_name = read.source.name});
  read.source.format = loaded.format;
  read.problems = loaded.problems;
  if (loaded.objects.empty() && !loaded.has_errors()) {
    doc::Problems problems{read.source.file};
    problems.error({}, "empty", "there is no object in it", "a file has apiVersion, kind, metadata, spec");
    read.problems = problems.list();
  }
  if (read.source.scripts.empty() && !loaded.has_errors())
    SK_TRY_VOID(add_scripts(file, loaded, read.source));
  return read;
}

}  // namespace safekit::cli
