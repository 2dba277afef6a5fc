// The tables of `avx2`: see ifog/kernels.hpp.

#define IFOG_ISA avx2

#include "isa/elementwise.hpp"
#include "isa/fixed.hpp"
#include "isa/matmul.hpp"

namespace ifog {

extern const Kernels avx2_kernels;
const Kernels avx2_kernels = {
    Isa::avx2,
    avx2::fp32_product,
    avx2::rounded_product,
    avx2::int16_product,
    false,
    true,
    avx2::elementwise_table,
    avx2::rowwise_table,
    avx2::turn,
    avx2::store_int16,
    avx2::enter,
    avx2::leave,
};

} // namespace ifog
