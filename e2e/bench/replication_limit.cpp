// safekit-replication-limit ROW DIRECTORY PEER_DIRECTORY SECONDS: the least that a synchronous replication of files can do.
// Writes locally, sends over loopback TCP, the peer (a child process) writes and answers, with the fsyncs that the row asks
// for; no encryption, no checksum, no file system between. Prints what is done per second (MiB for seq_write_1m), then the
// median time of one in microseconds. For e2e/bench/run.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::uint32_t kBlock = 4096;
constexpr std::uint32_t kPiece = 1 << 20;
constexpr std::uint64_t kSequentialBytes = 512ULL << 20;
constexpr std::uint64_t kRandomBytes = 64ULL << 20;
constexpr std::uint32_t kFiles = 10000;

/// One write into a file, which is made by its first; `answer` asks for a byte when it is done.
struct Message {
  std::uint32_t file{0};
  std::uint32_t size{0};
  std::uint64_t offset{0};
  std::uint8_t sync{0};
  std::uint8_t close{0};
  std::uint8_t answer{0};
  std::array<std::uint8_t, 5> unused{};
};

void must(bool done, const char* what) {
  if (done) return;
  std::perror(what);
  std::_Exit(1);
}

/// The same work on both sides.
struct Writer {
  std::string directory{};
  int fd{-1};

  void begin(std::uint32_t file, std::uint64_t bytes) {
    const std::string path = directory + "/limit-" + std::to_string(file);
    fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    must(fd >= 0, path.c_str());
    struct stat found {};
    must(fstat(fd, &found) == 0, "fstat");
    if (bytes > 0 && found.st_size == 0) must(posix_fallocate(fd, 0, static_cast<off_t>(bytes)) == 0, "fallocate");
  }
  void write(const Message& message, const char* data) const {
    must(pwrite(fd, data, message.size, static_cast<off_t>(message.offset)) == static_cast<ssize_t>(message.size), "pwrite");
  }
  void end() {
    must(close(fd) == 0, "close");
    fd = -1;
  }
};

bool receive(int socket, void* into, std::size_t size) {
  return size == 0 || recv(socket, into, size, MSG_WAITALL) == static_cast<ssize_t>(size);
}

void serve(int socket, Writer writer, std::uint64_t bytes) {
  std::vector<char> data(kPiece);
  for (Message message; receive(socket, &message, sizeof message);) {
    must(receive(socket, data.data(), message.size), "recv");
    if (writer.fd < 0) writer.begin(message.file, bytes);
    writer.write(message, data.data());
    if (message.sync != 0) must(fsync(writer.fd) == 0, "fsync");
    if (message.close != 0) writer.end();
    if (message.answer != 0) must(send(socket, "!", 1, 0) == 1, "send");
  }
}

void replicate(int socket, const Writer& writer, const Message& message, std::vector<char>& data) {
  writer.write(message, data.data());
  std::array<iovec, 2> parts{iovec{const_cast<Message*>(&message), sizeof message}, iovec{data.data(), message.size}};
  for (std::size_t left = sizeof message + message.size; left > 0;) {
    const ssize_t sent = writev(socket, parts.data(), parts.size());
    must(sent > 0, "writev");
    left -= static_cast<std::size_t>(sent);
    for (std::size_t done = static_cast<std::size_t>(sent); iovec & part : parts) {
      const std::size_t of_part = std::min(done, part.iov_len);
      part = {static_cast<char*>(part.iov_base) + of_part, part.iov_len - of_part};
      done -= of_part;
    }
  }
  if (message.sync != 0) must(fsync(writer.fd) == 0, "fsync");
  char answer = 0;
  if (message.answer != 0) must(receive(socket, &answer, 1), "the peer's answer");
}

void measure(std::string_view row, int socket, Writer writer, double seconds, std::uint64_t bytes) {
  using Clock = std::chrono::steady_clock;
  std::vector<char> data(kPiece, 'x');
  std::mt19937_64 random{1};  // NOLINT: every round is to write the same
  std::vector<double> took;
  const auto begin = Clock::now();
  const auto elapsed = [](Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); };
  for (std::uint32_t i = 0;; ++i) {
    const auto from = Clock::now();
    Message message{.size = kBlock, .offset = random() % (kRandomBytes / kBlock) * kBlock};
    if (row == "seq_write_1m") {
      message.size = kPiece;
      message.offset = std::uint64_t{i} * kPiece;
      message.sync = message.answer = message.offset + kPiece == kSequentialBytes;
    } else if (row == "rand_write_4k_fsync") {
      message.sync = message.answer = 1;
    } else if (row == "create_10k") {
      message.offset = 0;
      message.file = i;
      message.close = message.answer = 1;
    }
    if (writer.fd < 0) writer.begin(message.file, bytes);
    replicate(socket, writer, message, data);
    if (message.close != 0) writer.end();
    took.push_back(elapsed(from) * 1e6);
    if (row == "seq_write_1m" ? message.answer != 0 : row == "create_10k" ? i + 1 == kFiles : elapsed(begin) > seconds) break;
  }
  const double whole = elapsed(begin);
  std::nth_element(took.begin(), took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2), took.end());
  std::printf("%.1f %.1f\n", static_cast<double>(took.size()) / whole, took[took.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: safekit-replication-limit ROW DIRECTORY PEER_DIRECTORY SECONDS\n");
    return 2;
  }
  const std::string_view row = argv[1];
  const std::uint64_t bytes = row == "create_10k" || row == "seq_write_1m" ? 0 : kRandomBytes;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t length = sizeof address;
  must(bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0 && listen(listener, 1) == 0 &&
           getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0,
       "listen");
  const pid_t child = fork();
  must(child >= 0, "fork");
  const int mine = child == 0 ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : accept(listener, nullptr, nullptr);
  if (child == 0) must(connect(mine, reinterpret_cast<sockaddr*>(&address), length) == 0, "connect");
  const int on = 1;
  must(setsockopt(mine, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
  if (child == 0) {
    serve(mine, Writer{.directory = argv[3]}, bytes);
    return 0;
  }
  measure(row, mine, Writer{.directory = argv[2]}, std::strtod(argv[4], nullptr), bytes);
  close(mine);
  int status = 0;
  return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}
