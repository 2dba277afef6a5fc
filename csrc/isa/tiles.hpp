// Products of bf16 with the tile instructions (AMX). Included by isa/bf16.cpp only.
//
// Even one row goes through them: a tile of weights takes 16 cycles whatever the number of rows, the dot product of
// pairs 32 for each row (Sapphire Rapids starts one every other cycle), and either may wait for memory before that. It
// also keeps a row's result independent of how many rows there are.
//
// Tiles are always 16 rows of 64 bytes, so that a thread configures them once: rows behind the last are computed too,
// and stored where the interface promises room. Tiles 0 to 3 hold sums, the others what is multiplied. The numbers of
// tiles are part of the instructions and have to be literals.

#pragma once

#include "isa/matmul.hpp"

namespace ifog::IFOG_ISA {

inline constexpr std::size_t tile_rows = 16;

// The layout that LDTILECFG reads. The object is a constant because GCC tells the compiler only of its first bytes
// that they are read: stores into a local one could be dropped.
struct TileConfiguration {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);
alignas(64) static constexpr TileConfiguration tile_configuration;

static inline void configure_tiles() { _tile_loadconfig(&tile_configuration); }

// 16 rows from `row` on times the first `Tiles` tiles of a panel, into C from `column` on.
template <std::size_t Tiles>
static void one_row_of_tiles(const Job& job, std::size_t row, std::size_t column, const bf16* packed) {
    _tile_zero(0);
    if constexpr (Tiles > 1) _tile_zero(1);
    if constexpr (Tiles > 2) _tile_zero(2);
    if constexpr (Tiles > 3) _tile_zero(3);
    for (std::size_t i = 0; i < job.operand_count; ++i) {
        const Operand& operand = job.operands[i];
        const bf16* a = static_cast<const bf16*>(operand.rows) + static_cast<std::ptrdiff_t>(row) * operand.stride;
        const std::ptrdiff_t bytes = operand.stride * static_cast<std::ptrdiff_t>(sizeof(bf16));
        for (std::size_t k = 0; k < operand.depth; k += tile_depth, a += tile_depth, packed += Tiles * tile_size) {
            _tile_loadd(4, a, bytes);
            _tile_loadd(5, packed, 64);
            _tile_dpbf16ps(0, 4, 5);
            if constexpr (Tiles > 1) {
                _tile_loadd(6, packed + tile_size, 64);
                _tile_dpbf16ps(1, 4, 6);
            }
            if constexpr (Tiles > 2) {
                _tile_loadd(7, packed + 2 * tile_size, 64);
                _tile_dpbf16ps(2, 4, 7);
            }
            if constexpr (Tiles > 3) {
                _tile_loadd(5, packed + 3 * tile_size, 64);
                _tile_dpbf16ps(3, 4, 5);
            }
        }
    }
    float* out = job.C + static_cast<std::ptrdiff_t>(row) * job.ldc + column;
    const std::ptrdiff_t bytes = job.ldc * static_cast<std::ptrdiff_t>(sizeof(float));
    _tile_stored(0, out, bytes);
    if constexpr (Tiles > 1) _tile_stored(1, out + lanes, bytes);
    if constexpr (Tiles > 2) _tile_stored(2, out + 2 * lanes, bytes);
    if constexpr (Tiles > 3) _tile_stored(3, out + 3 * lanes, bytes);
}

// 32 rows times one or two tiles of a panel, which is `step` weights from a block of depth to the next.
template <std::size_t Tiles>
static void two_rows_of_tiles(const Job& job, std::size_t row, std::size_t column, const bf16* packed,
                              std::size_t step) {
    _tile_zero(0);
    _tile_zero(2);
    if constexpr (Tiles > 1) {
        _tile_zero(1);
        _tile_zero(3);
    }
    for (std::size_t i = 0; i < job.operand_count; ++i) {
        const Operand& operand = job.operands[i];
        const bf16* a = static_cast<const bf16*>(operand.rows) + static_cast<std::ptrdiff_t>(row) * operand.stride;
        const bf16* below = a + static_cast<std::ptrdiff_t>(tile_rows) * operand.stride;
        const std::ptrdiff_t bytes = operand.stride * static_cast<std::ptrdiff_t>(sizeof(bf16));
        for (std::size_t k = 0; k < operand.depth; k += tile_depth, packed += step) {
            _tile_loadd(4, a + k, bytes);
            _tile_loadd(6, packed, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(5, below + k, bytes);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (Tiles > 1) {
                _tile_loadd(7, packed + tile_size, 64);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
    float* out = job.C + static_cast<std::ptrdiff_t>(row) * job.ldc + column;
    float* out_below = out + static_cast<std::ptrdiff_t>(tile_rows) * job.ldc;
    const std::ptrdiff_t bytes = job.ldc * static_cast<std::ptrdiff_t>(sizeof(float));
    _tile_stored(0, out, bytes);
    _tile_stored(2, out_below, bytes);
    if constexpr (Tiles > 1) {
        _tile_stored(1, out + lanes, bytes);
        _tile_stored(3, out_below + lanes, bytes);
    }
}

// One panel of `tiles` tiles, for the rows of tiles from `first` up to `last`.
static void panel_of_tiles(const Job& job, std::size_t first, std::size_t last, std::size_t column, const bf16* packed,
                           std::size_t tiles) {
    std::size_t row = first;
    for (; row + 1 < last; row += 2) {
        for (std::size_t t = 0; t < tiles; t += 2) {
            const auto block = t + 1 < tiles ? two_rows_of_tiles<2> : two_rows_of_tiles<1>;
            block(job, row * tile_rows, column + t * lanes, packed + t * tile_size, tiles * tile_size);
        }
    }
    if (row == last) return;
    constexpr decltype(&one_row_of_tiles<1>) blocks[] = {one_row_of_tiles<1>, one_row_of_tiles<2>, one_row_of_tiles<3>,
                                                         one_row_of_tiles<4>};
    blocks[tiles - 1](job, row * tile_rows, column, packed);
}

static void multiply_tiles(const Operand* operands, std::size_t operand_count, std::size_t rows, const void* packed,
                           std::size_t columns, float* C, std::ptrdiff_t ldc) {
    const std::size_t depth = depth_of<DotKernel>(operands, operand_count);
    const Job job{operands, operand_count, C, ldc, panel_columns * depth};
    const std::size_t count = (rows + tile_rows - 1) / tile_rows;
    // even, so that only the very last row of tiles is without a neighbour
    const std::size_t chunk = round_up(chunk_of(count, 4, tile_rows * depth * sizeof(bf16)), 2);

    for (std::size_t first = 0; first < count; first += chunk) {
        const std::size_t last = smaller(count, first + chunk);
        const bf16* weights = static_cast<const bf16*>(packed);
        for (std::size_t column = 0; column < columns; column += panel_columns, weights += job.panel_size) {
            const std::size_t tiles = (smaller(columns - column, panel_columns) + lanes - 1) / lanes;
            panel_of_tiles(job, first, last, column, weights, tiles);
        }
    }
}

} // namespace ifog::IFOG_ISA
