#include <csignal>
#include <cstdio>
#include <cstdlib>
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

/// `safekit -r NAME [argument...]`: a program by its absolute path, or one beside this one, with the product's environment. Comes
/// back for what the command line itself does.
void run_special(int count, char** arguments) {
  const std::string name = arguments[0];
  if (name == "wrapper" || name == "flatlogdump") return;
  std::error_code error;
  const std::string directory = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  if (error) return;
  for (const char* variable : {"SAFE", "SAFEBIN"}) ::setenv(variable, directory.c_str(), 0);
  ::setenv("SAFEVAR", "/var/lib/safekit", 0);
  const bool is_helper = name == "boundcmd" || name == "processtree" || name == "errdpoll_running";
  const std::string program = is_helper ? directory + "/safekit-helper" : name.starts_with('/') ? name : directory + "/" + name;
  std::vector<char*> words{const_cast<char*>(program.c_str())};
  words.insert(words.end(), arguments + (is_helper ? 0 : 1), arguments + count);
  words.push_back(nullptr);
  ::execv(program.c_str(), words.data());
}

}  // namespace

int main(int argc, char** argv) {
  // A server that goes away is an error to print, not a silent end.
  std::signal(SIGPIPE, SIG_IGN);
  if (argc > 1 && std::strcmp(argv[1], "sandbox") == 0) run_beside("safekit-sandbox", argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "witness") == 0) run_beside("safekit-witness", argv + 1);
  if (argc > 2 && std::strcmp(argv[1], "-r") == 0) run_special(argc - 2, argv + 2);
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
