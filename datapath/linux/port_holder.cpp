#include "datapath/linux/port_holder.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <fmt/format.h>

namespace safekit::linux_os {
namespace {

/// `/proc/net/tcp`: "sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode ...", addresses as HEX:PORT.
void add_inodes(const std::string& table, Transport transport, std::uint16_t port, std::set<std::string>& inodes) {
  std::ifstream in{"/proc/net/" + table};
  const std::string wanted = fmt::format(":{:04X}", port);
  std::string line;
  std::getline(in, line);  // the heading
  while (std::getline(in, line)) {
    std::istringstream fields{line};
    std::string number, local, remote, state, queues, timer, retries, user, timeout, inode;
    fields >> number >> local >> remote >> state >> queues >> timer >> retries >> user >> timeout >> inode;
    constexpr const char* kListens = "0A";
    if (fields && local.ends_with(wanted) && (transport == Transport::Udp || state == kListens)) inodes.insert(inode);
  }
}

bool holds(const std::filesystem::path& process, const std::set<std::string>& inodes) {
  std::error_code failed;
  for (std::filesystem::directory_iterator fd{process / "fd", failed}, end; !failed && fd != end; fd.increment(failed)) {
    std::error_code unreadable;
    const std::string target = std::filesystem::read_symlink(fd->path(), unreadable).string();
    if (unreadable || !target.starts_with("socket:[")) continue;
    if (inodes.contains(target.substr(8, target.size() - 9))) return true;
  }
  return false;
}

}  // namespace

std::string port_holder(Transport transport, std::uint16_t port) {
  const std::string name = transport == Transport::Tcp ? "tcp" : "udp";
  std::set<std::string> inodes;
  for (const std::string& table : {name, name + "6"}) add_inodes(table, transport, port, inodes);
  if (inodes.empty()) return {};
  std::error_code failed;
  for (std::filesystem::directory_iterator entry{"/proc", failed}, end; !failed && entry != end; entry.increment(failed)) {
    const std::string pid = entry->path().filename().string();
    const bool is_process = std::ranges::all_of(pid, [](unsigned char c) { return std::isdigit(c) != 0; });
    if (!is_process || !holds(entry->path(), inodes)) continue;
    std::ifstream in{entry->path() / "comm"};
    std::string command;
    std::getline(in, command);
    return fmt::format("{} (pid {})", command, pid);
  }
  return {};
}

}  // namespace safekit::linux_os
