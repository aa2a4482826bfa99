#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <unistd.h>

#include "reconciler/cli/program.h"

namespace {

class StandardOutput final : public safekit::cli::Output {
 public:
  void out(std::string_view text) override {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  void err(std::string_view text) override { std::fwrite(text.data(), 1, text.size(), stderr); }
  [[nodiscard]] bool is_terminal() const override { return ::isatty(STDOUT_FILENO) == 1; }
  [[nodiscard]] bool is_broken() const override { return std::ferror(stdout) != 0; }
};

/// Becomes a program beside this one, with the words after its name; comes back only when there is none.
void run_beside(const char* name, char** arguments) {
  std::error_code error;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / name;
  if (!error) ::execv(program.c_str(), arguments);
}

}  // namespace

int main(int argc, char** argv) {
  // A server that goes away is an error to print, not a silent end.
  std::signal(SIGPIPE, SIG_IGN);
  if (argc > 1 && std::strcmp(argv[1], "sandbox") == 0) run_beside("safekit-sandbox", argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "witness") == 0) run_beside("safekit-witness", argv + 1);
  StandardOutput output;
  safekit::cli::World world{.output = output};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text{*variable};
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      world.environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  world.connect = [&world](const safekit::cli::Arguments& args) {
    return safekit::cli::connect(args, world.environment);
  };
  return safekit::cli::run({argv + 1, argv + argc}, world);
}
