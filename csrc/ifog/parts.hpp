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

// Rows `first`, `first + spacing` and so on, `count` of them.
struct Share {
    std::size_t first = 0, spacing = 1, count = 0;
    // How many of them lie below `end`.
    [[nodiscard]] constexpr std::size_t below(std::size_t end) const {
        if (end <= first) return 0;
        const std::size_t most = (end - first + spacing - 1) / spacing;
        return most < count ? most : count;
    }
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
