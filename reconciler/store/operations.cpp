#include <fmt/format.h>

#include "reconciler/store/store_impl.h"

/// Operations, facts, events, live status and watchers of the store.
namespace safekit::store {

void Store::Impl::note_history(const Status& status) { history_problem = status ? "" : status.error().what; }

const status::Module& Store::status(const ModuleName& name) const {
  const auto [it, is_new] = impl_->statuses.try_emplace(name);
  if (is_new) it->second.name = name;
  return it->second;
}

bool Store::update_status(const ModuleName& name, const std::function<void(status::Module&)>& change) {
  status::Module changed = status(name);
  change(changed);
  status::Module& kept = impl_->statuses.at(name);
  if (changed == kept) return false;
  kept = std::move(changed);
  impl_->tell(Change::What::Status, Kind::Module, name.str());
  return true;
}

void Store::forget_status(const ModuleName& name) {
  if (impl_->statuses.erase(name) > 0) impl_->tell(Change::What::Status, Kind::Module, name.str());
}

Result<std::uint64_t> Store::submit(Operation operation) {
  if (impl_->pending.size() >= kPendingMax) {
    return Error{Code::Exhausted, fmt::format("{} commands are waiting already; try again later", impl_->pending.size())};
  }
  operation.id = impl_->next_operation;
  operation.outcome.clear();
  if (operation.time == WallTime{}) operation.time = impl_->clock.wall_now();
  const std::uint64_t id = operation.id;
  SK_TRY_VOID(impl_->backend.commit(Batch{.operations = {operation}, .next_operation = id + 1}));
  impl_->next_operation = id + 1;
  const std::string module = operation.module;
  impl_->pending.emplace(id, std::move(operation));
  impl_->tell(Change::What::Operation, Kind::Module, module);
  return id;
}

std::vector<Operation> Store::pending(const ModuleName& module) const {
  std::vector<Operation> found;
  for (const auto& [id, operation] : impl_->pending) {
    if (operation.module == module.str()) found.push_back(operation);
  }
  return found;
}

Status Store::finish(std::uint64_t id, const std::string& outcome) {
  const auto found = impl_->pending.find(id);
  if (found == impl_->pending.end()) return Error{Code::NotFound, fmt::format("no command {} is waiting", id)};
  Operation operation = found->second;
  operation.outcome = outcome;
  // The audit first: after a crash between the two the command is still pending, never lost without a trace.
  impl_->note_history(impl_->backend.keep_finished(operation));
  SK_TRY_VOID(impl_->backend.commit(Batch{.finished = {id}}));
  impl_->pending.erase(found);
  impl_->tell(Change::What::Operation, Kind::Module, operation.module);
  return {};
}

std::optional<Operation> Store::operation(std::uint64_t id) const {
  const auto found = impl_->pending.find(id);
  if (found != impl_->pending.end()) return found->second;
  return impl_->backend.finished(id);
}

std::optional<std::string> Store::fact(const std::string& key) const {
  for (const auto* facts : {&impl_->durable_facts, &impl_->relaxed_facts}) {
    const auto found = facts->find(key);
    if (found != facts->end()) return found->second;
  }
  return std::nullopt;
}

Status Store::set_fact(const std::string& key, const std::string& value, bool durable) {
  if (fact(key) == value && (!durable || impl_->durable_facts.contains(key))) return {};
  if (impl_->durable_facts.size() + impl_->relaxed_facts.size() >= kFactsMax && !fact(key)) {
    return Error{Code::Exhausted, fmt::format("fact '{}' is not kept: there are {} already", key, kFactsMax)};
  }
  // Once durable, always durable: an older durable value must not come back over a newer relaxed one.
  if (durable || impl_->durable_facts.contains(key)) {
    SK_TRY_VOID(impl_->backend.commit(Batch{.facts = {{key, value}}}));
    impl_->durable_facts[key] = value;
    return {};
  }
  SK_TRY_VOID(impl_->backend.put_fact(key, value));
  impl_->relaxed_facts[key] = value;
  return {};
}

Status Store::forget_fact(const std::string& key) {
  // The durable one hides the relaxed one, so it goes last.
  if (impl_->relaxed_facts.contains(key)) {
    SK_TRY_VOID(impl_->backend.put_fact(key, std::nullopt));
    impl_->relaxed_facts.erase(key);
  }
  if (impl_->durable_facts.contains(key)) {
    SK_TRY_VOID(impl_->backend.commit(Batch{.facts = {{key, std::nullopt}}}));
    impl_->durable_facts.erase(key);
  }
  return {};
}

void Store::record(status::Event event) {
  if (event.time == WallTime{}) event.time = impl_->clock.wall_now();
  if (event.node.empty()) event.node = node_;
  impl_->note_history(impl_->backend.append(event));
  impl_->tell(Change::What::Event, Kind::Module, event.module.str());
}

void Store::record(const ModuleName& module, std::string component, char level, std::string text) {
  record(status::Event{.module = module, .component = std::move(component), .level = level, .text = std::move(text)});
}

std::vector<status::Event> Store::events(const ModuleName& module, std::size_t last, bool verbose) const {
  return impl_->backend.events(module, last, verbose);
}

std::uint64_t Store::watch(std::function<void(const Change&)> task) { return impl_->watchers.add(std::move(task)); }
void Store::unwatch(std::uint64_t id) { impl_->watchers.remove(id); }
void Store::announce(Change::What what, const std::string& name) { impl_->tell(what, Kind::Module, name); }
Revision Store::revision() const { return Revision{impl_->revision}; }
const std::string& Store::history_problem() const { return impl_->history_problem; }

}  // namespace safekit::store
