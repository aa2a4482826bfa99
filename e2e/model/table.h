#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>

namespace safekit::model {

/// Values by number: equal ones have the same number. `Key` of a value is a text that tells it from every other. Never shrinks.
template <class T>
class Table {
 public:
  std::uint32_t number_of(const T& value, std::string key) {
    const auto [found, is_new] = numbers_.try_emplace(std::move(key), static_cast<std::uint32_t>(values_.size()));
    if (is_new) values_.push_back(value);
    return found->second;
  }
  [[nodiscard]] const T& operator[](std::uint32_t number) const { return values_[number]; }
  [[nodiscard]] std::size_t size() const { return values_.size(); }

 private:
  std::deque<T> values_{};
  std::unordered_map<std::string, std::uint32_t> numbers_{};
};

}  // namespace safekit::model
