#include "reconciler/witness/service.h"

#include <fmt/format.h>

#include "reconciler/witness/protocol.h"

namespace safekit::witness {
namespace {

constexpr std::uint32_t kMode = 0600;

}  // namespace

LeaseService::LeaseService(const Ports& ports, std::string file) : ports_(ports), file_(std::move(file)) {}

Status LeaseService::open(Before before) {
  const std::lock_guard lock{mutex_};
  const MonoTime now = ports_.clock.mono_now();
  const auto text = ports_.files.read(file_);
  if (!text && text.error().code != Code::NotFound) return text.error();
  auto book = text ? LeaseBook::from_text(*text, now) : Result<LeaseBook>{Error{Code::Corrupt, ""}};
  if (book) {
    book_ = std::move(*book);
    open_ = true;
    return {};
  }
  if (book.error().code == Code::Unsupported) return Error{Code::Unsupported, fmt::format("'{}': {}", file_, book.error().what)};
  book_ = LeaseBook{};
  if (text || before == Before::Unknown) {
    file_due_ = now + LeaseBook::kLongest;  // a start before it waits anew
    book_.grant_nothing_before(*file_due_);
    open_ = true;
    return {};
  }
  SK_TRY_VOID(keep(book_));
  open_ = true;
  return {};
}

api::Response LeaseService::answer(const api::Request& request) {
  const std::lock_guard lock{mutex_};
  // Where that fails a grant does, too, and tells.
  if (file_due_ && ports_.clock.mono_now() >= *file_due_ && keep(book_)) file_due_.reset();
  const bool is_post = request.method == api::Method::Post;
  Result<std::string> body = Error{Code::NotFound, fmt::format("a witness has no '{}'", request.path)};
  if (request.path == kAliveRoute && request.method == api::Method::Get) {
    body = fmt::format(R"({{"held":{}}})", book_.held(ports_.clock.mono_now()));
  } else if (request.path == kAcquireRoute && is_post) {
    body = acquire(request.body);
  } else if (request.path == kReleaseRoute && is_post) {
    body = release(request.body);
  }
  if (!body) return api::failure(body.error());
  return api::Response{.body = std::move(*body)};
}

Result<std::string> LeaseService::acquire(const std::string& body) {
  SK_TRY(const LeaseBook::Ask ask, parse_acquire(body));
  if (!open_) return Error{Code::Unavailable, fmt::format("the leases in '{}' cannot be read: see the log of this witness", file_)};
  LeaseBook next = book_;
  SK_TRY(const LeaseBook::Answer answer,
         next.acquire(ask, fmt::format("{:016x}", ports_.random.u64()), ports_.clock.mono_now()));
  if (answer.must_be_kept) SK_TRY_VOID(keep(next));
  book_ = std::move(next);
  return to_body(answer);
}

Result<std::string> LeaseService::release(const std::string& body) {
  SK_TRY(const Release release, parse_release(body));
  // A file that still names the lease only makes others wait after a start of this witness.
  if (book_.release(release.name, release.id)) (void)keep(book_);
  return std::string{"{}"};
}

Status LeaseService::keep(const LeaseBook& book) {
  const Status kept = ports_.files.replace(file_, book.to_text(), kMode);
  if (kept) return {};
  return Error{kept.error().code, fmt::format("the witness cannot keep its leases: {}", kept.error().what)};
}

}  // namespace safekit::witness
