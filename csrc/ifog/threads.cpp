#include "ifog/threads.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <sched.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ifog {

namespace {

using GompParallel = void (*)(void (*)(void*), void*, unsigned, unsigned);

std::atomic<GompParallel> gomp{nullptr};
std::atomic<long> first_process{0}; // that started threads
thread_local bool within = false;

long process() {
#if defined(_WIN32)
    return 1;
#else
    return static_cast<long>(getpid());
#endif
}

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

void yield() {
#if defined(_WIN32)
    std::this_thread::yield();
#else
    sched_yield();
#endif
}

// Threads of our own, where torch brings no OpenMP. They sleep between calls.
class Pool {
  public:
    void run(std::size_t count, const std::function<void(std::size_t)>& work) {
        const std::lock_guard<std::mutex> one_at_a_time(turn_);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            while (workers_.size() + 1 < count) {
                workers_.emplace_back([this, index = workers_.size() + 1, seen = round_] { serve(index, seen); });
                workers_.back().detach();
            }
            work_ = &work;
            wanted_ = count;
            running_ = count - 1;
            ++round_;
        }
        start_.notify_all();
        within = true;
        work(0);
        within = false;
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return running_ == 0; });
    }

  private:
    void serve(std::size_t index, std::size_t seen) {
        for (;;) {
            const std::function<void(std::size_t)>* work = nullptr;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                start_.wait(lock, [&] { return round_ != seen; });
                seen = round_;
                if (index >= wanted_) continue;
                work = work_;
            }
            within = true;
            (*work)(index);
            const std::lock_guard<std::mutex> lock(mutex_);
            if (--running_ == 0) done_.notify_one();
        }
    }

    std::mutex turn_, mutex_;
    std::condition_variable start_, done_;
    std::vector<std::thread> workers_;
    const std::function<void(std::size_t)>* work_ = nullptr;
    std::size_t wanted_ = 0, running_ = 0, round_ = 0;
};

// Never destroyed: its threads outlive main's static destructors.
Pool& pool() {
    static Pool* const only = new Pool;
    return *only;
}

struct Job {
    const std::function<void(std::size_t)>* work;
    std::atomic<std::size_t> next{0};
};

void take(void* data) {
    Job& job = *static_cast<Job*>(data);
    within = true;
    (*job.work)(job.next.fetch_add(1));
    within = false;
}

} // namespace

void use_openmp(std::uintptr_t gomp_parallel) { gomp.store(reinterpret_cast<GompParallel>(gomp_parallel)); }

std::size_t possible_threads(std::size_t wanted) {
    if (wanted < 2 || within) return 1;
    long expected = 0;
    first_process.compare_exchange_strong(expected, process());
    return first_process.load() == process() ? wanted : 1;
}

void parallel(std::size_t count, const std::function<void(std::size_t)>& work) {
    if (count < 2) {
        work(0);
        return;
    }
    if (const GompParallel entry = gomp.load()) {
        Job job{&work, {0}};
        entry(take, &job, static_cast<unsigned>(count), 0);
    } else {
        pool().run(count, work);
    }
}

void Barrier::wait() {
    const std::size_t round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
        arrived_.store(0, std::memory_order_relaxed);
        round_.store(round + 1, std::memory_order_release);
        return;
    }
    // a neighbour that lost its core will not come sooner for being waited for: give ours away after a while
    for (std::size_t spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
        if (spins < 4096) {
            pause();
        } else {
            yield();
        }
    }
}

} // namespace ifog
