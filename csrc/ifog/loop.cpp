#include "ifog/loop.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>

#include "ifog/memory.hpp"
#include "ifog/packing.hpp"
#include "ifog/threads.hpp"
#include "ifog/worker.hpp"

namespace ifog {

namespace {

// How a call is cut up between threads: all of them make what is before and after the loop.
struct Split {
    std::size_t team = 1;
    std::size_t threads = 1; // of the loop
    bool columns = false;    // else rows
    std::size_t width = 0;
};

Split choose_split(const Program& program, const Call& call, const Product& product) {
    std::size_t weights = 0;
    std::size_t elements = 0;
    for (const StageCode& stage : program.stages) {
        for (const ProductCode& p : stage.products)
            for (const Term& term : p.terms) weights += p.columns * program.weights[term.weight].depth;
        for (const CodeSegment& segment : stage.segments) elements += segment.width * segment.code.size();
    }
    const std::size_t batch = call.rows / call.steps; // rows that a step has on average
    const std::size_t work = batch * (weights + 4 * elements); // of a step, about a quarter of a cycle each
    const std::size_t wanted = work * call.steps < 100000 ? 1 : possible_threads(call.threads);
    if (wanted == 1) return {};
    Split rows{wanted, std::min(wanted, call.batch), false, 0};
    if (!program.columns_split()) return rows;
    // A thread with rows of its own reads all weights at every step, one with columns only its part. Measured on LSTM
    // and GRU, rows are the better the sooner weights fit a core's cache; the last steps of packed sequences have few.
    const std::size_t enough = std::clamp<std::size_t>(weights / 65536, 2, 25) * (call.packed() ? 2 : 1);
    if (weights > 0 && batch >= enough * wanted) return rows;
    const std::size_t width = program.stages.front().segments.empty() ? program.stages.front().products.front().columns
                                                                      : program.stages.front().segments.front().width;
    const std::size_t units = (width + product.unit() - 1) / product.unit();
    const Split columns{wanted, std::min(wanted, units), true, width};
    if (weights == 0) return batch >= 2 * wanted || columns.threads == 1 ? rows : columns;
    const bool worth_waiting = work > 20000; // a barrier takes about a microsecond of two cores
    if (columns.threads > 1 && worth_waiting) return columns;
    return rows;
}

// Several projections one after the other, between all threads.
class Projectors {
  public:
    Projectors(const std::vector<Projection>& all, const Kernels& kernels, Number number, std::size_t threads)
        : threads_(threads) {
        for (const Projection& one : all) {
            each_.emplace_back(one, kernels, number);
            packed_.push_back(packed_bytes_);
            packed_bytes_ += each_.back().packed_bytes();
            scratch_bytes_ = std::max(scratch_bytes_, each_.back().scratch_bytes());
        }
    }

    [[nodiscard]] std::size_t bytes() const { return packed_bytes_ + threads_ * scratch_bytes_; }

    void pack(char* memory, std::size_t thread) const {
        for (std::size_t i = 0; i < each_.size(); ++i) each_[i].pack(memory + packed_[i], thread, threads_);
    }

    void multiply(char* memory, std::size_t thread, Part part) const {
        char* const scratch = memory + packed_bytes_ + thread * scratch_bytes_;
        for (std::size_t i = 0; i < each_.size(); ++i)
            each_[i].multiply(memory + packed_[i], scratch, part.begin, part.end);
    }

  private:
    const std::size_t threads_;
    std::vector<Projector> each_;
    std::vector<std::size_t> packed_;
    std::size_t packed_bytes_ = 0, scratch_bytes_ = 0;
};

// All gradients of matrices, one after the other, between all threads.
class OuterProducts {
  public:
    OuterProducts(const std::vector<Outer>& all, const Kernels& kernels, Number number, std::size_t rows,
                  std::size_t threads)
        : threads_(threads) {
        for (const Outer& one : all) {
            each_.emplace_back(one, kernels, number, rows);
            shared_bytes_ = std::max(shared_bytes_, each_.back().shared_bytes());
            scratch_bytes_ = std::max(scratch_bytes_, each_.back().scratch_bytes());
        }
    }

    [[nodiscard]] std::size_t bytes() const { return shared_bytes_ + threads_ * scratch_bytes_; }

    void run(char* memory, std::size_t thread, Barrier& barrier) const {
        for (const OuterProduct& one : each_) {
            barrier.wait(); // the memory served another before
            one.run(memory, memory + shared_bytes_ + thread * scratch_bytes_, thread, threads_, barrier);
        }
    }

  private:
    const std::size_t threads_;
    std::vector<OuterProduct> each_;
    std::size_t shared_bytes_ = 0, scratch_bytes_ = 0;
};

void carry_out(const Move& move, const std::vector<std::int64_t>& from) {
    for (std::size_t row = 0; row < from.size(); ++row) {
        std::memcpy(reinterpret_cast<float*>(move.to) + static_cast<std::int64_t>(row) * move.to_row,
                    reinterpret_cast<const float*>(move.from) + from[row] * move.from_row, move.width * sizeof(float));
    }
}

std::vector<std::int64_t> in_order(std::size_t rows) {
    std::vector<std::int64_t> found(rows);
    std::iota(found.begin(), found.end(), 0);
    return found;
}

// For each sequence the row of its last step, counted from where its last step is if all are equally long. Packed,
// from the first step on: a sequence without steps has its row among those of first states.
std::vector<std::int64_t> last_rows(const Call& call) {
    std::vector<std::int64_t> found = in_order(call.batch);
    if (!call.packed()) return found;
    for (std::int64_t& row : found) row += call.strides(-1);
    for (std::size_t t = 0; t < call.steps; ++t)
        for (std::size_t row = 0; row < call.rows_of(t); ++row)
            found[row] = static_cast<std::int64_t>(call.starts[t] + row);
    return found;
}

// Rows side by side for each thread. Of packed sequences every thread has long ones and short ones, dealt out in turn.
Share rows_of(const Call& call, std::size_t thread, std::size_t threads) {
    const Part part = part_of(call.batch, thread, threads);
    if (!call.packed()) return {part.begin, 1, part.size()};
    return {thread, threads, Share{thread, threads, call.batch}.below(call.batch)};
}

} // namespace

void run(const Program& program, const Call& call, const Kernels& kernels) {
    if (call.rows == 0) return;
    const Product& product = kernels.product(program.number);
    const Split split = choose_split(program, call, product);

    std::size_t packed_bytes = 0;
    std::vector<PackedWeights> packed = plan_packing(program, product, packed_bytes);
    const std::size_t rows = call.rows;
    const Projectors before(call.before, kernels, program.number, split.team);
    const Projectors after(call.after, kernels, program.number, split.team);
    const OuterProducts outers(call.outers, kernels, program.number, rows, split.team);
    Barrier barrier(split.team);
    Barrier each_step(split.threads);
    std::vector<std::unique_ptr<Worker>> workers;
    std::size_t bytes = packed_bytes;
    for (std::size_t k = 0; k < split.threads; ++k) {
        Part columns{};
        if (split.columns) columns = part_of(split.width, k, split.threads, product.unit());
        const Share mine = split.columns ? Share{0, 1, call.batch} : rows_of(call, k, split.threads);
        workers.push_back(
            std::make_unique<Worker>(program, call, kernels, packed, mine, columns, split.columns, each_step));
        if (k == 0 || !split.columns) bytes += workers[k]->step_bytes();
        bytes += workers[k]->own_bytes();
    }

    const Block block(bytes);
    const Block for_products(std::max({before.bytes(), after.bytes(), outers.bytes()}));
    std::vector<Block> tables;
    for (const Lookup& lookup : call.lookups) tables.emplace_back(lookup.vocabulary * lookup.columns * sizeof(float));
    const auto table = [&](std::size_t i) { return reinterpret_cast<float*>(tables[i].data()); };
    for (PackedWeights& p : packed) p.data = block.data() + reinterpret_cast<std::size_t>(p.data);
    char* next = block.data() + packed_bytes;
    std::memset(next, 0, bytes - packed_bytes);
    char* shared = next;
    for (auto& worker : workers) {
        const bool own = !split.columns || worker == workers.front();
        char* step = own ? next : shared;
        if (own) next += worker->step_bytes();
        worker->place(step, next);
        next += worker->own_bytes();
    }

    for (const Move& move : call.moves_before) carry_out(move, in_order(call.batch));
    parallel(split.team, [&](std::size_t k) {
        kernels.enter();
        pack(program, call.weights, product, packed, k, split.team);
        before.pack(for_products.data(), k);
        for (std::size_t i = 0; i < tables.size(); ++i) fill_table(call.lookups[i], table(i), k, split.team);
        barrier.wait();
        const Part share = part_of(rows, k, split.team);
        before.multiply(for_products.data(), k, share);
        for (std::size_t i = 0; i < tables.size(); ++i)
            look_up(call.lookups[i], table(i), kernels, share.begin, share.end);
        if (k < split.threads) workers[k]->initialise();
        barrier.wait();
        if (k < split.threads) {
            workers[k]->loop();
            workers[k]->finish();
        }
        if (!call.after.empty() || !call.scatters.empty() || !call.outers.empty()) {
            barrier.wait();
            after.pack(for_products.data(), k);
            barrier.wait();
            after.multiply(for_products.data(), k, share);
        }
        outers.run(for_products.data(), k, barrier);
        for (const Scatter& scatter : call.scatters) { // by columns: rows may pick the same place
            const Part columns = part_of(scatter.columns, k, split.team, line);
            scatter_add(scatter, kernels, rows, columns.begin, columns.end);
        }
        kernels.leave();
    });
    for (const Move& move : call.moves_after) carry_out(move, last_rows(call));
    for (const auto& worker : workers) worker->add_totals();
}

} // namespace ifog
