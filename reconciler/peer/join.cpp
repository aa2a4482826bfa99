#include "reconciler/peer/join.h"

#include <algorithm>

#include <fmt/format.h>

#include "reconciler/peer/exchange.h"
#include "reconciler/peer/http_link.h"
#include "schema/spec/defaults.h"

namespace safekit::peer {

Result<std::string> answer_join(Pki& pki, const store::Store& store, std::string_view body) {
  SK_TRY(const JoinRequest request, parse_join_request(body));
  Parcel parcel{};
  if (const auto cluster = store.cluster()) {
    // Before the secret is used up: the user corrects the file and tries again with the same token.
    const auto nodes = spec::nodes_of(*cluster);
    if (std::find(nodes.begin(), nodes.end(), request.node) == nodes.end()) {
      return Error{Code::Invalid, fmt::format("the cluster file names no node '{}': add it with its addresses, apply the "
                                              "file, then join again",
                                              request.node.str())};
    }
    parcel.objects.push_back(store.stored().at(store::kClusterKey));
  }
  return pki.accept_join(request, to_body(parcel));
}

Status adopt_cluster(store::Store& store, const std::string& extra) {
  SK_TRY(const Parcel parcel, parse_parcel(extra));
  for (const store::StoredObject& stored : parcel.objects) SK_TRY_VOID(store.adopt(stored.object, stored.history));
  return {};
}

Joiner::Joiner(Pki& pki, Loop& loop, Crypto& crypto) : pki_(pki), loop_(loop), crypto_(crypto) {}
Joiner::~Joiner() = default;

void Joiner::join(const std::string& token_text, const NodeName& node, std::function<void(Result<Pki::Joined>)> task) {
  const auto fail = [&](const Error& error) {
    loop_.post([task = std::move(task), error] { task(error); });
  };
  if (is_busy_) return fail(Error{Code::Conflict, "a join is under way already"});
  auto token = parse_token(token_text);
  if (!token) return fail(token.error());
  auto joining = pki_.prepare_join(*token, node);
  if (!joining) return fail(joining.error());
  is_busy_ = true;
  thread_ = std::jthread{[this, alive = std::weak_ptr<Token>{alive_}, token = std::move(*token),
                          joining = std::move(*joining), task = std::move(task)] {
    auto answer = ask_to_join(token, to_body(joining.request), crypto_);
    loop_.post([this, alive, token, joining, task, answer = std::move(answer)] {
      if (alive.expired()) return;
      is_busy_ = false;
      task(answer ? pki_.complete_join(token, joining, *answer) : Result<Pki::Joined>{answer.error()});
    });
  }};
}

}  // namespace safekit::peer
