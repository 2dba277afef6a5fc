// The tables of `avx512`: see ifog/kernels.hpp.

#define IFOG_ISA avx512

#include "isa/elementwise.hpp"
#include "isa/fixed.hpp"
#include "isa/matmul.hpp"

namespace ifog {

extern const Kernels avx512_kernels;
const Kernels avx512_kernels = {
    Isa::avx512,
    avx512::fp32_product,
    avx512::rounded_product,
    avx512::int16_product,
    false,
    false,
    avx512::elementwise_table,
    avx512::rowwise_table,
    avx512::turn,
    avx512::store_int16,
    avx512::enter,
    avx512::leave,
};

} // namespace ifog
