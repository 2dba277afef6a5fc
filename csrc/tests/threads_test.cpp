// Threads: each index once, all at the same time, from several callers, not within each other, and one in a fork.
//
// A plain program: exit status 0 means every check held.

#include "ifog/threads.hpp"

#include <cstdio>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

std::atomic<int> failures{0};

void expect(bool holds, const char* what) {
    if (!holds && ++failures < 40) std::printf("FAILED: %s\n", what);
}

void check_indices() {
    for (std::size_t count = 1; count <= 5; ++count)
        for (int round = 0; round < 50; ++round) {
            std::vector<std::atomic<int>> seen(count);
            ifog::parallel(count, [&](std::size_t k) { ++seen[k]; });
            for (const auto& times : seen) expect(times == 1, "each index is called once");
        }
}

// Nobody passes the barrier before all have come, round after round.
void check_barrier() {
    constexpr std::size_t count = 3;
    ifog::Barrier barrier(count);
    std::atomic<std::size_t> arrived{0};
    ifog::parallel(count, [&](std::size_t) {
        for (std::size_t round = 1; round <= 200; ++round) {
            ++arrived;
            barrier.wait();
            expect(arrived >= round * count, "someone passed too early");
            barrier.wait();
        }
    });
    expect(arrived == 200 * count, "someone is missing");
}

void check_callers() {
    std::atomic<int> calls{0};
    std::vector<std::thread> threads;
    for (int k = 0; k < 4; ++k)
        threads.emplace_back([&] {
            for (int round = 0; round < 50; ++round) ifog::parallel(2, [&](std::size_t) { ++calls; });
        });
    for (std::thread& thread : threads) thread.join();
    expect(calls == 4 * 50 * 2, "calls from several threads at once");
}

void check_nesting() {
    ifog::parallel(2, [](std::size_t) { expect(ifog::possible_threads(4) == 1, "threads within threads"); });
    expect(ifog::possible_threads(4) == 4, "outside there are as many as wanted");
}

void check_fork() {
#if !defined(_WIN32)
    expect(ifog::possible_threads(2) == 2, "this process runs threads");
    const pid_t child = fork();
    if (child == 0) {
        const std::size_t count = ifog::possible_threads(2);
        bool ran = false;
        ifog::parallel(count, [&](std::size_t) { ran = true; });
        _exit(count == 1 && ran ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    expect(status == 0, "a forked process has no workers and does without");
#endif
}

} // namespace

int main() {
    check_indices();
    check_barrier();
    check_callers();
    check_nesting();
    check_fork();
    std::printf("%d failures\n", failures.load());
    return failures == 0 ? 0 : 1;
}
