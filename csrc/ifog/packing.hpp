// The weights of a program's products, in the order in which the kernels read them.
//
// Owns their layout in one block: which product lies where. Takes a program and the addresses of its matrices. Never
// allocates; threads write their own shares.

#pragma once

#include <cstddef>
#include <vector>

#include "ifog/kernels.hpp"
#include "ifog/loop.hpp"

namespace ifog {

// A product's packed weights.
struct PackedWeights {
    char* data = nullptr;
    std::size_t depth = 0; // of all operands, as spread out in the packed weights
    std::vector<std::size_t> depths; // of each operand, padded
};

// Sizes of all products' packed weights, numbered through all stages; `data` are offsets until memory is there. Adds to
// `bytes`.
std::vector<PackedWeights> plan_packing(const Program& program, const Product& product, std::size_t& bytes);

// The share of one thread of all panels.
void pack(const Program& program, const std::vector<WeightSource>& sources, const Product& product,
          const std::vector<PackedWeights>& all, std::size_t thread, std::size_t threads);

} // namespace ifog
