// The tables of `avx512_vnni`: see ifog/kernels.hpp. Products of 16-bit integers at twice the speed of floats.
//
// The elementwise tables are those of avx512, taken by address and called at run time, as in isa/bf16.cpp.

#define IFOG_ISA avx512_vnni // a copy of the fp32 product of its own, known to the compiler when it fills the tables

#include "isa/fixed.hpp"
#include "isa/matmul.hpp"

namespace ifog {

namespace avx512 {
extern const Elementwise elementwise_table[];
extern const Rowwise rowwise_table[];
} // namespace avx512

extern const Kernels avx512_kernels, avx512_vnni_kernels;

static void enter_vectors() { avx512_kernels.enter(); }
static void leave_vectors() { avx512_kernels.leave(); }

constinit const Kernels avx512_vnni_kernels = {
    Isa::avx512_vnni,
    avx512_vnni::fp32_product,
    avx512_vnni::rounded_product,
    avx512_vnni::int16_product,
    false,
    true,
    avx512::elementwise_table,
    avx512::rowwise_table,
    avx512_vnni::turn,
    avx512_vnni::store_int16,
    enter_vectors,
    leave_vectors,
};

} // namespace ifog
