// What the innermost loops look like from outside: one table of functions for each instruction set.
//
// Owns the names of elementwise operations, the layout of packed weights and the signatures. Every table is filled by
// the same sources (csrc/isa), compiled once for each instruction set. Never allocates, never starts a thread.
//
// Numbers are row-major; strides are distances between rows, counted in elements.

#pragma once

#include <cstddef>
#include <cstdint>

namespace ifog {

// Weakest first: a set includes all before it.
enum class Isa : std::uint8_t { portable, avx2, avx512, avx512_vnni, avx512_bf16, amx_bf16 };

using bf16 = std::uint16_t; // the upper half of a float

// What matrix products multiply. The order is that of src/ifog/compiler/registers.py.
enum class Number : std::uint8_t { fp32, bf16, int16 };

// Numbers of a row, or weights of a column, that share one scale where products are of 16-bit integers.
inline constexpr std::size_t fixed_group = 64;

// --- elementwise ----------------------------------------------------------------------------------------------------

// A rectangle of floats: `stride` from row to row, 0 where all rows are the same one.
struct Tile {
    float* data;
    std::ptrdiff_t stride;
};

// out = f(a, b, c) on rows x columns; `out` may be the same tile as an argument, but not overlap one otherwise.
// Arguments that the operation does not have are ignored.
using Elementwise = void (*)(Tile out, Tile a, Tile b, Tile c, std::size_t rows, std::size_t columns);

// The order is that of src/ifog/compiler/registers.py, which a test compares.
enum class Op : std::uint16_t {
    // arithmetic
    add, sub, mul, div, neg, square, sqrt, exp, log,
    // squashing
    sigmoid, tanh, relu, softplus, erf, sin, cos, sigmoid_back, tanh_back,
    // comparisons: as PyTorch's where one argument is NaN (maximum and minimum give NaN, step and share give 0)
    abs, sign, step, share, maximum, minimum,
    // a b + c, and c - a b; what the compiler fuses
    fma, fnma,
    // a != 0 ? b : c, where `a` has one column
    select,
    // rows that change width or type
    copy,        // out = a
    broadcast,   // every column of a row of `out` is the one column of the row of `a`
    load_bf16,   // `a.data` points at bf16, `a.stride` counts bf16
    store_bf16,  // `out.data` points at bf16, rounded to nearest even, NaN kept
    round_bf16,  // floats, rounded to what a bf16 can hold
    accumulate,  // the one row of `out` += the sum of all rows of `a`
    accumulate_product, // the one row of `out` += the sum of all rows of a b
    count
};

// Operations between rows of different widths. `out` has `rows` rows; the widths are those of out, a and b.
using Rowwise = void (*)(Tile out, Tile a, Tile b, std::size_t rows, std::size_t out_columns, std::size_t a_columns,
                         std::size_t b_columns, std::ptrdiff_t first, std::ptrdiff_t second);

enum class RowOp : std::uint16_t {
    row_sum,  // of `first` equal runs of columns, one sum each
    row_max,  // likewise, NaN where a run has one
    repeat,   // each column `first` times: a a b b
    tile,     // the row `first` times: a b a b
    tile_sum, // the sum of `first` equal parts of the row
    part,     // columns from `first` to `second`
    pad,      // `first` zeros before, `second` zeros after
    concat,   // a, then b
    dot,      // the sum of a b over `first` equal runs of columns, one for each run
    count
};

// --- matrix products ------------------------------------------------------------------------------------------------

// Rows that multiply a part of a packed matrix. A product with several operands, W a + V b, is one walk over both.
struct Operand {
    const void* rows; // in the product's type, `depth` of them in each row
    std::ptrdiff_t stride;
    std::size_t depth;
};

// C[r, j] = sum over operands and depth of operand[r, k] * W[j, k], for rows r and all columns j of one or more panels.
//
// `packed` is what `pack` wrote, from the first panel wanted on. C may be written up to its columns rounded up to
// `lanes`: in every row there is room for that much.
// In the bf16 form rows are read, and rows of C written, up to a multiple of 16 (there is room), and each operand's
// depth is a multiple of 32, the padding holding finite numbers in the rows and zero in the weights. In the int16 form
// rows are what `store_int16` wrote.
using MatMul = void (*)(const Operand* operands, std::size_t operand_count, std::size_t rows, const void* packed,
                        std::size_t columns, float* C, std::ptrdiff_t ldc);

// Writes one operand's weights for all panels: W[j, k] = source[j * column_stride + k * depth_stride], float.
// `offset` is the sum of `spread` of the (padded) depths of the operands before this one, `depth_total` that of all.
using Pack = void (*)(void* packed, const float* source, std::ptrdiff_t column_stride, std::ptrdiff_t depth_stride,
                      std::size_t columns, std::size_t depth, std::size_t offset, std::size_t depth_total);

// out[c, r] = in[r, c] for `rows` rows and `columns` columns of `in`.
using Transpose = void (*)(float* out, std::ptrdiff_t out_stride, const float* in, std::ptrdiff_t in_stride,
                           std::size_t rows, std::size_t columns);

// One kind of product: its kernel, its packing and what they need.
struct Product {
    MatMul multiply;
    Pack pack;
    std::size_t panel;       // columns of a panel; the last one may be narrower, a multiple of `lanes`
    std::size_t lanes;       // columns are padded to a multiple of this
    std::size_t depth_align; // depths are padded to a multiple of this
    std::size_t row_align;   // rows are read and written up to a multiple of this
    std::size_t bytes;       // of one packed weight, and of a number in a row
    std::size_t group;       // depths that share a scale, kept behind them; 0: there are no scales

    // How many numbers a row of this depth takes, or a column of packed weights: the scales are as wide as two.
    [[nodiscard]] constexpr std::size_t spread(std::size_t depth) const {
        return group == 0 ? depth : depth + (depth + group - 1) / group * 2;
    }
    // Columns are cut between threads at multiples of this.
    [[nodiscard]] constexpr std::size_t unit() const { return panel > group ? panel : group; }
};

struct Kernels {
    Isa isa;
    Product fp32;
    Product half;  // operands are bf16 where `native_half`; otherwise floats that `round_bf16` made, and fp32 kernels
    Product fixed; // of 16-bit integers
    bool native_half, native_fixed; // whether these are faster than fp32
    const Elementwise* elementwise; // by Op
    const Rowwise* rowwise;         // by RowOp
    Transpose transpose;
    Elementwise store_int16;
    void (*enter)();                // once by each thread before it uses the tables: tiles, denormals
    void (*leave)();                // and after

    [[nodiscard]] constexpr const Product& product(Number number) const {
        return number == Number::fp32 ? fp32 : number == Number::bf16 ? half : fixed;
    }
    // Makes an operand's rows of floats, from a column on that begins a group.
    [[nodiscard]] constexpr Elementwise store(Number number) const {
        if (number == Number::int16) return store_int16;
        const Op op = number == Number::fp32 ? Op::copy : native_half ? Op::store_bf16 : Op::round_bf16;
        return elementwise[static_cast<std::size_t>(op)];
    }
};

// The table for an instruction set, or null where this build does not have it.
const Kernels* kernels(Isa isa);

} // namespace ifog
