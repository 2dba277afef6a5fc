// Decodes CPUs that are not there, and asks the one that is. A plain program: exit status 0 means every check held.

#include "ifog/cpu_features.hpp"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <vector>

namespace {

int failures = 0;

using Names = std::vector<std::string_view>;

void check(bool holds, const char* sentence) {
    if (holds) return;
    std::printf("FAILED: %s\n", sentence);
    ++failures;
}

constexpr std::uint32_t bit(int position) { return std::uint32_t{1} << position; }

// A server with everything; the tests below take single things away from it.
ifog::CpuRegisters sapphire_rapids() {
    ifog::CpuRegisters cpu;
    cpu.leaf1_ecx = bit(12) | bit(19) | bit(27) | bit(28);
    cpu.leaf1_edx = bit(26);
    cpu.leaf7_ebx = bit(5) | bit(16) | bit(17) | bit(30) | bit(31);
    cpu.leaf7_ecx = bit(11);
    cpu.leaf7_edx = bit(22) | bit(24);
    cpu.leaf7_1_eax = bit(5);
    cpu.xcr0 = 0x600E7;
    return cpu;
}

} // namespace

int main() {
    check(ifog::decode({}).empty(), "a CPU that answers nothing has nothing");

    auto cpu = sapphire_rapids();
    check(ifog::decode(cpu) == Names{"sse2", "sse4.1", "avx2", "fma", "avx512", "avx512_vnni", "avx512_bf16", "amx_bf16"},
          "a CPU with everything lists everything, weakest first");

    cpu = sapphire_rapids();
    cpu.xcr0 = 0;
    check(ifog::decode(cpu) == Names{"sse2", "sse4.1"}, "an operating system that saves no AVX state hides all of AVX");

    cpu = sapphire_rapids();
    cpu.xcr0 = 0x7;
    check(ifog::decode(cpu) == Names{"sse2", "sse4.1", "avx2", "fma"}, "saving YMM alone leaves AVX2 and FMA");

    cpu = sapphire_rapids();
    cpu.xcr0 = 0xE7;
    check(ifog::decode(cpu) == Names{"sse2", "sse4.1", "avx2", "fma", "avx512", "avx512_vnni", "avx512_bf16"},
          "an operating system that saves no tiles hides AMX only");

    cpu = sapphire_rapids();
    cpu.leaf7_ebx &= ~bit(30);
    check(ifog::decode(cpu) == Names{"sse2", "sse4.1", "avx2", "fma", "amx_bf16"},
          "AVX-512 without its byte and word instructions does not count, nor do its integers and its bf16");

    cpu = sapphire_rapids();
    cpu.leaf7_edx &= ~bit(22);
    const Names no_bf16_tiles = ifog::decode(cpu);
    check(std::find(no_bf16_tiles.begin(), no_bf16_tiles.end(), "amx_bf16") == no_bf16_tiles.end(),
          "tiles without bf16 are not AMX-bf16");

    const Names here = ifog::cpu_features();
    check(here == ifog::cpu_features(), "asking twice gives the same answer");
#if defined(__AVX2__)
    check(std::find(here.begin(), here.end(), "avx2") != here.end(), "a program compiled for AVX2 finds AVX2");
#endif
#if defined(__x86_64__) || defined(_M_X64)
    check(!here.empty() && here.front() == "sse2", "every 64-bit x86 has SSE2");
#endif

    for (const std::string_view name : here) std::printf("%.*s ", static_cast<int>(name.size()), name.data());
    std::printf("\n%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
