// The pool of blocks: alignment, use again, no two owners, from several threads.
//
// A plain program: exit status 0 means every check held.

#include "ifog/memory.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

namespace {

std::atomic<int> failures{0};

void expect(bool holds, const char* what) {
    if (!holds && ++failures < 40) std::printf("FAILED: %s\n", what);
}

bool aligned(const char* data, std::size_t to) { return reinterpret_cast<std::uintptr_t>(data) % to == 0; }

void check_alignment() {
    for (const std::size_t bytes : {0UL, 1UL, 63UL, 4096UL, 4097UL, 100000UL, (2UL << 20) + 1, 5UL << 20}) {
        const ifog::Block block(bytes);
        expect(block.data() != nullptr, "no memory");
        expect(aligned(block.data(), bytes >= (2UL << 20) ? 2UL << 20 : 64), "alignment");
        std::memset(block.data(), 1, bytes); // all of it is there
    }
}

void check_reuse() {
    ifog::release_idle_memory();
    char* before = nullptr;
    {
        const ifog::Block block(300000);
        before = block.data();
    }
    const ifog::Block again(299000);
    expect(again.data() == before, "a block of about that size was idle");
    const ifog::Block other(299000);
    expect(other.data() != again.data(), "two owners of one block");
    ifog::Block moved(std::move(const_cast<ifog::Block&>(other)));
    expect(moved.data() != nullptr && other.data() == nullptr, "a block that moved has one owner");
}

void check_threads() {
    std::vector<std::thread> threads;
    for (unsigned k = 0; k < 4; ++k)
        threads.emplace_back([k] {
            for (std::size_t i = 0; i < 300; ++i) {
                const std::size_t bytes = 5000 + (i * 7919 + k * 104729) % 60000;
                const ifog::Block a(bytes), b(bytes);
                std::memset(a.data(), static_cast<int>(k), bytes);
                std::memset(b.data(), static_cast<int>(k + 8), bytes);
                for (const std::size_t at : {std::size_t{0}, bytes / 2, bytes - 1})
                    expect(a.data()[at] == static_cast<char>(k) && b.data()[at] == static_cast<char>(k + 8),
                           "someone else wrote into this block");
                if (i % 50 == 0) ifog::release_idle_memory();
            }
        });
    for (std::thread& thread : threads) thread.join();
}

} // namespace

int main() {
    check_alignment();
    check_reuse();
    check_threads();
    ifog::release_idle_memory();
    std::printf("%d failures\n", failures.load());
    return failures == 0 ? 0 : 1;
}
