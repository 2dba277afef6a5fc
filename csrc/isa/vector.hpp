// A vector register of the instruction set that this file is compiled for, as wide as the set allows.
//
// Included by the sources of csrc/isa only, inside `namespace ifog::IFOG_ISA` (portable, avx2, avx512), so that no
// function compiled for one CPU can be taken for another's. For the same reason nothing of the standard library that
// is not a macro or a type is used here.

#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace ifog::IFOG_ISA {

#if defined(__AVX512F__)
inline constexpr std::size_t lanes = 16;
#elif defined(__AVX2__)
inline constexpr std::size_t lanes = 8;
#else
inline constexpr std::size_t lanes = 4;
#endif

typedef float Vector __attribute__((vector_size(lanes * 4)));        // arithmetic operators work lane by lane
typedef std::int32_t Integers __attribute__((vector_size(lanes * 4))); // comparisons give these: 0 or -1
typedef std::uint32_t Bits __attribute__((vector_size(lanes * 4))); // of which sums may wrap around
typedef float Unaligned __attribute__((vector_size(lanes * 4), aligned(4), may_alias));

static inline Vector load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
static inline void store(float* p, Vector v) { *reinterpret_cast<Unaligned*>(p) = v; }
static inline Vector splat(float x) { return x - Vector{}; }

#if defined(__AVX2__) && !defined(__AVX512F__)
// n lanes of ones, then zeros.
static inline __m256i first_lanes(std::size_t n) {
    static constexpr std::int32_t ones[2 * lanes] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ones + lanes - n));
}
#endif

// The first n < lanes floats, the others 0; and storing them.
static inline Vector load_first(const float* p, std::size_t n) {
#if defined(__AVX512F__)
    return (Vector)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << n) - 1U), p);
#elif defined(__AVX2__)
    return (Vector)_mm256_maskload_ps(p, first_lanes(n));
#else
    Vector v{};
    for (std::size_t i = 0; i < n; ++i) v[i] = p[i];
    return v;
#endif
}

static inline void store_first(float* p, Vector v, std::size_t n) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << n) - 1U), (__m512)v);
#elif defined(__AVX2__)
    _mm256_maskstore_ps(p, first_lanes(n), (__m256)v);
#else
    for (std::size_t i = 0; i < n; ++i) p[i] = v[i];
#endif
}

// a b + c in one rounding where the CPU can, in two where it cannot.
static inline Vector fma(Vector a, Vector b, Vector c) {
#if defined(__AVX512F__)
    return (Vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (Vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

// c - a b, likewise.
static inline Vector fnma(Vector a, Vector b, Vector c) { return fma(-a, b, c); }

#if defined(__AVX512F__)
// The intrinsics without a mask warn of an uninitialised variable in GCC 12; these compile to the same instructions.
inline constexpr __mmask16 every_lane = 0xFFFF;
#endif

inline constexpr std::int32_t sign_bit = INT32_MIN;

static inline Vector absolute(Vector x) { return (Vector)((Integers)x & ~sign_bit); }

// Where either is NaN, the second.
static inline Vector smallest(Vector a, Vector b) {
#if defined(__AVX512F__)
    return (Vector)_mm512_maskz_min_ps(every_lane, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (Vector)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return a < b ? a : b;
#endif
}

static inline Vector largest(Vector a, Vector b) {
#if defined(__AVX512F__)
    return (Vector)_mm512_maskz_max_ps(every_lane, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (Vector)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return a > b ? a : b;
#endif
}

// x, but with the magnitude of `bound` where its own is larger. NaN where both are.
static inline Vector within(Vector x, Vector bound) {
#if defined(__AVX512DQ__)
    return (Vector)_mm512_maskz_range_ps(every_lane, (__m512)x, (__m512)bound, 0x2);
#else
    return largest(-bound, smallest(bound, x));
#endif
}

static inline Vector square_root(Vector x) {
#if defined(__AVX512F__)
    return (Vector)_mm512_maskz_sqrt_ps(every_lane, (__m512)x);
#elif defined(__AVX2__)
    return (Vector)_mm256_sqrt_ps((__m256)x);
#else
    for (std::size_t i = 0; i < lanes; ++i) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

static inline bool any(Integers mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#else
    std::int32_t bits = 0;
    for (std::size_t i = 0; i < lanes; ++i) bits |= mask[i];
    return bits != 0;
#endif
}

} // namespace ifog::IFOG_ISA
