// What a thread sets before it uses the tables: denormal numbers are zero, read and written.
//
// One such number in a decaying state would slow every product it enters by a factor of a hundred.

#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace ifog::IFOG_ISA {

inline thread_local std::uint64_t mode_before = 0;

#if defined(__SSE2__)
static inline std::uint64_t float_mode() { return _mm_getcsr(); }
static inline void set_float_mode(std::uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
inline constexpr std::uint64_t flush_denormals = 0x8040; // FTZ and DAZ of MXCSR
#elif defined(__aarch64__)
static inline std::uint64_t float_mode() {
    std::uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static inline void set_float_mode(std::uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
inline constexpr std::uint64_t flush_denormals = 1U << 24; // FZ
#else
static inline std::uint64_t float_mode() { return 0; }
static inline void set_float_mode(std::uint64_t) {}
inline constexpr std::uint64_t flush_denormals = 0;
#endif

void enter();
void enter() {
    mode_before = float_mode();
    set_float_mode(mode_before | flush_denormals);
}

void leave();
void leave() { set_float_mode(mode_before); }

} // namespace ifog::IFOG_ISA
