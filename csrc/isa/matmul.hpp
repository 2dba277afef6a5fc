// Matrix products of floats: the weights are packed into panels, a block of rows times a panel stays in registers.
//
// Included by the sources of csrc/isa only, each for its own instruction set: see isa/vector.hpp. Gives `fp32_product`
// and `rounded_product`; the latter's weights are rounded to what a bf16 can hold.
//
// Packed: panel after panel, each [depth_total][width]. The width is `panel`, that of the last panel what is left over,
// rounded up to `lanes` with zeros. Panel p therefore begins at p * panel * depth_total.
//
// Every sum is one chain of multiply-adds in the order of depth. What a row gives does not depend on which rows and
// columns are computed with it, so that neither the batch nor the number of threads changes a result.

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "ifog/kernels.hpp"
#include "isa/vector.hpp"

namespace ifog::IFOG_ISA {

// The accumulators, one row's vectors of weights and one broadcast number fill the registers: 32, 16 and 16 of them.
#if defined(__AVX512F__)
inline constexpr std::size_t block_rows = 6, panel_vectors = 4;
#elif defined(__AVX2__)
inline constexpr std::size_t block_rows = 6, panel_vectors = 2;
#else
inline constexpr std::size_t block_rows = 4, panel_vectors = 2;
#endif
inline constexpr std::size_t panel_columns = panel_vectors * lanes;

// Rows that all panels pass over before the next rows are fetched: this many bytes of them stay in the second cache.
inline constexpr std::size_t chunk_bytes = 256 * 1024;

// Blocks as high as this have time to fetch the next panel from the third cache while they compute: with 16 to 64 rows
// a third of the time went into waiting for it. Lower ones are all the rows there are, or nearly.
inline constexpr std::size_t fetching_rows = 4;
inline constexpr std::size_t line_bytes = 64;

static inline std::size_t smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }
static inline std::size_t larger(std::size_t a, std::size_t b) { return a < b ? b : a; }
static inline std::size_t round_up(std::size_t a, std::size_t b) { return (a + b - 1) / b * b; }

template <class Kernel>
static inline std::size_t depth_of(const Operand* operands, std::size_t count) {
    std::size_t depth = 0;
    for (std::size_t i = 0; i < count; ++i) depth += Kernel::spread(operands[i].depth);
    return depth;
}

// How many of `count` blocks of rows go over all panels together: chunks of one size, so that none is left over for
// which the weights would be fetched again; deep rows are too large for the cache in any case, hence `least`.
static inline std::size_t chunk_of(std::size_t count, std::size_t least, std::size_t block_bytes) {
    const std::size_t ideal = larger(least, chunk_bytes / larger(1, block_bytes));
    const std::size_t chunks = larger(1, (count + ideal / 2) / ideal);
    return larger(1, (count + chunks - 1) / chunks);
}

// --- multiply -------------------------------------------------------------------------------------------------------

// What stays the same over all blocks of one call.
struct Job {
    const Operand* operands;
    std::size_t operand_count;
    float* C;
    std::ptrdiff_t ldc;
    std::size_t panel_size; // packed weights from one full panel to the next
};

// Which part of C a block computes, and what it fetches on the way: one line of memory at every step of its depth.
struct Place {
    std::size_t row, column;
    const char* ahead;
    std::size_t ahead_step; // 0 where there is nothing to fetch
};

// Into the second cache.
static inline void fetch(const char*& ahead, std::size_t step) {
    __builtin_prefetch(ahead, 0, 2);
    ahead += step;
}

// Keeps numbers in the register they were loaded into: GCC would rather load them again for each of two rows, which
// with weights from the second cache takes half as long again.
template <class Register>
static inline void keep([[maybe_unused]] Register& v) {
#if defined(__x86_64__)
    __asm__("" : "+v"(v));
#endif
}

// The lines of C that a block will write: to have them by then, for they come from far where C is large.
template <std::size_t Rows, std::size_t Vectors>
static inline void fetch_results(const Job& job, const Place& place) {
    for (std::size_t r = 0; r < Rows; ++r) {
        const float* out = job.C + static_cast<std::ptrdiff_t>(place.row + r) * job.ldc + place.column;
        for (std::size_t v = 0; v < Vectors; v += line_bytes / sizeof(Vector)) __builtin_prefetch(out + v * lanes, 1);
    }
}

// What a block summed, into C.
template <std::size_t Rows, std::size_t Vectors>
static inline void store_sums(const Job& job, const Place& place, const Vector (&sum)[Rows][Vectors]) {
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
        float* out = job.C + static_cast<std::ptrdiff_t>(place.row + r) * job.ldc + place.column;
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) store(out + v * lanes, sum[r][v]);
    }
}

// Sums of floats. A kernel has blocks for all sizes; this form of it is what `walk` below takes.
struct FloatKernel {
    using Weight = float;
    static constexpr std::size_t step = 1; // depths that one vector of weights holds
    static constexpr std::size_t spread(std::size_t depth) { return depth; } // as Product::spread

    // `Rows` rows times `Panels` neighbouring panels of `Vectors` vectors.
    template <std::size_t Rows, std::size_t Vectors, std::size_t Panels>
    static void block(const Job& job, const Place& place, const float* packed) {
        const char* ahead = place.ahead;
        if constexpr (Rows >= fetching_rows) fetch_results<Rows, Panels * Vectors>(job, place);
        Vector sum[Rows][Panels * Vectors] = {};
        for (std::size_t i = 0; i < job.operand_count; ++i) {
            const Operand& operand = job.operands[i];
            const std::ptrdiff_t stride = operand.stride;
            const float* a = static_cast<const float*>(operand.rows) + static_cast<std::ptrdiff_t>(place.row) * stride;
            for (std::size_t k = 0; k < operand.depth; ++k, ++a, packed += Vectors * lanes) {
                if constexpr (Rows >= fetching_rows) fetch(ahead, place.ahead_step);
#pragma GCC unroll 8
                for (std::size_t p = 0; p < Panels; ++p) {
                    Vector weights[Vectors];
#pragma GCC unroll 8
                    for (std::size_t v = 0; v < Vectors; ++v) {
                        weights[v] = load(packed + p * job.panel_size + v * lanes);
                        if constexpr (Rows > 1) keep(weights[v]);
                    }
#pragma GCC unroll 8
                    for (std::size_t r = 0; r < Rows; ++r) {
                        const Vector x = splat(a[static_cast<std::ptrdiff_t>(r) * stride]);
#pragma GCC unroll 8
                        for (std::size_t v = 0; v < Vectors; ++v) {
                            sum[r][p * Vectors + v] = fma(x, weights[v], sum[r][p * Vectors + v]);
                        }
                    }
                }
            }
        }
        store_sums(job, place, sum);
    }
};

template <class Weight>
using Block = void (*)(const Job&, const Place&, const Weight* packed);

// Panels that few rows take at once: a CPU that starts two multiply-adds a cycle and waits four for each needs eight
// that don't wait for each other.
static constexpr std::size_t panels_at_once(std::size_t rows) {
    return rows * panel_vectors >= 8 ? 1 : 8 / (rows * panel_vectors);
}

template <class Kernel>
struct Blocks {
    Block<typename Kernel::Weight> one_panel[block_rows][panel_vectors]; // by rows - 1 and vectors - 1
    Block<typename Kernel::Weight> panels[block_rows];                   // by rows - 1: `panels_at_once`, all full
};

template <class Kernel, std::size_t... Row>
static constexpr Blocks<Kernel> all_blocks(std::index_sequence<Row...>) {
    Blocks<Kernel> blocks{};
    constexpr auto fill = []<std::size_t R, std::size_t... V>(auto* out, std::index_sequence<R>,
                                                              std::index_sequence<V...>) {
        ((out[V] = Kernel::template block<R, V + 1, 1>), ...);
    };
    (fill(blocks.one_panel[Row], std::index_sequence<Row + 1>{}, std::make_index_sequence<panel_vectors>{}), ...);
    ((blocks.panels[Row] = Kernel::template block<Row + 1, panel_vectors, panels_at_once(Row + 1)>), ...);
    return blocks;
}

// Calls the blocks of a kernel for all rows and panels.
template <class Kernel>
static void walk(const Operand* operands, std::size_t operand_count, std::size_t rows, const void* packed,
                 std::size_t columns, float* C, std::ptrdiff_t ldc) {
    using Weight = typename Kernel::Weight;
    static constexpr Blocks<Kernel> blocks = all_blocks<Kernel>(std::make_index_sequence<block_rows>{});
    const std::size_t depth = depth_of<Kernel>(operands, operand_count);
    const Job job{operands, operand_count, C, ldc, panel_columns * depth};
    // Blocks of nearly equal height: a block of one row left over would cost as much as one of three.
    const std::size_t count = (rows + block_rows - 1) / block_rows;
    const std::size_t chunk = chunk_of(count, 8, block_rows * depth * sizeof(Weight));
    const std::size_t together = count == 1 ? panels_at_once(rows) : 1;

    // Each of the first blocks fetches its share of the next panel.
    const std::size_t share = depth / Kernel::step * line_bytes;
    const std::size_t shares = count > 1 && share > 0 ? job.panel_size * sizeof(Weight) / share : 0;

    for (std::size_t first = 0; first < count; first += chunk) {
        const std::size_t last = smaller(count, first + chunk);
        const Weight* weights = static_cast<const Weight*>(packed);
        for (std::size_t column = 0; column < columns;) {
            const std::size_t left = columns - column;
            const std::size_t panels = left >= together * panel_columns ? together : 1;
            const std::size_t vectors = (smaller(left, panel_columns) + lanes - 1) / lanes;
            for (std::size_t b = first; b < last; ++b) {
                const std::size_t row = b * rows / count;
                const std::size_t height = (b + 1) * rows / count - row;
                const bool fetches = b - first < shares && left >= 2 * panel_columns;
                const char* ahead = reinterpret_cast<const char*>(weights + (fetches ? job.panel_size : 0));
                const Place place{row, column, ahead + (fetches ? (b - first) * share : 0), fetches ? line_bytes : 0};
                const Block<Weight> block =
                    panels > 1 ? blocks.panels[height - 1] : blocks.one_panel[height - 1][vectors - 1];
                block(job, place, weights);
            }
            column += panels * panel_columns;
            weights += panels * job.panel_size;
        }
    }
}

// --- pack -----------------------------------------------------------------------------------------------------------

template <std::size_t Step, std::size_t... Lane>
static inline void exchange(Vector& low, Vector& high, std::index_sequence<Lane...>) {
    const Vector a = low, b = high;
    low = __builtin_shufflevector(a, b, ((Lane & Step) != 0 ? Lane - Step + lanes : Lane)...);
    high = __builtin_shufflevector(a, b, ((Lane & Step) != 0 ? Lane + lanes : Lane + Step)...);
}

// Swaps the off-diagonal squares of 1, 2, 4 ... lanes.
template <std::size_t Step = 1>
static inline void transpose(Vector* square) {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i) {
        if ((i & Step) == 0) exchange<Step>(square[i], square[i + Step], std::make_index_sequence<lanes>{});
    }
    if constexpr (Step * 2 < lanes) transpose<Step * 2>(square);
}

// Where a matrix of weights is: W[j, k] = data[j * column_stride + k * depth_stride].
struct Source {
    const float* data;
    std::ptrdiff_t column_stride, depth_stride;

    const float* at(std::size_t column, std::size_t k) const {
        return data + static_cast<std::ptrdiff_t>(column) * column_stride +
               static_cast<std::ptrdiff_t>(k) * depth_stride;
    }
};

static inline Vector load_up_to(const float* p, std::size_t n) { return n < lanes ? load_first(p, n) : load(p); }

// square[i] = W[column ..., k + i]; zeros behind the `columns` and `depth` that are left.
static inline void read_square(Vector* square, const Source& source, std::size_t column, std::size_t k,
                               std::size_t columns, std::size_t depth) {
    if (source.column_stride == 1) {
        for (std::size_t i = 0; i < lanes; ++i) {
            square[i] = i < depth ? load_up_to(source.at(column, k + i), columns) : Vector{};
        }
    } else if (source.depth_stride == 1) {
        for (std::size_t i = 0; i < lanes; ++i) {
            square[i] = i < columns ? load_up_to(source.at(column + i, k), depth) : Vector{};
        }
        transpose(square);
    } else {
        for (std::size_t i = 0; i < lanes; ++i) {
            square[i] = Vector{};
            if (i >= depth) continue;
            for (std::size_t j = 0; j < smaller(lanes, columns); ++j) square[i][j] = *source.at(column + j, k + i);
        }
    }
}

typedef std::uint32_t Bits __attribute__((vector_size(lanes * 4)));

// The nearest number that a bf16 can hold, ties to even; a NaN stays one.
static inline Vector nearest_bf16(Vector x) {
    const Bits bits = (Bits)x;
    const Bits rounded = bits + 0x7fff + ((bits >> 16) & 1);
    const Bits quiet = bits | 0x400000;
    const Bits is_nan = (Bits)(x != x);
    return (Vector)(((is_nan & quiet) | (~is_nan & rounded)) & 0xffff0000);
}

// Calls f(column, k) for the corner of every square, in an order that reads the source along its lines.
template <class F>
static inline void for_each_square(const Source& source, std::size_t columns, std::size_t depth, std::size_t height,
                                   F f) {
    if (source.column_stride == 1) {
        for (std::size_t k = 0; k < depth; k += height) {
            for (std::size_t column = 0; column < columns; column += lanes) f(column, k);
        }
    } else {
        for (std::size_t column = 0; column < columns; column += lanes) {
            for (std::size_t k = 0; k < depth; k += height) f(column, k);
        }
    }
}

template <bool Rounded>
static void pack(void* packed, const float* data, std::ptrdiff_t column_stride, std::ptrdiff_t depth_stride,
                 std::size_t columns, std::size_t depth, std::size_t offset, std::size_t depth_total) {
    const Source source{data, column_stride, depth_stride};
    for_each_square(source, columns, depth, lanes, [&](std::size_t column, std::size_t k) {
        Vector square[lanes];
        read_square(square, source, column, k, columns - column, depth - k);
        const std::size_t panel = column / panel_columns * panel_columns;
        const std::size_t width = smaller(panel_columns, round_up(columns - panel, lanes));
        float* out = static_cast<float*>(packed) + panel * depth_total + (offset + k) * width + (column - panel);
        const std::size_t rows = smaller(lanes, depth - k);
        for (std::size_t i = 0; i < rows; ++i) store(out + i * width, Rounded ? nearest_bf16(square[i]) : square[i]);
    });
}

// --- transpose ------------------------------------------------------------------------------------------------------

// out[c, r] = in[r, c]: rows outside, so that every page of `in` is visited once.
static void turn(float* out, std::ptrdiff_t out_stride, const float* in, std::ptrdiff_t in_stride, std::size_t rows,
                 std::size_t columns) {
    const Source source{in, 1, in_stride};
    for (std::size_t r = 0; r < rows; r += lanes) {
        const std::size_t height = smaller(lanes, rows - r);
        for (std::size_t c = 0; c < columns; c += lanes) {
            for (std::size_t i = 0; i < lanes; ++i) __builtin_prefetch(source.at(c, r + lanes + i));
            Vector square[lanes];
            read_square(square, source, c, r, columns - c, rows - r);
            transpose(square);
            for (std::size_t i = 0; i < smaller(lanes, columns - c); ++i) {
                float* const to = out + static_cast<std::ptrdiff_t>(c + i) * out_stride + r;
                height < lanes ? store_first(to, square[i], height) : store(to, square[i]);
            }
        }
    }
}

// --- products -------------------------------------------------------------------------------------------------------

static constexpr Product fp32_product = {walk<FloatKernel>, pack<false>, panel_columns, lanes, 1, 1, sizeof(float), 0};
static constexpr Product rounded_product = {walk<FloatKernel>, pack<true>, panel_columns, lanes, 1, 1, sizeof(float), 0};

} // namespace ifog::IFOG_ISA
