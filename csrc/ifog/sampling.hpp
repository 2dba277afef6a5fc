// Chooses the next token from a model's scores.
//
// Owns the meaning of temperature, top-k and top-p, the same as that of `probabilities` in
// src/ifog/generation/sampling.py. Chance comes from outside, as a number between 0 and 1: the same number and the same
// scores give the same token.

#pragma once

#include <cstddef>
#include <vector>

#include "ifog/kernels.hpp"

namespace ifog {

struct Sampling {
    float temperature = 1.0F;
    std::size_t top_k = 0; // 0: all
    float top_p = 1.0F;
    bool greedy = false;
};

// One thread's sampler; it keeps its scratch.
class Sampler {
  public:
    // What `draw` gives where scores are no numbers.
    static constexpr std::size_t none = ~std::size_t{0};

    Sampler(Sampling sampling, const Kernels& kernels) : sampling_(sampling), kernels_(kernels) {}

    // The token that `chance`, 0 <= chance < 1, picks among `count`.
    std::size_t draw(const float* scores, std::size_t count, double chance);

  private:
    std::size_t draw_likeliest(std::size_t count, double total, double chance);

    const Sampling sampling_;
    const Kernels& kernels_;
    std::vector<float> weights_;
    std::vector<std::size_t> order_;
};

} // namespace ifog
