#include "schema/codec/safe_archive.h"

#include <memory>
#include <vector>

#include <fmt/format.h>
#include <zip.h>

#include "schema/doc/node.h"

namespace safekit::codec {
namespace {

constexpr std::string_view kConfigPath = "conf/userconfig.xml";
constexpr std::string_view kScriptFolder = "bin/";
constexpr std::size_t kPathBytesMax = 255;
constexpr std::uint32_t kUnixTypeMask = 0170000;
constexpr std::uint32_t kUnixLink = 0120000;
constexpr std::uint32_t kUnixFile = 0100000;
constexpr std::time_t kFixedDate = 315'532'800;  // 1980-01-01, the first date that a zip can hold

struct CloseArchive {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
using Archive = std::unique_ptr<zip_t, CloseArchive>;
struct CloseFile {
  void operator()(zip_file_t* file) const { (void)zip_fclose(file); }  // only reading: nothing can be lost
};
struct FreeSource {
  void operator()(zip_source_t* source) const { zip_source_free(source); }
};

std::string text_of(zip_error_t& error) {
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

/// The path inside the archive, with `/` between its parts; Invalid when it leaves it.
Result<std::string> safe_path(std::string_view name) {
  std::string path{name};
  for (char& c : path) c = c == '\\' ? '/' : c;
  const std::string parts = "/" + path + "/";
  const bool leaves = path.starts_with('/') || parts.find("/../") != std::string::npos ||
                      parts.find("/./") != std::string::npos || parts.find("//") != std::string::npos ||
                      path.find(':') != std::string::npos;
  const bool odd = path.empty() || path.size() > kPathBytesMax;
  bool control = false;
  for (const char c : path) control |= static_cast<unsigned char>(c) < 0x20;
  if (leaves || odd || control)
    return Error{Code::Invalid, fmt::format("the archive holds the path '{}'", name)};
  return path;
}

Result<std::string> read_file(zip_t* archive, zip_uint64_t index, const std::string& path,
                              std::size_t bytes_left) {
  const std::unique_ptr<zip_file_t, CloseFile> file{zip_fopen_index(archive, index, 0)};
  if (!file) return Error{Code::Corrupt, fmt::format("'{}': {}", path, zip_strerror(archive))};
  std::string content;
  std::vector<char> block(64 * 1024);
  while (true) {
    const zip_int64_t size = zip_fread(file.get(), block.data(), block.size());
    if (size < 0) return Error{Code::Corrupt, fmt::format("'{}' is damaged", path)};
    if (size == 0) return content;
    content.append(block.data(), static_cast<std::size_t>(size));
    if (content.size() > kArchiveFileBytesMax || content.size() > bytes_left) {
      return Error{Code::Exhausted, fmt::format("'{}' is too large to unpack", path)};
    }
  }
}

bool is_text(std::string_view content) {
  return content.find('\0') == std::string_view::npos;
}

bool is_executable(std::string_view path) {
  return path.starts_with(kScriptFolder);
}

Status add_file(zip_t* archive, const std::string& path, const std::string& content) {
  zip_source_t* source = zip_source_buffer(archive, content.data(), content.size(), 0);
  if (source == nullptr) return Error{Code::Io, zip_strerror(archive)};
  const zip_int64_t index = zip_file_add(archive, path.c_str(), source, ZIP_FL_ENC_UTF_8);
  if (index < 0) {
    zip_source_free(source);
    return Error{Code::Invalid, fmt::format("'{}': {}", path, zip_strerror(archive))};
  }
  const auto at = static_cast<zip_uint64_t>(index);
  const zip_uint32_t mode = (kUnixFile | (is_executable(path) ? 0755U : 0644U)) << 16;
  if (zip_file_set_mtime(archive, at, kFixedDate, 0) != 0 ||
      zip_file_set_external_attributes(archive, at, 0, ZIP_OPSYS_UNIX, mode) != 0) {
    return Error{Code::Io, zip_strerror(archive)};
  }
  return {};
}

}  // namespace

Result<SafeArchive> read_safe_archive(BytesView bytes) {
  if (bytes.empty()) return Error{Code::Corrupt, "this is no .safe archive: it is empty"};
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (source == nullptr) return Error{Code::Io, text_of(error)};
  const Archive archive{zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error)};
  if (!archive) {
    zip_source_free(source);
    return Error{Code::Corrupt, fmt::format("this is no .safe archive: {}", text_of(error))};
  }
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  if (count < 0 || static_cast<std::size_t>(count) > kArchiveFilesMax) {
    return Error{Code::Exhausted, fmt::format("the archive holds more than {} files", kArchiveFilesMax)};
  }
  SafeArchive result;
  std::size_t bytes_left = kArchiveBytesMax;
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(count); ++i) {
    const char* name = zip_get_name(archive.get(), i, 0);
    if (name == nullptr) return Error{Code::Corrupt, "a file of the archive has no name"};
    const std::string_view given{name};
    if (given.ends_with('/')) continue;
    SK_TRY(const std::string path, safe_path(given));
    zip_uint8_t system = 0;
    zip_uint32_t attributes = 0;
    (void)zip_file_get_external_attributes(archive.get(), i, 0, &system, &attributes);  // none: a plain file
    if (system == ZIP_OPSYS_UNIX && ((attributes >> 16) & kUnixTypeMask) == kUnixLink) {
      return Error{Code::Invalid, fmt::format("'{}' in the archive is a link", path)};
    }
    SK_TRY(std::string content, read_file(archive.get(), i, path, bytes_left));
    bytes_left -= content.size();
    if (!result.files.emplace(path, std::move(content)).second) {
      return Error{Code::Invalid, fmt::format("the archive holds '{}' twice", path)};
    }
  }
  return result;
}

Result<Bytes> write_safe_archive(const SafeArchive& archive) {
  if (archive.files.empty()) return Error{Code::Invalid, "there is nothing to pack"};
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* target = zip_source_buffer_create(nullptr, 0, 0, &error);
  if (target == nullptr) return Error{Code::Io, text_of(error)};
  // Closing the archive gives up its hold on the source: one more is kept to read the result.
  const std::unique_ptr<zip_source_t, FreeSource> kept{target};
  zip_source_keep(target);
  Archive zip{zip_open_from_source(target, ZIP_CREATE | ZIP_TRUNCATE, &error)};
  if (!zip) {
    zip_source_free(target);
    return Error{Code::Io, text_of(error)};
  }
  for (const auto& [path, content] : archive.files) {
    SK_TRY(const std::string checked, safe_path(path));
    SK_TRY_VOID(add_file(zip.get(), checked, content));
  }
  if (zip_close(zip.get()) != 0) return Error{Code::Io, zip_strerror(zip.get())};
  (void)zip.release();  // closed
  if (zip_source_open(kept.get()) != 0) return Error{Code::Io, "the archive cannot be read back"};
  zip_stat_t info;
  zip_stat_init(&info);
  if (zip_source_stat(kept.get(), &info) != 0) return Error{Code::Io, "the archive has no size"};
  Bytes bytes(info.size);
  const zip_int64_t size = zip_source_read(kept.get(), bytes.data(), bytes.size());
  (void)zip_source_close(kept.get());  // read to its end
  if (size < 0 || static_cast<std::size_t>(size) != bytes.size()) {
    return Error{Code::Io, "the archive cannot be read back"};
  }
  return bytes;
}

std::string config_path(const SafeArchive& archive) {
  // Archives differ in whether they hold the module's folder itself.
  for (const auto& [path, content] : archive.files) {
    if (path == kConfigPath || path.ends_with("/" + std::string{kConfigPath})) return path;
  }
  return {};
}

void add_scripts(const SafeArchive& archive, spec::Module& module, doc::Problems& problems) {
  const std::string config = config_path(archive);
  const std::string root =
      config.empty() ? std::string{} : config.substr(0, config.size() - kConfigPath.size());
  const std::string folder = root + std::string{kScriptFolder};
  for (const auto& [path, content] : archive.files) {
    if (!path.starts_with(folder)) continue;
    const std::string name = path.substr(folder.size());
    if (name.find('/') != std::string::npos || !is_text(content) || !doc::is_utf8(content)) {
      problems.warning({}, "not-a-script",
                       fmt::format("'{}' is no text file directly in bin: it is not taken over", path),
                       "install it on the nodes by hand");
      continue;
    }
    if (!module.scripts) {
      module.scripts.emplace();
      module.scripts->enabled = false;
    }
    module.scripts->files[name] = content;
  }
}

SafeArchive make_safe_archive(const spec::Module& module, std::string xml) {
  SafeArchive archive;
  archive.files[std::string{kConfigPath}] = std::move(xml);
  if (module.scripts) {
    for (const auto& [name, text] : module.scripts->files) {
      archive.files[fmt::format("{}{}", kScriptFolder, name)] = text;
    }
  }
  return archive;
}

}  // namespace safekit::codec
