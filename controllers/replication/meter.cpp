#include "controllers/replication/meter.h"

#include <fmt/format.h>

namespace safekit::replication {
namespace {

constexpr std::uint64_t kMegabyte = 1 << 20;
/// Less than this says nothing of how the rest will go.
constexpr Duration kEstimateAfter = seconds{1};

/// A counter that is smaller than before has begun anew.
std::uint64_t growth(std::uint64_t before, std::uint64_t now) { return now >= before ? now - before : now; }

void count(Meter& meter, const control::Report& report) {
  const control::Report before = meter.last.value_or(report);
  Amounts& sum = meter.amounts;
  sum.written += growth(before.traffic.written, report.traffic.written);
  sum.received += growth(before.traffic.received, report.traffic.received);
  sum.sent += growth(before.traffic.sent, report.traffic.sent);
  sum.resynchronised += growth(before.bytes_copied, report.bytes_copied);
}

void sample(Meter& meter, MonoTime now) {
  auto& samples = meter.samples;
  if (samples.empty() || now - samples.back().at >= kSampleEvery) samples.push_back({now, meter.amounts});
  // The one at the edge of the window, or before it, is where the mean begins.
  while (samples.size() > 1 && now - samples[1].at >= kRateWindow) samples.pop_front();
}

void rate(Meter& meter, MonoTime now) {
  if (meter.rated != MonoTime{} && now - meter.rated < kRateEvery) return;
  meter.rated = now;
  const MeterSample& from = meter.samples.front();
  const auto milliseconds_passed = static_cast<std::uint64_t>((now - from.at).count() / 1'000'000);
  const auto rate_of = [&](std::uint64_t then, std::uint64_t amount) {
    return milliseconds_passed == 0 ? 0 : (amount - then) * 1000 / 1024 / milliseconds_passed;
  };
  meter.rates = {.written = rate_of(from.amounts.written, meter.amounts.written),
                 .resynchronised = rate_of(from.amounts.resynchronised, meter.amounts.resynchronised),
                 .received = rate_of(from.amounts.received, meter.amounts.received),
                 .sent = rate_of(from.amounts.sent, meter.amounts.sent)};
}

void follow_sync(Meter& meter, const control::Report* report, MonoTime now) {
  SyncCourse& sync = meter.sync;
  const bool running = report != nullptr && report->phase == control::SyncPhase::Copying;
  if (running && !sync.running) sync = {.began = now, .running = true, .failed = sync.failed, .told = now};
  if (sync.running) {
    sync.took = now - sync.began;
    if (running && report->scanning) sync.scan_took = sync.took;
  }
  if (sync.running && !running) {
    sync.running = false;
    sync.failed = report == nullptr || !report->peer_synchronised;
  }
  if (report != nullptr && report->peer_synchronised) sync.failed = false;
}

std::string progress_line(Meter& meter, const control::Report& report, MonoTime now) {
  SyncCourse& sync = meter.sync;
  const std::uint64_t megabytes = report.bytes_copied / kMegabyte;
  if (!sync.running || now - sync.told < kProgressEvery || megabytes == sync.told_megabytes) return {};
  sync.told = now;
  sync.told_megabytes = megabytes;
  std::string line = fmt::format("{} MB copied", megabytes);
  if (report.files_total != 0) line += fmt::format(", {} of {} files", report.files_done, report.files_total);
  if (const auto left = time_left(meter)) line += fmt::format(", about {} s left", left->count() / 1'000'000'000);
  return line;
}

}  // namespace

Measured measure(const Meter& before, const std::optional<control::Report>& report, MonoTime now) {
  Measured measured{.meter = before, .line = {}};
  Meter& meter = measured.meter;
  if (!report) {
    follow_sync(meter, nullptr, now);
    meter.last.reset();
    meter.samples.clear();
    meter.rates = {};
    meter.rated = {};
    return measured;
  }
  count(meter, *report);
  meter.last = *report;
  sample(meter, now);
  rate(meter, now);
  follow_sync(meter, &*report, now);
  measured.line = progress_line(meter, *report, now);
  return measured;
}

std::optional<Duration> time_left(const Meter& meter) {
  const SyncCourse& sync = meter.sync;
  if (!sync.running || !meter.last || meter.last->scanning || sync.took < kEstimateAfter) return std::nullopt;
  const control::Report& report = *meter.last;
  // By bytes where there are some, else by files; both go on while the other one stands still.
  const bool by_bytes = report.bytes_total > 0;
  const double done = static_cast<double>(by_bytes ? report.bytes_done : report.files_done);
  const double total = static_cast<double>(by_bytes ? report.bytes_total : report.files_total);
  if (done <= 0 || total < done) return std::nullopt;  // a secondary does not know the whole
  return Duration{static_cast<std::int64_t>(static_cast<double>(sync.took.count()) * (total - done) / done)};
}

std::vector<std::pair<std::string, std::string>> metrics_of(const Meter& meter) {
  const control::Report report = meter.last.value_or(control::Report{});
  const auto in_seconds = [](Duration time) { return std::to_string(time.count() / 1'000'000'000); };
  const auto left = time_left(meter);
  const std::string left_text = !meter.sync.running ? "0" : left ? in_seconds(*left) : "unknown";
  std::vector<std::pair<std::string, std::string>> metrics{
      {"rfs.rep_bandwidth", std::to_string(meter.rates.written)},
      {"rfs.rei_bandwidth", std::to_string(meter.rates.resynchronised)},
      {"rfs.netin_bandwidth", std::to_string(meter.rates.received)},
      {"rfs.netout_bandwidth", std::to_string(meter.rates.sent)},
      {"rfs.reintegre_failed", meter.sync.failed ? "true" : "false"},
      {"rfs.rei_left_time_metric", left_text},
  };
  // What a replica has said of its last synchronisation stands when it is stopped.
  if (!meter.last) return metrics;
  metrics.insert(metrics.end(), {{"rfs.rei_scan_count_metric", std::to_string(report.files_total)},
                                 {"rfs.rei_scan_time_metric", in_seconds(meter.sync.scan_took)},
                                 {"rfs.rei_copy_count_metric", std::to_string(report.files_done)},
                                 {"rfs.rei_copy_size_metric", std::to_string(report.bytes_copied / 1024)},
                                 {"rfs.rei_copy_time_metric", in_seconds(meter.sync.took)},
                                 {"rfs.rei_syncdir_count_metric",
                                  fmt::format("{}/{}", report.directories_done, report.directories_total)}});
  return metrics;
}

}  // namespace safekit::replication
