// The elementwise operations: one loop for all of them, and one line for each.
//
// Included by the sources of csrc/isa only, like vector.hpp.

#pragma once

#include "ifog/kernels.hpp"
#include "isa/functions.hpp"
#include "isa/narrow.hpp"
#include "isa/rowwise.hpp"
#include "isa/thread_state.hpp"
#include "isa/vector.hpp"

namespace ifog::IFOG_ISA {

// --- the loop -------------------------------------------------------------------------------------------------------

// `count` vectors at once, so that the latency of one hides behind the others; all are loaded before any is stored,
// since `out` may be an argument.
template <class F, std::size_t count>
static inline void vectors(float* out, const float* a, const float* b, const float* c) {
    Vector results[count];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = i * lanes;
        results[i] = F::apply(load(a + at), F::arguments > 1 ? load(b + at) : Vector{},
                              F::arguments > 2 ? load(c + at) : Vector{});
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < count; ++i) store(out + i * lanes, results[i]);
}

template <class F>
static inline void row(float* out, const float* a, const float* b, const float* c, std::size_t columns) {
    std::size_t i = 0;
    constexpr std::size_t step = F::unroll * lanes;
    for (; i + step <= columns; i += step) vectors<F, F::unroll>(out + i, a + i, b + i, c + i);
    for (; i + lanes <= columns; i += lanes) vectors<F, 1>(out + i, a + i, b + i, c + i);
    if (const std::size_t left = columns - i) {
        const Vector result = F::apply(load_first(a + i, left), F::arguments > 1 ? load_first(b + i, left) : Vector{},
                                       F::arguments > 2 ? load_first(c + i, left) : Vector{});
        store_first(out + i, result, left);
    }
}

template <class F> static void tiles(Tile out, Tile a, Tile b, Tile c, std::size_t rows, std::size_t columns) {
    const float* second = F::arguments > 1 ? b.data : nullptr;
    const float* third = F::arguments > 2 ? c.data : nullptr;
    const auto width = static_cast<std::ptrdiff_t>(columns);
    // Rows that follow each other without a gap are one long row, so that narrow ones need no tails.
    if (out.stride == width && a.stride == width && (F::arguments < 2 || b.stride == width) &&
        (F::arguments < 3 || c.stride == width)) {
        columns *= rows;
        rows = rows != 0;
    }
    for (std::size_t i = 0; i < rows; ++i) {
        row<F>(out.data, a.data, second, third, columns);
        out.data += out.stride;
        a.data += a.stride;
        if constexpr (F::arguments > 1) second += b.stride;
        if constexpr (F::arguments > 2) third += c.stride;
    }
}

// --- the operations -------------------------------------------------------------------------------------------------

template <std::size_t N> struct Simple {
    static constexpr std::size_t arguments = N, unroll = 4;
};
template <std::size_t N> struct Long {
    static constexpr std::size_t arguments = N, unroll = 2;
};

#define IFOG_OP(Name, Base, expression)                                                                               \
    struct Name : Base {                                                                                               \
        static inline Vector apply([[maybe_unused]] Vector a, [[maybe_unused]] Vector b, [[maybe_unused]] Vector c) { \
            return expression;                                                                                         \
        }                                                                                                              \
    }

IFOG_OP(Add, Simple<2>, a + b);
IFOG_OP(Sub, Simple<2>, a - b);
IFOG_OP(Mul, Simple<2>, a * b);
IFOG_OP(Div, Simple<2>, a / b);
IFOG_OP(Neg, Simple<1>, (Vector)((Integers)a ^ sign_bit));
IFOG_OP(Square, Simple<1>, a * a);
IFOG_OP(Sqrt, Simple<1>, square_root(a));
IFOG_OP(Exp, Long<1>, exp(a));
IFOG_OP(Log, Long<1>, log(a));

IFOG_OP(Sigmoid, Long<1>, sigmoid(a));
IFOG_OP(Tanh, Long<1>, tanh(a));
IFOG_OP(Relu, Simple<1>, largest(Vector{}, a));
IFOG_OP(Softplus, Long<1>, softplus(a));
IFOG_OP(Erf, Long<1>, erf(a));
IFOG_OP(Sin, Long<1>, sin(a));
IFOG_OP(Cos, Long<1>, cos(a));
IFOG_OP(SigmoidBack, Simple<2>, a * b * (1.0F - b));
IFOG_OP(TanhBack, Simple<2>, a * (1.0F - b * b));

// A comparison is -1 or 0 in all bits: `&` keeps or clears.
IFOG_OP(Abs, Simple<1>, absolute(a));
IFOG_OP(Sign, Simple<1>, (Vector)((a != 0.0F) & (a == a) & (((Integers)a & sign_bit) | (Integers)splat(1.0F))));
IFOG_OP(Step, Simple<1>, (Vector)((a > 0.0F) & (Integers)splat(1.0F)));
IFOG_OP(Share, Simple<2>, (Vector)((a > b) & (Integers)splat(0.5F)) + (Vector)((a >= b) & (Integers)splat(0.5F)));
IFOG_OP(Maximum, Simple<2>, a != a ? a : largest(a, b));
IFOG_OP(Minimum, Simple<2>, a != a ? a : smallest(a, b));

IFOG_OP(Fma, Simple<3>, fma(a, b, c));
IFOG_OP(Fnma, Simple<3>, fnma(a, b, c));
IFOG_OP(Copy, Simple<1>, a);
IFOG_OP(RoundBf16, Simple<1>, round_bf16(a));

#undef IFOG_OP

// --- those of another shape -----------------------------------------------------------------------------------------

static void select(Tile out, Tile a, Tile b, Tile c, std::size_t rows, std::size_t columns) {
    for (std::size_t i = 0; i < rows; ++i) {
        const auto at = static_cast<std::ptrdiff_t>(i);
        const Tile& taken = a.data[at * a.stride] != 0.0F ? b : c;
        row<Copy>(out.data + at * out.stride, taken.data + at * taken.stride, nullptr, nullptr, columns);
    }
}

static void broadcast(Tile out, Tile a, Tile, Tile, std::size_t rows, std::size_t columns) {
    for (std::size_t i = 0; i < rows; ++i, out.data += out.stride, a.data += a.stride)
        fill_run(out.data, splat(*a.data), columns);
}

static void accumulate(Tile out, Tile a, Tile, Tile, std::size_t rows, std::size_t columns) {
    add_rows<true>(out.data, a.data, a.stride, rows, columns);
}

static void accumulate_product(Tile out, Tile a, Tile b, Tile, std::size_t rows, std::size_t columns) {
    add_rows<true, true>(out.data, a.data, a.stride, rows, columns, b.data, b.stride);
}

extern const Elementwise elementwise_table[];
const Elementwise elementwise_table[] = {
    // arithmetic
    tiles<Add>, tiles<Sub>, tiles<Mul>, tiles<Div>, tiles<Neg>, tiles<Square>, tiles<Sqrt>, tiles<Exp>, tiles<Log>,
    // squashing
    tiles<Sigmoid>, tiles<Tanh>, tiles<Relu>, tiles<Softplus>, tiles<Erf>, tiles<Sin>, tiles<Cos>, tiles<SigmoidBack>,
    tiles<TanhBack>,
    // comparisons
    tiles<Abs>, tiles<Sign>, tiles<Step>, tiles<Share>, tiles<Maximum>, tiles<Minimum>,
    // fused
    tiles<Fma>, tiles<Fnma>,
    select,
    // rows that change width or type
    tiles<Copy>, broadcast, load_bf16, store_bf16, tiles<RoundBf16>, accumulate, accumulate_product};
static_assert(sizeof elementwise_table / sizeof *elementwise_table == static_cast<std::size_t>(Op::count));

} // namespace ifog::IFOG_ISA
