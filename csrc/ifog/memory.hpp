// Memory that is used again: a sequence's buffers are megabytes, and fresh pages cost more than the work on them.
//
// Owns a pool of blocks. A block belongs to whoever holds it and returns to the pool when it is destroyed, so any number
// of sequences can be under way. Safe from several threads.

#pragma once

#include <cstddef>

namespace ifog {

class Block {
  public:
    explicit Block(std::size_t bytes); // contents undefined; throws std::bad_alloc
    ~Block();
    Block(Block&& other) noexcept;
    Block& operator=(Block&&) = delete;
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    [[nodiscard]] char* data() const { return data_; } // aligned to 64 bytes, to 2 MiB where larger than that

  private:
    char* data_ = nullptr;
    std::size_t size_ = 0;
};

// Gives idle blocks back to the operating system.
void release_idle_memory();

} // namespace ifog
