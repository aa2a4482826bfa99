#include <algorithm>

#include "reconciler/store/store_impl.h"
#include "schema/codec/decode.h"
#include "schema/doc/json.h"

/// Stored text to typed specs.
namespace safekit::store {
namespace {

/// Null: this program does not understand it (it was checked before it was stored, so a newer one wrote it).
template <class Spec>
std::shared_ptr<const Spec> parse(const Object& object) {
  doc::Problems problems{object.key.name};
  const std::vector<doc::Node> nodes = doc::parse_json(object.spec, problems);
  if (nodes.size() != 1) return nullptr;
  auto decoded = codec::decode(nodes.front(), problems);
  if (!decoded || problems.has_errors()) return nullptr;
  auto* spec = std::get_if<Spec>(&decoded->object);
  if (spec == nullptr) return nullptr;
  spec->metadata.generation = object.generation;
  spec->metadata.resource_version = version_of(object);
  return std::make_shared<const Spec>(std::move(*spec));
}

template <class Cache>
auto parsed_once(const StoredObject* stored, Cache& cache) -> decltype(cache.begin()->second.value) {
  using Spec = std::remove_const_t<typename decltype(cache.begin()->second.value)::element_type>;
  if (stored == nullptr || stored->object.deleted) return nullptr;
  auto& known = cache[stored->object.key];
  if (known.digest != stored->object.digest) {
    known.value = parse<Spec>(stored->object);
    known.digest = stored->object.digest;
  }
  return known.value;
}

}  // namespace

bool names(const spec::Module& module, const NodeName& node) {
  return module.nodes.empty() || std::find(module.nodes.begin(), module.nodes.end(), node) != module.nodes.end();
}

std::optional<std::vector<NodeName>> nodes_of(const Object& object) {
  switch (object.key.kind) {
    case Kind::Cluster: {
      const auto cluster = parse<spec::Cluster>(object);
      if (!cluster) return std::nullopt;
      return std::vector<NodeName>{};
    }
    case Kind::Module: {
      const auto module = parse<spec::Module>(object);
      if (!module) return std::nullopt;
      return module->nodes;
    }
  }
  return std::nullopt;
}

std::shared_ptr<const spec::Cluster> Store::cluster() const {
  return parsed_once(impl_->find(kClusterKey), impl_->clusters);
}

std::shared_ptr<const spec::Module> Store::module(const ModuleName& name) const {
  return parsed_once(impl_->find({Kind::Module, name.str()}), impl_->modules);
}

std::vector<ModuleName> Store::local_modules() const {
  std::vector<ModuleName> found;
  for (const auto& [key, stored] : impl_->objects) {
    if (key.kind != Kind::Module) continue;
    const auto module = this->module(ModuleName{key.name});
    if (module && names(*module, node_)) found.emplace_back(key.name);
  }
  return found;
}

}  // namespace safekit::store
