// Products of 16-bit integers, for CPUs that multiply twice as many of them at a time as floats.
//
// Included by the sources of csrc/isa only. Gives `int16_product`. Rows and weights become blocks of `group` depths: the
// largest magnitude of a block becomes the largest integer, so that what is lost beside that number is less than 2^-13
// of it, and the block keeps its one scale. Integers are multiplied and summed exactly; each block's sum is a float then.
//
// A row: block after block, `group` integers (the last block: what is left, rounded up to `step_depths`), then the float
// that one unit is worth. Packed weights: panel after panel as in isa/matmul.hpp, in it block after block: a row of all
// columns for each two depths, both weights of a column beside each other, then a row of the columns' scales.
//
// A block with an infinity or a NaN has the scale NaN and integers of zero: whatever it multiplies becomes NaN.

#pragma once

#include "isa/matmul.hpp"

namespace ifog::IFOG_ISA {

using int16 = std::int16_t;

inline constexpr std::size_t group = fixed_group;
inline constexpr std::size_t step_depths = 16; // depths are padded to a multiple of this

// The largest integers: a block's sum of products stays below 2^31.
inline constexpr float largest_row = 8191.0F, largest_weight = 4095.0F;
static_assert(8191LL * 4095 * static_cast<long long>(group) < (1LL << 31));

// Blocks with nothing above this are zero: the inverse of their scale could overflow.
inline constexpr float negligible = 1e-30F;

typedef int16 Shorts __attribute__((vector_size(lanes * 2)));
typedef int16 UnalignedShorts __attribute__((vector_size(lanes * 2), aligned(2), may_alias));
typedef std::int32_t UnalignedIntegers __attribute__((vector_size(lanes * 4), aligned(2), may_alias));

static constexpr std::size_t spread(std::size_t depth) { return depth + (depth + group - 1) / group * 2; }

// sum + x[low] w[low] + x[high] w[high]: the products of two neighbouring depths, in every lane.
static inline Integers add_pairs(Integers sum, Integers x, Integers w) {
#if defined(__AVX512VNNI__)
    return (Integers)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)x, (__m512i)w);
#elif defined(__AVX512BW__)
    return sum + (Integers)_mm512_madd_epi16((__m512i)x, (__m512i)w);
#elif defined(__AVX2__)
    return sum + (Integers)_mm256_madd_epi16((__m256i)x, (__m256i)w);
#else
    return sum + (x << 16 >> 16) * (w << 16 >> 16) + (x >> 16) * (w >> 16);
#endif
}

static inline Integers load_integers(const int16* p) { return *reinterpret_cast<const UnalignedIntegers*>(p); }

static inline float load_scale(const int16* p) {
    float scale;
    __builtin_memcpy(&scale, p, sizeof scale);
    return scale;
}

struct FixedKernel {
    using Weight = int16;
    static constexpr std::size_t step = 2;
    static constexpr std::size_t spread(std::size_t depth) { return IFOG_ISA::spread(depth); }

    template <std::size_t Rows, std::size_t Vectors, std::size_t Panels>
    static void block(const Job& job, const Place& place, const int16* packed) {
        const char* ahead = place.ahead;
        if constexpr (Rows >= fetching_rows) fetch_results<Rows, Panels * Vectors>(job, place);
        Vector total[Rows][Panels * Vectors] = {};
        for (std::size_t i = 0; i < job.operand_count; ++i) {
            const Operand& operand = job.operands[i];
            const std::ptrdiff_t stride = operand.stride;
            const int16* a = static_cast<const int16*>(operand.rows) + static_cast<std::ptrdiff_t>(place.row) * stride;
            for (std::size_t k = 0; k < operand.depth; k += group) {
                const std::size_t depth = smaller(group, operand.depth - k);
                Integers sum[Rows][Panels * Vectors] = {};
                for (std::size_t pair = 0; pair < depth; pair += 2, a += 2, packed += 2 * Vectors * lanes) {
                    if constexpr (Rows >= fetching_rows) fetch(ahead, place.ahead_step);
                    add<Rows, Vectors, Panels>(sum, a, stride, packed, job.panel_size);
                }
                add_scaled<Rows, Vectors, Panels>(total, sum, a, stride, packed, job.panel_size);
                a += 2;
                packed += 2 * Vectors * lanes;
            }
        }
        store_sums(job, place, total);
    }

    template <std::size_t Rows, std::size_t Vectors, std::size_t Panels>
    static inline void add(Integers (&sum)[Rows][Panels * Vectors], const int16* a, std::ptrdiff_t stride,
                           const int16* packed, std::size_t panel_size) {
#pragma GCC unroll 8
        for (std::size_t p = 0; p < Panels; ++p) {
            Integers weights[Vectors];
#pragma GCC unroll 8
            for (std::size_t v = 0; v < Vectors; ++v) {
                weights[v] = load_integers(packed + p * panel_size + 2 * v * lanes);
                if constexpr (Rows > 1) keep(weights[v]);
            }
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
                std::int32_t pair;
                __builtin_memcpy(&pair, a + static_cast<std::ptrdiff_t>(r) * stride, sizeof pair);
                const Integers x = pair - Integers{};
#pragma GCC unroll 8
                for (std::size_t v = 0; v < Vectors; ++v) {
                    sum[r][p * Vectors + v] = add_pairs(sum[r][p * Vectors + v], x, weights[v]);
                }
            }
        }
    }

    // The block's sums in their units: beside the integers they find no place in registers.
    template <std::size_t Rows, std::size_t Vectors, std::size_t Panels>
    static inline void add_scaled(Vector (&total)[Rows][Panels * Vectors],
                                  const Integers (&sum)[Rows][Panels * Vectors], const int16* a, std::ptrdiff_t stride,
                                  const int16* packed, std::size_t panel_size) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Panels * Vectors; ++v) {
            const auto* scales = reinterpret_cast<const float*>(packed + v / Vectors * panel_size);
            const Vector scale = load(scales + v % Vectors * lanes);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
                const Vector row_scale = splat(load_scale(a + static_cast<std::ptrdiff_t>(r) * stride));
                total[r][v] = fma(__builtin_convertvector(sum[r][v], Vector) * scale, row_scale, total[r][v]);
            }
        }
    }
};

// --- rows and weights -----------------------------------------------------------------------------------------------

// What x is in units of `scale`, given its inverse, rounded to nearest even: 1.5 * 2^23 leaves no bits behind the point.
// Not fused, so that every instruction set gives the same integers.
static inline Integers in_units(Vector x, Vector inverse) {
    const Vector shift = splat(0x1.8p23F);
    return (Integers)(x * inverse + shift) - (Integers)shift;
}

static inline Integers magnitude_bits(Vector x) { return (Integers)x & ~sign_bit; } // ordered like the magnitudes

static inline Integers larger_of(Integers a, Integers b) {
#if defined(__AVX512F__)
    return (Integers)_mm512_maskz_max_epi32(every_lane, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (Integers)_mm256_max_epi32((__m256i)a, (__m256i)b);
#else
    const Integers above = a > b;
    return (a & above) | (b & ~above);
#endif
}

template <std::size_t Step, std::size_t... Lane>
static inline Integers exchanged(Integers v, std::index_sequence<Lane...>) {
    return __builtin_shufflevector(v, v, (Lane ^ Step)...);
}

// The largest of all lanes, in every lane.
template <std::size_t Step = lanes / 2>
static inline Integers largest_lane(Integers v) {
    v = larger_of(v, exchanged<Step>(v, std::make_index_sequence<lanes>{}));
    if constexpr (Step > 1) v = largest_lane<Step / 2>(v);
    return v;
}

// Of a block whose largest magnitude these are: what a unit is worth, its inverse, and whether there are units at all.
struct Units {
    Vector scale, inverse;
    Integers some;
};

static inline Units units(Integers magnitudes, float largest_integer) {
    const Vector most = (Vector)magnitudes;
    const Integers finite = magnitudes < 0x7f800000, some = finite & (most > negligible);
    const Vector safe = (Vector)((some & (Integers)most) | (~some & (Integers)splat(1.0F)));
    const Vector scale = (Vector)(some & (Integers)(safe * splat(1.0F / largest_integer)));
    return {(Vector)((Integers)scale | ~finite), splat(largest_integer) / safe, some}; // all bits: a NaN
}

static inline Shorts narrow_integers(Integers x) {
#if defined(__AVX512F__)
    return (Shorts)_mm512_maskz_cvtepi32_epi16(every_lane, (__m512i)x);
#else
    return __builtin_convertvector(x, Shorts);
#endif
}

// One block: all of its vectors stay in registers. Gives where the next one goes.
template <std::size_t Vectors>
static inline int16* store_block(int16* to, const Vector (&x)[Vectors]) {
    Integers most{};
#pragma GCC unroll 16
    for (std::size_t i = 0; i < Vectors; ++i) most = larger_of(most, magnitude_bits(x[i]));
    const Units unit = units(largest_lane(most), largest_row);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < Vectors; ++i, to += lanes)
        *reinterpret_cast<UnalignedShorts*>(to) = narrow_integers(in_units(x[i], unit.inverse) & unit.some);
    const float scale = unit.scale[0];
    __builtin_memcpy(to, &scale, sizeof scale);
    return to + sizeof scale / sizeof *to;
}

// The last block of a row, of up to a group's columns; what is rounded up to is zero.
template <std::size_t Steps>
static inline void store_last(int16* to, const float* from, std::size_t columns) {
    if constexpr (Steps > 1) {
        if (columns <= (Steps - 1) * step_depths) return store_last<Steps - 1>(to, from, columns);
    }
    Vector x[Steps * step_depths / lanes] = {};
    for (std::size_t i = 0; i * lanes < columns; ++i) x[i] = load_up_to(from + i * lanes, columns - i * lanes);
    store_block(to, x);
}

// Rows of floats as a product reads them; `out.stride` counts integers. Columns begin with a block.
static void store_int16(Tile out, Tile a, Tile, Tile, std::size_t rows, std::size_t columns) {
    for (std::size_t r = 0; r < rows; ++r, a.data += a.stride) {
        int16* to = reinterpret_cast<int16*>(out.data) + static_cast<std::ptrdiff_t>(r) * out.stride;
        std::size_t c = 0;
        for (; c + group <= columns; c += group) {
            Vector x[group / lanes];
#pragma GCC unroll 16
            for (std::size_t i = 0; i < group / lanes; ++i) x[i] = load(a.data + c + i * lanes);
            to = store_block(to, x);
        }
        if (c < columns) store_last<group / step_depths>(to, a.data + c, columns - c);
    }
}

static void pack_fixed(void* packed, const float* data, std::ptrdiff_t column_stride, std::ptrdiff_t depth_stride,
                       std::size_t columns, std::size_t depth, std::size_t offset, std::size_t depth_total) {
    const Source source{data, column_stride, depth_stride};
    for_each_square(source, columns, depth, group, [&](std::size_t column, std::size_t k) {
        const std::size_t height = smaller(group, round_up(depth - k, step_depths));
        Vector numbers[group];
        Integers most{};
        for (std::size_t i = 0; i < height; i += lanes) {
            read_square(numbers + i, source, column, k + i, columns - column, k + i < depth ? depth - k - i : 0);
            for (std::size_t j = 0; j < lanes; ++j) most = larger_of(most, magnitude_bits(numbers[i + j]));
        }
        const Units unit = units(most, largest_weight);
        const std::size_t panel = column / panel_columns * panel_columns;
        const std::size_t width = smaller(panel_columns, round_up(columns - panel, lanes));
        int16* out = static_cast<int16*>(packed) + panel * depth_total + (offset + spread(k)) * width;
        for (std::size_t i = 0; i < height; i += 2, out += 2 * width) {
            const Integers low = in_units(numbers[i], unit.inverse) & unit.some & 0xffff;
            const Integers high = (in_units(numbers[i + 1], unit.inverse) & unit.some) << 16;
            *reinterpret_cast<UnalignedIntegers*>(out + 2 * (column - panel)) = low | high;
        }
        store(reinterpret_cast<float*>(out) + (column - panel), unit.scale);
    });
}

static constexpr Product int16_product = {
    walk<FixedKernel>, pack_fixed, panel_columns, lanes, step_depths, 1, sizeof(int16), group};

} // namespace ifog::IFOG_ISA
