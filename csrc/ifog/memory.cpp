#include "ifog/memory.hpp"

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ifog {

namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t most_idle = std::size_t{1} << 30;

struct Pool {
    std::mutex mutex;
    std::multimap<std::size_t, char*> idle;
    std::size_t idle_bytes = 0;
};

// Never destroyed: blocks may be returned while the process ends.
Pool& pool() {
    static Pool* const only = new Pool;
    return *only;
}

// Few distinct sizes, so that a block fits the next sequence of about the same length: eighths of a power of two.
std::size_t rounded(std::size_t bytes) {
    if (bytes < 4096) return 4096;
    std::size_t power = 4096;
    while (power * 2 <= bytes) power *= 2;
    const std::size_t unit = power / 8;
    return (bytes + unit - 1) / unit * unit;
}

char* allocate(std::size_t size) {
    const std::size_t alignment = size >= huge_page ? huge_page : 64;
    const std::size_t whole = (size + alignment - 1) / alignment * alignment;
    auto* data = static_cast<char*>(std::aligned_alloc(alignment, whole));
    if (data == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    if (size >= huge_page) madvise(data, whole, MADV_HUGEPAGE);
#endif
    return data;
}

} // namespace

Block::Block(std::size_t bytes) : size_(rounded(bytes)) {
    Pool& from = pool();
    {
        const std::lock_guard<std::mutex> lock(from.mutex);
        // anything up to a quarter larger will do
        const auto found = from.idle.lower_bound(size_);
        if (found != from.idle.end() && found->first <= size_ + size_ / 4) {
            size_ = found->first;
            data_ = found->second;
            from.idle_bytes -= size_;
            from.idle.erase(found);
            return;
        }
    }
    data_ = allocate(size_);
}

Block::~Block() {
    if (data_ == nullptr) return;
    Pool& to = pool();
    const std::lock_guard<std::mutex> lock(to.mutex);
    if (to.idle_bytes + size_ > most_idle) {
        std::free(data_);
        return;
    }
    to.idle.emplace(size_, data_);
    to.idle_bytes += size_;
}

Block::Block(Block&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

void release_idle_memory() {
    Pool& from = pool();
    const std::lock_guard<std::mutex> lock(from.mutex);
    for (const auto& [size, data] : from.idle) std::free(data);
    from.idle.clear();
    from.idle_bytes = 0;
}

} // namespace ifog
