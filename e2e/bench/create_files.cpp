// safekit-create-files DIRECTORY COUNT: makes the directory, creates COUNT files of 4,096 bytes in it by open, write and
// close, and prints files per second. For e2e/bench/run.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: safekit-create-files DIRECTORY COUNT\n");
    return 2;
  }
  const std::string directory = argv[1];
  const long count = std::strtol(argv[2], nullptr, 10);
  if (mkdir(directory.c_str(), 0755) != 0) {
    std::perror(directory.c_str());
    return 1;
  }
  const std::array<char, 4096> block{};
  const auto begin = std::chrono::steady_clock::now();
  for (long i = 0; i < count; ++i) {
    const std::string path = directory + "/f" + std::to_string(i);
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, block.data(), block.size()) != static_cast<ssize_t>(block.size()) || close(fd) != 0) {
      std::perror(path.c_str());
      return 1;
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::printf("%.1f\n", static_cast<double>(count) / seconds.count());
  return 0;
}
