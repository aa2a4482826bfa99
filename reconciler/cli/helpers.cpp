#include "reconciler/cli/helpers.h"

#include <sys/utsname.h>

#include <fmt/format.h>

#include "reconciler/cli/files.h"
#include "reconciler/cli/session.h"

namespace safekit::cli {
namespace {

int flat_log_dump(const std::vector<std::string>& words, Output& output) {
  if (words.size() != 4 || words[2] != "-O") {
    output.err("Error: say where to: safekit rfsverify -m MODULE | safekit -r flatlogdump -O stdout|FILE\n");
    return kUsage;
  }
  const auto dump = [&]() -> Status {
    SK_TRY(auto text, read_file("-"));
    SK_TRY(const std::string lines, flat_log(std::move(text)));
    if (words[3] != "stdout") return write_file(words[3], lines);
    output.out(lines);
    return {};
  };
  const Status done = dump();
  if (done) return kFine;
  output.err(fmt::format("Error: {}\n", done.error().what));
  return kFailed;
}

}  // namespace

Result<std::string> flat_log(std::string text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin != std::string::npos && text[begin] == '<') {
    return Error{Code::Unsupported, "this is XML of SafeKit 7, which is not read here; rfsdiff and rfsverify of this release write "
                                    "lines of text, which are passed on"};
  }
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text;
}

std::string host_name() {
  utsname names{};
  ::uname(&names);
  return names.nodename;
}

std::string system_name() {
  utsname names{};
  ::uname(&names);
  return fmt::format("{} {} {}", names.sysname, names.release, names.machine);
}

std::optional<int> run_helper(const std::vector<std::string>& words, Output& output) {
  if (words.size() < 2 || words[0] != "-r" || words[1] != "flatlogdump") return std::nullopt;
  return flat_log_dump(words, output);
}

}  // namespace safekit::cli
