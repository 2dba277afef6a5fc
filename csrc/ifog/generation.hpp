// The whole loop of generation: look up a token, step through the layers, score, draw, and again.
//
// Owns the packed output matrix and the order of things; `Stepper`s own the layers. Addresses must stay valid. Knows no
// cell, no Python and no torch.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ifog/memory.hpp"
#include "ifog/sampling.hpp"
#include "ifog/stepper.hpp"

namespace ifog {

// A table of rows of floats, one for each token, and where the first layer reads the row of each sequence's token.
struct Gather {
    std::uintptr_t table = 0;
    std::int64_t table_row = 0;
    std::uintptr_t to = 0;
    std::int64_t to_row = 0;
    std::size_t width = 0;
};

// Scores = W h + b, where h is the last layer's output at even and at odd steps.
struct Head {
    WeightSource weight;
    std::uintptr_t bias = 0;
    std::size_t tokens = 0, depth = 0;
    StepBinding input;
};

// What a call goes on from and writes to.
struct Excerpt {
    std::int64_t* tokens = nullptr;     // (batch): what is read first, and then the last that was drawn
    const double* chances = nullptr;    // (length, batch)
    std::int64_t* made = nullptr;       // (length, batch)
    std::uint8_t* ended = nullptr;      // (batch): such a sequence repeats its last token
    std::vector<std::int64_t> endings;  // tokens that end a sequence
    std::size_t length = 0;
};

class Generation {
  public:
    // Throws std::invalid_argument where layers don't belong together.
    Generation(std::vector<std::shared_ptr<Stepper>> layers, std::vector<Gather> gathers, const Head& head,
               Sampling sampling);

    // Goes on where the call before ended. Gives how many tokens it made: fewer than asked for where all sequences have
    // ended, or -1 where scores were no numbers. One call at a time.
    std::int64_t run(const Excerpt& excerpt);

  private:
    void gather(std::size_t thread, const std::vector<std::int64_t>& tokens) const;
    void score(std::size_t thread, std::size_t parity) const;
    std::int64_t loop(std::size_t thread, const Excerpt& excerpt, Barrier& barrier);

    const std::vector<std::shared_ptr<Stepper>> layers_;
    const std::vector<Gather> gathers_;
    const Head head_;
    const Kernels& kernels_;
    const std::size_t threads_, batch_, scores_width_, packed_bytes_;
    const Block block_; // the packed output matrix, then scores
    float* const scores_;
    std::vector<Sampler> samplers_;
    std::size_t steps_ = 0;
    bool packed_ = false;
};

} // namespace ifog
