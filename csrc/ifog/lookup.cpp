#include <algorithm>
#include <vector>

#include "ifog/projection.hpp"

namespace ifog {

namespace {

constexpr std::size_t stretch = 512; // columns that are converted at a time

} // namespace

void fill_table(const Lookup& lookup, float* table, std::size_t thread, std::size_t threads) {
    const auto* weight = reinterpret_cast<const float*>(lookup.weight.data);
    const std::size_t begin = lookup.columns * thread / threads;
    const std::size_t end = lookup.columns * (thread + 1) / threads;
    // squares of the matrix at a time: one side is read along its rows, the other written along them
    constexpr std::size_t side = 16;
    for (std::size_t j0 = begin; j0 < end; j0 += side)
        for (std::size_t k0 = 0; k0 < lookup.vocabulary; k0 += side)
            for (std::size_t k = k0; k < std::min(k0 + side, lookup.vocabulary); ++k)
                for (std::size_t j = j0; j < std::min(j0 + side, end); ++j)
                    table[k * lookup.columns + j] = weight[static_cast<std::ptrdiff_t>(j) * lookup.weight.column_stride +
                                                           static_cast<std::ptrdiff_t>(k) * lookup.weight.depth_stride];
}

void look_up(const Lookup& lookup, const float* table, const Kernels& kernels, std::size_t begin, std::size_t end) {
    const auto* ids = reinterpret_cast<const std::int64_t*>(lookup.ids);
    const auto move = kernels.elementwise[static_cast<std::size_t>(lookup.out.half ? Op::store_bf16 : Op::copy)];
    for (std::size_t row = begin; row < end; ++row) {
        const float* from = table + static_cast<std::size_t>(ids[row]) * lookup.columns;
        const Tile source{const_cast<float*>(from), 0};
        move(tile(lookup.out, row, 0), source, source, source, 1, lookup.columns);
    }
}

void scatter_add(const Scatter& scatter, const Kernels& kernels, std::size_t row_count, std::size_t begin,
                 std::size_t end) {
    const auto* ids = reinterpret_cast<const std::int64_t*>(scatter.ids);
    auto* table = reinterpret_cast<float*>(scatter.table);
    const auto op = [&](Op which) { return kernels.elementwise[static_cast<std::size_t>(which)]; };
    std::vector<float> floats(stretch);
    const Tile wide{floats.data(), 0};
    for (std::size_t row = 0; row < row_count; ++row) {
        for (std::size_t column = begin; column < end; column += stretch) {
            const std::size_t columns = std::min(stretch, end - column);
            const Tile to{table + static_cast<std::size_t>(ids[row]) * scatter.columns + column, 0};
            Tile from = tile(scatter.rows, row, column);
            if (scatter.rows.half) {
                op(Op::load_bf16)(wide, from, from, from, 1, columns);
                from = wide;
            }
            op(Op::add)(to, to, from, from, 1, columns);
        }
    }
}

} // namespace ifog
