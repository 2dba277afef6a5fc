// The tables of `portable`: see ifog/kernels.hpp.

#define IFOG_ISA portable

#include "isa/elementwise.hpp"
#include "isa/fixed.hpp"
#include "isa/matmul.hpp"

namespace ifog {

extern const Kernels portable_kernels;
const Kernels portable_kernels = {
    Isa::portable,
    portable::fp32_product,
    portable::rounded_product,
    portable::int16_product,
    false,
    false,
    portable::elementwise_table,
    portable::rowwise_table,
    portable::turn,
    portable::store_int16,
    portable::enter,
    portable::leave,
};

} // namespace ifog
