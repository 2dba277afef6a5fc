// Runs the compiled program of one time step again and again, one step at a call: streaming and generation.
//
// Owns what lasts from step to step: packed weights, carried states, scratch. All addresses are worked out beforehand,
// so that a step is a walk along a list of calls: at batch 1 it takes microseconds. Takes a `Program` and the addresses
// of its arrays, which must stay where they are. Knows no cell, no Python and no torch.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ifog/kernels.hpp"
#include "ifog/loop.hpp"
#include "ifog/threads.hpp"

namespace ifog {

// Where a `given` place lies at even and at odd steps; `row` counts elements from sequence to sequence.
struct StepBinding {
    std::uintptr_t even = 0, odd = 0;
    std::int64_t row = 0;
};

struct StepCall {
    std::vector<StepBinding> bindings; // one for each place of kind given or given_bf16, in order
    std::vector<WeightSource> weights;
    std::size_t batch = 0, threads = 1;
};

// Threads work on a step together: each calls the same functions with its own number, 0 to threads - 1. `Barrier` is
// for that many.
class Stepper {
  public:
    // Throws std::invalid_argument where a call doesn't bind what the program needs.
    Stepper(const Program& program, StepCall call, const Kernels& kernels);
    ~Stepper();
    Stepper(const Stepper&) = delete;
    Stepper& operator=(const Stepper&) = delete;

    // Once, and again when weights have changed.
    void pack(std::size_t thread);

    // Carried states, before step `s`; after the last step (one thread does it).
    void start(const std::vector<Edge>& initials, std::size_t s);
    void finish(const std::vector<Edge>& finals) const;

    // Step `s` counts from 0. Every thread's part of the arrays is written when all have returned.
    void step(std::size_t thread, std::size_t s, Barrier& barrier) const;

    // The columns (of `width`) or the rows that a thread computes elementwise: gathers follow them.
    struct Range {
        std::size_t row = 0, row_end = 0, column = 0, column_end = 0;
    };
    [[nodiscard]] Range part(std::size_t thread, std::size_t width) const;

    [[nodiscard]] std::size_t threads() const;
    [[nodiscard]] std::size_t batch() const;
    [[nodiscard]] const Kernels& kernels() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace ifog
