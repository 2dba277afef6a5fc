// Runs a function on several threads at once, on the runtime that PyTorch uses where there is one.
//
// Owns the choice of runtime and the barrier between threads. After one of torch's operators its idle OpenMP workers
// spin for a while; a second pool beside them would fight for the same cores. So the entry point of the very libgomp
// that torch loaded is handed over (`use_openmp`), and an own pool serves where there is none.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace ifog {

// The address of GOMP_parallel in the library that torch loaded; 0: there is none.
void use_openmp(std::uintptr_t gomp_parallel);

// Calls `work(thread)` for thread = 0 .. count - 1, all at the same time, and returns when all have returned. In a
// process that was forked from one that already ran threads, and when called from within `work`, gives 1 to
// `possible_threads`: the runtime's workers don't exist there.
std::size_t possible_threads(std::size_t wanted);
void parallel(std::size_t count, const std::function<void(std::size_t)>& work);

// Threads wait here for each other, spinning: steps of a sequence are microseconds apart.
class Barrier {
  public:
    explicit Barrier(std::size_t count) : count_(count) {}
    void wait();

  private:
    const std::size_t count_;
    alignas(64) std::atomic<std::size_t> arrived_{0};
    alignas(64) std::atomic<std::size_t> round_{0};
};

} // namespace ifog
