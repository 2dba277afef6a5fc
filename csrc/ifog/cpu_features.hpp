// Which vector and matrix instructions this CPU has and this operating system lets programs use.
//
// Owns the decoding of CPUID. Takes nothing, gives a list of names. Never touches Python or tensors, allocates nothing
// but the list, and executes no instruction it reports: asking is safe on every machine.
//
// An instruction set counts only when the operating system also saves its registers at a context switch (XCR0);
// without that, using it faults or corrupts data. AMX needs one permission more, a system call that the code which
// uses the tiles makes itself: reported here is that the CPU and XCR0 offer it.

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__) || defined(_M_IX86)
#define IFOG_X86 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace ifog {

// What CPUID and XGETBV answered, as far as the decoding below reads it.
struct CpuRegisters {
    std::uint32_t leaf1_ecx = 0;
    std::uint32_t leaf1_edx = 0;
    std::uint32_t leaf7_ebx = 0;
    std::uint32_t leaf7_ecx = 0;
    std::uint32_t leaf7_edx = 0;
    std::uint32_t leaf7_1_eax = 0;
    std::uint64_t xcr0 = 0;
};

// The names of the instruction sets these registers describe, weakest first. Pure, so that a test can ask about CPUs
// that are not there. The bits are those of the Intel 64 manual, volume 2A, CPUID, and volume 1, chapter 13.
inline std::vector<std::string_view> decode(const CpuRegisters& cpu) {
    constexpr auto has = [](std::uint64_t word, int bit) { return ((word >> bit) & 1U) != 0; };
    constexpr auto saves = [](std::uint64_t xcr0, std::uint64_t state) { return (xcr0 & state) == state; };

    const bool ymm = saves(cpu.xcr0, 0x6);       // SSE and AVX halves
    const bool zmm = saves(cpu.xcr0, 0xE6);      // and the mask registers and both halves of ZMM
    const bool tiles = saves(cpu.xcr0, 0x60000); // tile configuration and tile data

    const bool avx = ymm && has(cpu.leaf1_ecx, 28);
    const bool avx2 = avx && has(cpu.leaf7_ebx, 5);
    // The sets every AVX-512 server has had since Skylake: F, DQ, BW and VL.
    const bool avx512 = zmm && avx2 && has(cpu.leaf7_ebx, 16) && has(cpu.leaf7_ebx, 17) && has(cpu.leaf7_ebx, 30) &&
                        has(cpu.leaf7_ebx, 31);
    const bool amx = tiles && has(cpu.leaf7_edx, 24);

    std::vector<std::string_view> names;
    if (has(cpu.leaf1_edx, 26)) names.push_back("sse2");
    if (has(cpu.leaf1_ecx, 19)) names.push_back("sse4.1");
    if (avx2) names.push_back("avx2");
    if (avx && has(cpu.leaf1_ecx, 12)) names.push_back("fma");
    if (avx512) names.push_back("avx512");
    if (avx512 && has(cpu.leaf7_ecx, 11)) names.push_back("avx512_vnni");
    if (avx512 && has(cpu.leaf7_1_eax, 5)) names.push_back("avx512_bf16");
    if (amx && has(cpu.leaf7_edx, 22)) names.push_back("amx_bf16");
    return names;
}

#if defined(IFOG_X86)

namespace detail {

struct Leaf {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

inline Leaf cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
    Leaf out;
#if defined(_MSC_VER)
    int words[4];
    __cpuidex(words, static_cast<int>(leaf), static_cast<int>(subleaf));
    out = {static_cast<std::uint32_t>(words[0]), static_cast<std::uint32_t>(words[1]),
           static_cast<std::uint32_t>(words[2]), static_cast<std::uint32_t>(words[3])};
#else
    __cpuid_count(leaf, subleaf, out.eax, out.ebx, out.ecx, out.edx);
#endif
    return out;
}

// Only legal when CPUID says the operating system has turned XSAVE on (leaf 1, ECX bit 27).
inline std::uint64_t xgetbv() {
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    std::uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
#endif
}

} // namespace detail

inline CpuRegisters read_cpu() {
    CpuRegisters cpu;
    const std::uint32_t highest = detail::cpuid(0, 0).eax;
    if (highest < 1) return cpu;
    const detail::Leaf leaf1 = detail::cpuid(1, 0);
    cpu.leaf1_ecx = leaf1.ecx;
    cpu.leaf1_edx = leaf1.edx;
    if (((leaf1.ecx >> 27) & 1U) != 0) cpu.xcr0 = detail::xgetbv();
    if (highest < 7) return cpu;
    const detail::Leaf leaf7 = detail::cpuid(7, 0);
    cpu.leaf7_ebx = leaf7.ebx;
    cpu.leaf7_ecx = leaf7.ecx;
    cpu.leaf7_edx = leaf7.edx;
    if (leaf7.eax >= 1) cpu.leaf7_1_eax = detail::cpuid(7, 1).eax; // EAX of subleaf 0: the highest subleaf
    return cpu;
}

#else

inline CpuRegisters read_cpu() { return {}; }

#endif

// The instruction sets of this machine, weakest first; empty where the CPU is not an x86.
inline std::vector<std::string_view> cpu_features() { return decode(read_cpu()); }

} // namespace ifog
