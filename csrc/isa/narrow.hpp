// Between float and bf16, which is the upper half of a float.

#pragma once

#include "ifog/kernels.hpp"
#include "isa/vector.hpp"

namespace ifog::IFOG_ISA {

typedef bf16 Halves __attribute__((vector_size(lanes * 2)));
typedef bf16 UnalignedHalves __attribute__((vector_size(lanes * 2), aligned(2), may_alias));
typedef std::uint32_t Bits __attribute__((vector_size(lanes * 4)));

static inline Vector widen(Halves x) {
#if defined(__AVX512F__)
    return (Vector)_mm512_maskz_slli_epi32(every_lane, _mm512_maskz_cvtepu16_epi32(every_lane, (__m256i)x), 16);
#else
    return (Vector)(__builtin_convertvector(x, Bits) << 16);
#endif
}

// Rounded to nearest even; still 32 bits wide, the lower half being rubbish.
static inline Bits rounded(Vector x) {
    const Bits bits = (Bits)x;
    const Bits quiet = bits | 0x00400000U; // an infinity must not come of a NaN
    return x == x ? bits + 0x7FFFU + ((bits >> 16) & 1U) : quiet;
}

static inline Halves narrow(Vector x) {
#if defined(__AVX512F__)
    return (Halves)_mm512_maskz_cvtepi32_epi16(every_lane, (__m512i)(rounded(x) >> 16));
#else
    return __builtin_convertvector(rounded(x) >> 16, Halves);
#endif
}

static inline Vector round_bf16(Vector x) { return (Vector)(rounded(x) & 0xFFFF0000U); }

static inline Halves load_halves(const bf16* p) { return *reinterpret_cast<const UnalignedHalves*>(p); }
static inline void store_halves(bf16* p, Halves v) { *reinterpret_cast<UnalignedHalves*>(p) = v; }

// The first n < lanes.
static inline Halves load_first_halves(const bf16* p, std::size_t n) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    return (Halves)_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1U << n) - 1U), p);
#else
    Halves v{};
    for (std::size_t i = 0; i < n; ++i) v[i] = p[i];
    return v;
#endif
}

static inline void store_first_halves(bf16* p, Halves v, std::size_t n) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1U << n) - 1U), (__m256i)v);
#else
    for (std::size_t i = 0; i < n; ++i) p[i] = v[i];
#endif
}

static void load_bf16(Tile out, Tile a, Tile, Tile, std::size_t rows, std::size_t columns) {
    const bf16* from = reinterpret_cast<const bf16*>(a.data);
    if (out.stride == a.stride && a.stride == static_cast<std::ptrdiff_t>(columns)) {
        columns *= rows;
        rows = rows != 0;
    }
    for (std::size_t i = 0; i < rows; ++i, from += a.stride, out.data += out.stride) {
        std::size_t j = 0;
        for (; j + lanes <= columns; j += lanes) store(out.data + j, widen(load_halves(from + j)));
        if (j < columns) store_first(out.data + j, widen(load_first_halves(from + j, columns - j)), columns - j);
    }
}

static void store_bf16(Tile out, Tile a, Tile, Tile, std::size_t rows, std::size_t columns) {
    bf16* to = reinterpret_cast<bf16*>(out.data);
    if (out.stride == a.stride && a.stride == static_cast<std::ptrdiff_t>(columns)) {
        columns *= rows;
        rows = rows != 0;
    }
    for (std::size_t i = 0; i < rows; ++i, a.data += a.stride, to += out.stride) {
        std::size_t j = 0;
        for (; j + lanes <= columns; j += lanes) store_halves(to + j, narrow(load(a.data + j)));
        if (j < columns) store_first_halves(to + j, narrow(load_first(a.data + j, columns - j)), columns - j);
    }
}

} // namespace ifog::IFOG_ISA
