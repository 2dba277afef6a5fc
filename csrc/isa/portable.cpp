// The tables of `portable`: see ifog/kernels.hpp.

#define IFOG_ISA portable

#include "isa/elementwise.hpp"
#include "isa/matmul.hpp"

namespace ifog {

extern const Kernels portable_kernels;
const Kernels portable_kernels = {
    Isa::portable,
    portable::fp32_product,
    portable::rounded_product,
    false,
    portable::elementwise_table,
    portable::rowwise_table,
    portable::turn,
    portable::enter,
    portable::leave,
};

} // namespace ifog
