// How lengths are rounded up and cut between threads.

#pragma once

#include <cstddef>

namespace ifog {

constexpr std::size_t line = 16; // floats of a cache line

constexpr std::size_t padded(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

struct Part {
    std::size_t begin = 0, end = 0;
    [[nodiscard]] constexpr std::size_t size() const { return end - begin; }
};

// Number `index` of `count` nearly equal parts.
constexpr Part part_of(std::size_t whole, std::size_t index, std::size_t count) {
    return {whole * index / count, whole * (index + 1) / count};
}

// Likewise in units, all of them whole but the last.
constexpr Part part_of(std::size_t whole, std::size_t index, std::size_t count, std::size_t unit) {
    const Part units = part_of((whole + unit - 1) / unit, index, count);
    const std::size_t end = units.end * unit;
    return {units.begin * unit < whole ? units.begin * unit : whole, end < whole ? end : whole};
}

} // namespace ifog
