#include "ifog/loop.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "ifog/memory.hpp"
#include "ifog/packing.hpp"
#include "ifog/threads.hpp"

namespace ifog {

namespace {

constexpr std::size_t line = 16; // floats of a cache line

std::size_t padded(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

// Where a place lies now: at this step, for this thread.
struct View {
    char* data = nullptr;
    std::ptrdiff_t stride = 0; // elements
    std::size_t element = 4;   // bytes
    bool narrow = false;       // one column for all
};

struct Part {
    std::size_t begin = 0, end = 0;
    [[nodiscard]] std::size_t size() const { return end - begin; }
};

Part part_of(std::size_t whole, std::size_t index, std::size_t count) {
    return {whole * index / count, whole * (index + 1) / count};
}

// How a call is cut up between threads.
struct Split {
    std::size_t threads = 1;
    bool columns = false; // else rows
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
    const std::size_t work = call.batch * (weights + 4 * elements); // of a step, about a quarter of a cycle each
    const std::size_t wanted = work * call.steps < 100000 ? 1 : possible_threads(call.threads);
    if (wanted == 1) return {};
    Split rows{std::min(wanted, call.batch), false, 0};
    if (call.batch >= 25 * wanted || !program.columns_split()) return rows;
    const std::size_t width = program.stages.front().segments.empty() ? program.stages.front().products.front().columns
                                                                      : program.stages.front().segments.front().width;
    const std::size_t panels = (width + product.panel - 1) / product.panel;
    const Split columns{std::min(wanted, panels), true, width};
    if (weights == 0) return call.batch >= 2 * wanted || columns.threads == 1 ? rows : columns;
    const bool worth_waiting = work > 20000; // a barrier takes about a microsecond of two cores
    if (columns.threads > 1 && worth_waiting) return columns;
    return rows;
}

// The work of one thread.
class Worker {
  public:
    Worker(const Program& program, const Call& call, const Kernels& kernels, const std::vector<PackedWeights>& packed,
           Part rows, Part columns, bool by_columns, Barrier& barrier)
        : program_(program), call_(call), kernels_(kernels), product_(program.half ? kernels.half : kernels.fp32),
          packed_(packed), rows_(rows), columns_(columns), by_columns_(by_columns), barrier_(barrier),
          views_(program.places.size()), block_(program.registers > 14 ? 256 : 512) {}

    // Bytes of the arrays that all threads of a column split share, and a thread of a row split has alone.
    [[nodiscard]] std::size_t step_bytes() const {
        std::size_t bytes = 0;
        for (const Place& place : program_.places) bytes += step_bytes(place);
        return bytes;
    }

    // Bytes of registers, constants and totals.
    [[nodiscard]] std::size_t own_bytes() const {
        std::size_t floats = program_.registers * block_;
        for (const Place& place : program_.places) {
            if (place.kind == PlaceKind::constant) floats += block_;
            if (place.kind == PlaceKind::total) floats += padded(place.width, line);
        }
        return floats * 4;
    }

    // Assigns memory. `step` is zeroed: what pads a product's operands must be finite.
    void place(char* step, char* own) {
        const auto first_row = static_cast<std::ptrdiff_t>(by_columns_ ? 0 : rows_.begin);
        operands_.resize(views_.size());
        for (std::size_t i = 0; i < views_.size(); ++i) {
            const Place& place = program_.places[i];
            View& view = views_[i];
            view.narrow = place.width == 1;
            switch (place.kind) {
            case PlaceKind::in_register:
                view.data = own;
                own += block_ * 4;
                break;
            case PlaceKind::constant:
                view.data = own;
                std::fill_n(reinterpret_cast<float*>(own), block_, place.value);
                own += block_ * 4;
                break;
            case PlaceKind::total:
                view.data = own;
                std::memset(own, 0, padded(place.width, line) * 4);
                own += padded(place.width, line) * 4;
                break;
            case PlaceKind::local:
            case PlaceKind::operand: {
                view.element = element(place);
                view.stride = static_cast<std::ptrdiff_t>(row_width(place));
                const std::ptrdiff_t shift = first_row * view.stride * static_cast<std::ptrdiff_t>(view.element);
                view.data = step - shift;
                operands_[i] = view.data;
                step += step_bytes(place);
                break;
            }
            case PlaceKind::given: break;
            case PlaceKind::given_bf16: view.element = 2; break;
            }
        }
    }

    void initialise() {
        for (const Edge& edge : call_.initials) {
            const auto i = static_cast<std::size_t>(edge.place);
            const Place& place = program_.places[i];
            View view = views_[i];
            if (place.kind == PlaceKind::operand) view.data = operand_copy(i, 1);
            const Part columns = columns_of(place.width);
            const Tile source{reinterpret_cast<float*>(edge.data) +
                                  static_cast<std::ptrdiff_t>(rows_.begin) * edge.row + columns.begin,
                              edge.row};
            elementwise(view_is_operand(place) ? store_op() : Op::copy)(tile(view, rows_.begin, columns.begin), source,
                                                                       source, source, rows_.size(), columns.size());
        }
    }

    void loop() {
        const bool has_products = std::any_of(program_.stages.begin(), program_.stages.end(),
                                              [](const StageCode& stage) { return !stage.products.empty(); });
        for (std::size_t s = 0; s < call_.steps; ++s) {
            resolve(call_.reverse ? call_.steps - 1 - s : s, s);
            bool first = true;
            for (std::size_t i = 0; i < program_.stages.size(); ++i) {
                const StageCode& stage = program_.stages[i];
                // columns of other threads are read by products alone; a step forwards also overwrites in turn what
                // products of the step before read
                if (by_columns_ && has_products && (!stage.products.empty() || (first && !call_.reverse)))
                    barrier_.wait();
                first = false;
                for (std::size_t p = 0; p < stage.products.size(); ++p) multiply(stage.products[p], packed_index(i, p), s);
                if (!stage.segments.empty()) interpret(stage);
            }
        }
    }

    void finish() const {
        for (const Edge& edge : call_.finals) {
            const auto i = static_cast<std::size_t>(edge.place);
            const Part columns = columns_of(program_.places[i].width);
            const Tile to{reinterpret_cast<float*>(edge.data) + static_cast<std::ptrdiff_t>(rows_.begin) * edge.row +
                              columns.begin,
                          edge.row};
            const Tile from = tile(views_[i], rows_.begin, columns.begin);
            elementwise(Op::copy)(to, from, from, from, rows_.size(), columns.size());
        }
    }

    // Adds this thread's totals, in the order of threads: the same sum every time.
    void add_totals() const {
        std::size_t next = 0;
        for (std::size_t i = 0; i < views_.size(); ++i) {
            if (program_.places[i].kind != PlaceKind::total) continue;
            auto* to = reinterpret_cast<float*>(call_.totals[next++]);
            const Part columns = columns_of(program_.places[i].width);
            const auto* from = reinterpret_cast<const float*>(views_[i].data);
            for (std::size_t c = columns.begin; c < columns.end; ++c) to[c] += from[c];
        }
    }

  private:
    [[nodiscard]] std::size_t element(const Place& place) const {
        return place.kind == PlaceKind::operand ? product_.bytes : 4;
    }
    [[nodiscard]] std::size_t row_width(const Place& place) const {
        return padded(place.width, std::max(product_.depth_align, line));
    }
    [[nodiscard]] std::size_t step_bytes(const Place& place) const {
        if (place.kind != PlaceKind::local && place.kind != PlaceKind::operand) return 0;
        const std::size_t rows = padded(rows_.size(), product_.row_align);
        const std::size_t one = padded(rows * row_width(place) * element(place), 64);
        return place.kind == PlaceKind::operand ? 2 * one : one;
    }
    [[nodiscard]] char* operand_copy(std::size_t i, std::size_t step) const {
        return operands_[i] + (step % 2) * step_bytes(program_.places[i]) / 2;
    }
    [[nodiscard]] bool view_is_operand(const Place& place) const {
        return place.kind == PlaceKind::operand && program_.half;
    }
    [[nodiscard]] Op store_op() const { return kernels_.native_half ? Op::store_bf16 : Op::round_bf16; }
    [[nodiscard]] Elementwise elementwise(Op op) const { return kernels_.elementwise[static_cast<std::size_t>(op)]; }
    [[nodiscard]] Part columns_of(std::size_t width) const { return by_columns_ && width > 1 ? columns_ : Part{0, width}; }

    // Products are numbered through all stages.
    [[nodiscard]] std::size_t packed_index(std::size_t stage, std::size_t product) const {
        for (std::size_t i = 0; i < stage; ++i) product += program_.stages[i].products.size();
        return product;
    }

    void resolve(std::size_t t, std::size_t s) {
        std::size_t next = 0;
        for (std::size_t i = 0; i < views_.size(); ++i) {
            const PlaceKind kind = program_.places[i].kind;
            View& view = views_[i];
            if (kind == PlaceKind::operand) {
                view.data = operand_copy(i, s);
            } else if (kind == PlaceKind::given || kind == PlaceKind::given_bf16) {
                const Binding& binding = call_.bindings[next++];
                view.data = reinterpret_cast<char*>(binding.base) + static_cast<std::int64_t>(t) * binding.step *
                                                                        static_cast<std::int64_t>(view.element);
                view.stride = binding.row;
            }
        }
    }

    static Tile tile(const View& view, std::size_t row, std::size_t column) {
        const auto at = static_cast<std::ptrdiff_t>(row) * view.stride +
                        (view.narrow ? 0 : static_cast<std::ptrdiff_t>(column));
        return {reinterpret_cast<float*>(view.data + at * static_cast<std::ptrdiff_t>(view.element)), view.stride};
    }

    void multiply(const ProductCode& code, std::size_t index, std::size_t s) {
        const PackedWeights& packed = packed_[index];
        Operand operands[64];
        for (std::size_t k = 0; k < code.terms.size(); ++k) {
            const Term& term = code.terms[k];
            View view = views_[term.operand];
            if (program_.places[term.operand].kind == PlaceKind::operand)
                view.data = operand_copy(term.operand, term.previous ? s + 1 : s);
            operands[k] = {view.data + static_cast<std::ptrdiff_t>(rows_.begin) * view.stride *
                                           static_cast<std::ptrdiff_t>(view.element),
                           view.stride, packed.depths[k]};
        }
        const Part columns = columns_of(code.columns);
        if (columns.size() == 0) return;
        const View& out = views_[code.out];
        auto* C = reinterpret_cast<float*>(out.data) + static_cast<std::ptrdiff_t>(rows_.begin) * out.stride;
        product_.multiply(operands, code.terms.size(), rows_.size(),
                          packed.data + columns.begin * packed.depth * product_.bytes, columns.size(),
                          C + columns.begin, out.stride);
    }

    void interpret(const StageCode& stage) {
        std::size_t widest = 1;
        for (const CodeSegment& segment : stage.segments)
            widest = std::max(widest, columns_of(segment.width).size());
        const std::size_t height = std::max<std::size_t>(1, block_ / widest);
        for (std::size_t row = rows_.begin; row < rows_.end; row += height) {
            const std::size_t rows = std::min(height, rows_.end - row);
            for (const CodeSegment& segment : stage.segments) {
                if (segment.code.size() == 1 && segment.code[0].rowwise) {
                    row_operation(segment.code[0], row, rows);
                    continue;
                }
                const Part columns = columns_of(segment.width);
                for (std::size_t c = columns.begin; c < columns.end; c += block_)
                    elements(segment, row, rows, c, std::min(block_, columns.end - c));
            }
        }
    }

    void elements(const CodeSegment& segment, std::size_t row, std::size_t rows, std::size_t column,
                  std::size_t columns) {
        const auto at = [&](std::size_t i) -> Tile {
            if (i < program_.registers) return {reinterpret_cast<float*>(views_[i].data), static_cast<std::ptrdiff_t>(columns)};
            if (program_.places[i].kind == PlaceKind::constant) return {reinterpret_cast<float*>(views_[i].data), 0};
            return tile(views_[i], row, column);
        };
        for (const Instruction& code : segment.code) {
            auto op = static_cast<Op>(code.op);
            if (op == Op::store_bf16 && program_.places[code.out].kind == PlaceKind::operand) op = store_op();
            elementwise(op)(at(code.out), at(code.a), at(code.b), at(code.c), rows, columns);
        }
    }

    void row_operation(const Instruction& code, std::size_t row, std::size_t rows) {
        const auto width = [&](std::uint16_t i) { return program_.places[i].width; };
        kernels_.rowwise[code.op](tile(views_[code.out], row, 0), tile(views_[code.a], row, 0),
                                  tile(views_[code.b], row, 0), rows, width(code.out), width(code.a), width(code.b),
                                  code.first, code.second);
    }

    const Program& program_;
    const Call& call_;
    const Kernels& kernels_;
    const Product& product_;
    const std::vector<PackedWeights>& packed_;
    const Part rows_, columns_;
    const bool by_columns_;
    Barrier& barrier_;
    std::vector<View> views_;
    std::vector<char*> operands_;
    const std::size_t block_;
};

// Several projections one after the other, between all threads.
class Projectors {
  public:
    Projectors(const std::vector<Projection>& all, const Kernels& kernels, bool half, std::size_t threads)
        : threads_(threads) {
        for (const Projection& one : all) {
            each_.emplace_back(one, kernels, half);
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

void carry_out(const Move& move, std::size_t rows) {
    for (std::size_t row = 0; row < rows; ++row) {
        const auto at = static_cast<std::int64_t>(row);
        std::memcpy(reinterpret_cast<float*>(move.to) + at * move.to_row,
                    reinterpret_cast<const float*>(move.from) + at * move.from_row, move.width * sizeof(float));
    }
}

} // namespace

void run(const Program& program, const Call& call, const Kernels& kernels) {
    if (call.steps == 0 || call.batch == 0) return;
    const Product& product = program.half ? kernels.half : kernels.fp32;
    const Split split = choose_split(program, call, product);

    std::size_t packed_bytes = 0;
    std::vector<PackedWeights> packed = plan_packing(program, product, packed_bytes);
    const Projectors before(call.before, kernels, program.half, split.threads);
    const Projectors after(call.after, kernels, program.half, split.threads);
    Barrier barrier(split.threads);
    std::vector<std::unique_ptr<Worker>> workers;
    std::size_t bytes = packed_bytes;
    for (std::size_t k = 0; k < split.threads; ++k) {
        Part columns{};
        if (split.columns) {
            const Part panels = part_of((split.width + product.panel - 1) / product.panel, k, split.threads);
            columns = {panels.begin * product.panel, std::min(panels.end * product.panel, split.width)};
        }
        const Part rows = split.columns ? Part{0, call.batch} : part_of(call.batch, k, split.threads);
        workers.push_back(
            std::make_unique<Worker>(program, call, kernels, packed, rows, columns, split.columns, barrier));
        if (k == 0 || !split.columns) bytes += workers[k]->step_bytes();
        bytes += workers[k]->own_bytes();
    }

    const Block block(bytes);
    const Block for_projections(std::max(before.bytes(), after.bytes()));
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

    const std::size_t rows = call.steps * call.batch;
    for (const Move& move : call.moves_before) carry_out(move, call.batch);
    parallel(split.threads, [&](std::size_t k) {
        kernels.enter();
        pack(program, call.weights, product, packed, k, split.threads);
        before.pack(for_projections.data(), k);
        for (std::size_t i = 0; i < tables.size(); ++i) fill_table(call.lookups[i], table(i), k, split.threads);
        barrier.wait();
        const Part share = part_of(rows, k, split.threads);
        before.multiply(for_projections.data(), k, share);
        for (std::size_t i = 0; i < tables.size(); ++i)
            look_up(call.lookups[i], table(i), kernels, share.begin, share.end);
        workers[k]->initialise();
        barrier.wait();
        workers[k]->loop();
        workers[k]->finish();
        if (!call.after.empty() || !call.scatters.empty()) {
            barrier.wait();
            after.pack(for_projections.data(), k);
            barrier.wait();
            after.multiply(for_projections.data(), k, share);
        }
        for (const Scatter& scatter : call.scatters) { // by columns: rows may pick the same place
            const Part columns = part_of(padded(scatter.columns, line) / line, k, split.threads);
            scatter_add(scatter, kernels, rows, columns.begin * line, std::min(columns.end * line, scatter.columns));
        }
        kernels.leave();
    });
    for (const Move& move : call.moves_after) carry_out(move, call.batch);
    for (const auto& worker : workers) worker->add_totals();
}

} // namespace ifog
