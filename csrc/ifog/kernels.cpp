#include "ifog/kernels.hpp"

namespace ifog {

// defined in csrc/isa, one for each instruction set
extern const Kernels portable_kernels;
#if defined(IFOG_HAS_X86_KERNELS)
extern const Kernels avx2_kernels, avx512_kernels, avx512_vnni_kernels, avx512_bf16_kernels, amx_bf16_kernels;
#endif

const Kernels* kernels(Isa isa) {
    switch (isa) {
    case Isa::portable: return &portable_kernels;
#if defined(IFOG_HAS_X86_KERNELS)
    case Isa::avx2: return &avx2_kernels;
    case Isa::avx512: return &avx512_kernels;
    case Isa::avx512_vnni: return &avx512_vnni_kernels;
    case Isa::avx512_bf16: return &avx512_bf16_kernels;
    case Isa::amx_bf16: return &amx_bf16_kernels;
#else
    default: return nullptr;
#endif
    }
    return nullptr;
}

} // namespace ifog
