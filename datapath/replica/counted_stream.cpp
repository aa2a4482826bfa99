#include "datapath/replica/counted_stream.h"

namespace safekit::replica {
namespace {

class CountedStream final : public Stream {
 public:
  CountedStream(std::unique_ptr<Stream> stream, StreamCount& count) : stream_(std::move(stream)), count_(count) {}
  Status write(BytesView bytes, Duration timeout) override {
    Status done = stream_->write(bytes, timeout);
    if (done) count_.sent += bytes.size();
    return done;
  }
  Result<std::size_t> read(std::span<std::uint8_t> into, Duration timeout) override {
    auto size = stream_->read(into, timeout);
    if (size) count_.received += *size;
    return size;
  }
  [[nodiscard]] Line line() const override { return stream_->line(); }
  void shut() override { stream_->shut(); }

 private:
  std::unique_ptr<Stream> stream_;
  StreamCount& count_;
};

class CountedSource final : public StreamSource {
 public:
  CountedSource(std::unique_ptr<StreamSource> source, StreamCount& count) : source_(std::move(source)), count_(count) {}
  Result<std::unique_ptr<Stream>> next(Duration timeout) override {
    SK_TRY(auto stream, source_->next(timeout));
    return std::unique_ptr<Stream>{std::make_unique<CountedStream>(std::move(stream), count_)};
  }
  void shut() override { source_->shut(); }

 private:
  std::unique_ptr<StreamSource> source_;
  StreamCount& count_;
};

}  // namespace

std::unique_ptr<StreamSource> counted(std::unique_ptr<StreamSource> source, StreamCount& count) {
  return std::make_unique<CountedSource>(std::move(source), count);
}

}  // namespace safekit::replica
