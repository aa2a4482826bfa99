// safekit-keeper: holds the descriptors of a module's mounts, so that they outlive the safekit-replicad that serves them.
// Started by it with the listening socket as descriptor 3. SIGTERM: it lets go at once.
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <string_view>

#include "datapath/linux/keeper.h"

int main(int count, char** values) {
  if (count != 3 || std::string_view{values[1]} != "--for") {
    std::fputs("usage: started by safekit-replicad only\n", stderr);
    return 2;
  }
  (void)::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &files);  // fewer: it says that not all could be kept
  }
  return safekit::serve_keeper(safekit::Fd{3}, safekit::kKeeperWaits);
}
