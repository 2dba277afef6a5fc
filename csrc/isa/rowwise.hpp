// Operations between rows of different widths: sums, maxima, repetitions, cutting and joining.
//
// Included by the sources of csrc/isa only, like vector.hpp.

#pragma once

#include <utility>

#include "ifog/kernels.hpp"
#include "isa/vector.hpp"

namespace ifog::IFOG_ISA {

static inline void copy_run(float* out, const float* a, std::size_t columns) {
    std::size_t j = 0;
    for (; j + lanes <= columns; j += lanes) store(out + j, load(a + j));
    if (j < columns) store_first(out + j, load_first(a + j, columns - j), columns - j);
}

static inline void fill_run(float* out, Vector value, std::size_t columns) {
    std::size_t j = 0;
    for (; j + lanes <= columns; j += lanes) store(out + j, value);
    if (j < columns) store_first(out + j, value, columns - j);
}

// out = the sum of `count` rows of `a`, or of a b, plus what `out` held before where `onto`: `wide` vectors at a time.
template <bool onto, bool products, std::size_t wide>
static inline void add_columns(float* out, const float* a, std::ptrdiff_t stride, const float* b,
                               std::ptrdiff_t b_stride, std::size_t count) {
    Vector sums[wide];
#pragma GCC unroll 4
    for (std::size_t k = 0; k < wide; ++k) sums[k] = onto ? load(out + k * lanes) : Vector{};
    for (std::size_t i = 0; i < count; ++i, a += stride, b += b_stride) {
#pragma GCC unroll 4
        for (std::size_t k = 0; k < wide; ++k) {
            const Vector x = load(a + k * lanes);
            sums[k] = products ? fma(x, load(b + k * lanes), sums[k]) : sums[k] + x;
        }
    }
#pragma GCC unroll 4
    for (std::size_t k = 0; k < wide; ++k) store(out + k * lanes, sums[k]);
}

template <bool onto, bool products = false>
static inline void add_rows(float* out, const float* a, std::ptrdiff_t stride, std::size_t count, std::size_t columns,
                            const float* b = nullptr, std::ptrdiff_t b_stride = 0) {
    constexpr std::size_t block = 4;
    if constexpr (!products) b = a;
    std::size_t j = 0;
    for (; j + block * lanes <= columns; j += block * lanes)
        add_columns<onto, products, block>(out + j, a + j, stride, b + j, b_stride, count);
    for (; j + lanes <= columns; j += lanes)
        add_columns<onto, products, 1>(out + j, a + j, stride, b + j, b_stride, count);
    if (const std::size_t left = columns - j) {
        Vector sum = onto ? load_first(out + j, left) : Vector{};
        for (std::size_t i = 0; i < count; ++i, a += stride, b += b_stride) {
            const Vector x = load_first(a + j, left);
            sum = products ? fma(x, load_first(b + j, left), sum) : sum + x;
        }
        store_first(out + j, sum, left);
    }
}

// --- sums and maxima of runs ----------------------------------------------------------------------------------------

struct Summing {
    static constexpr float start = 0.0F;
    static inline Vector join(Vector a, Vector b) { return a + b; }
    static inline float join(float a, float b) { return a + b; }
};

struct Maximising {
    static constexpr float start = -__builtin_inff();
    static inline Vector join(Vector a, Vector b) { return a != a ? a : largest(a, b); }
    static inline float join(float a, float b) { return a != a || a > b ? a : b; }
};

// Lanes `step` apart change places.
template <std::size_t step, std::size_t... lane>
static inline Vector lanes_swapped(Vector v, std::index_sequence<lane...>) {
    return __builtin_shufflevector(v, v, (lane ^ step)...);
}

// Halves on halves, as a tree.
template <class How, std::size_t step = lanes / 2> static inline float joined(Vector v) {
    if constexpr (step == 0) return v[0];
    else return joined<How, step / 2>(How::join(v, lanes_swapped<step>(v, std::make_index_sequence<lanes>{})));
}

template <class How> static inline float reduce(const float* a, std::size_t columns) {
    float result = How::start;
    std::size_t j = 0;
    if (columns >= lanes) {
        Vector first = splat(How::start), second = first;
        for (; j + 2 * lanes <= columns; j += 2 * lanes) {
            first = How::join(first, load(a + j));
            second = How::join(second, load(a + j + lanes));
        }
        if (j + lanes <= columns) {
            first = How::join(first, load(a + j));
            j += lanes;
        }
        result = joined<How>(How::join(first, second));
    }
    for (; j < columns; ++j) result = How::join(result, a[j]);
    return result;
}

template <class How>
static void reduce_rows(Tile out, Tile a, Tile, std::size_t rows, std::size_t, std::size_t a_columns, std::size_t,
                        std::ptrdiff_t first, std::ptrdiff_t) {
    const auto groups = static_cast<std::size_t>(first);
    const std::size_t run = a_columns / groups;
    for (std::size_t i = 0; i < rows; ++i, out.data += out.stride, a.data += a.stride)
        for (std::size_t g = 0; g < groups; ++g) out.data[g] = reduce<How>(a.data + g * run, run);
}

// Four sums at once: a sum waits for its own last addition.
static inline float dot_run(const float* a, const float* b, std::size_t columns) {
    constexpr std::size_t block = 4;
    Vector sums[block] = {};
    std::size_t j = 0;
    for (; j + block * lanes <= columns; j += block * lanes) {
#pragma GCC unroll 4
        for (std::size_t k = 0; k < block; ++k)
            sums[k] = fma(load(a + j + k * lanes), load(b + j + k * lanes), sums[k]);
    }
    for (; j + lanes <= columns; j += lanes) sums[0] = fma(load(a + j), load(b + j), sums[0]);
    if (const std::size_t left = columns - j) sums[1] = fma(load_first(a + j, left), load_first(b + j, left), sums[1]);
    return joined<Summing>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

static void dot(Tile out, Tile a, Tile b, std::size_t rows, std::size_t, std::size_t a_columns, std::size_t,
                std::ptrdiff_t first, std::ptrdiff_t) {
    const auto groups = static_cast<std::size_t>(first);
    const std::size_t run = a_columns / groups;
    for (std::size_t i = 0; i < rows; ++i, out.data += out.stride, a.data += a.stride, b.data += b.stride)
        for (std::size_t g = 0; g < groups; ++g) out.data[g] = dot_run(a.data + g * run, b.data + g * run, run);
}

// --- repeating ------------------------------------------------------------------------------------------------------

static void repeat(Tile out, Tile a, Tile, std::size_t rows, std::size_t, std::size_t a_columns, std::size_t,
                   std::ptrdiff_t first, std::ptrdiff_t) {
    const auto times = static_cast<std::size_t>(first);
    for (std::size_t i = 0; i < rows; ++i, out.data += out.stride, a.data += a.stride) {
        float* to = out.data;
        for (std::size_t j = 0; j < a_columns; ++j, to += times) fill_run(to, splat(a.data[j]), times);
    }
}

static void tile(Tile out, Tile a, Tile, std::size_t rows, std::size_t, std::size_t a_columns, std::size_t,
                 std::ptrdiff_t first, std::ptrdiff_t) {
    const auto times = static_cast<std::size_t>(first);
    for (std::size_t i = 0; i < rows; ++i, out.data += out.stride, a.data += a.stride)
        for (std::size_t k = 0; k < times; ++k) copy_run(out.data + k * a_columns, a.data, a_columns);
}

static void tile_sum(Tile out, Tile a, Tile, std::size_t rows, std::size_t out_columns, std::size_t, std::size_t,
                     std::ptrdiff_t first, std::ptrdiff_t) {
    for (std::size_t i = 0; i < rows; ++i, out.data += out.stride, a.data += a.stride)
        add_rows<false>(out.data, a.data, static_cast<std::ptrdiff_t>(out_columns), static_cast<std::size_t>(first),
                        out_columns);
}

// --- cutting and joining --------------------------------------------------------------------------------------------

static void part(Tile out, Tile a, Tile, std::size_t rows, std::size_t, std::size_t, std::size_t, std::ptrdiff_t first,
                 std::ptrdiff_t second) {
    for (std::size_t i = 0; i < rows; ++i, out.data += out.stride, a.data += a.stride)
        copy_run(out.data, a.data + first, static_cast<std::size_t>(second - first));
}

static void pad(Tile out, Tile a, Tile, std::size_t rows, std::size_t, std::size_t a_columns, std::size_t,
                std::ptrdiff_t first, std::ptrdiff_t second) {
    for (std::size_t i = 0; i < rows; ++i, out.data += out.stride, a.data += a.stride) {
        fill_run(out.data, Vector{}, static_cast<std::size_t>(first));
        copy_run(out.data + first, a.data, a_columns);
        fill_run(out.data + first + a_columns, Vector{}, static_cast<std::size_t>(second));
    }
}

static void concat(Tile out, Tile a, Tile b, std::size_t rows, std::size_t, std::size_t a_columns,
                   std::size_t b_columns, std::ptrdiff_t, std::ptrdiff_t) {
    for (std::size_t i = 0; i < rows; ++i, out.data += out.stride, a.data += a.stride, b.data += b.stride) {
        copy_run(out.data, a.data, a_columns);
        copy_run(out.data + a_columns, b.data, b_columns);
    }
}

extern const Rowwise rowwise_table[];
const Rowwise rowwise_table[] = {reduce_rows<Summing>, reduce_rows<Maximising>, repeat, tile, tile_sum, part, pad,
                                 concat, dot};
static_assert(sizeof rowwise_table / sizeof *rowwise_table == static_cast<std::size_t>(RowOp::count));

} // namespace ifog::IFOG_ISA
