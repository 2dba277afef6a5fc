// Reading a program: the only place where its numbers are not yet trusted.

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "ifog/loop.hpp"
#include "ifog/parts.hpp"

namespace ifog {

namespace {

class Reader {
  public:
    explicit Reader(const std::vector<std::int64_t>& words) : words_(words) {}

    // The next number, which has to lie in 0 .. limit - 1.
    std::size_t below(std::size_t limit, const char* what) {
        const std::int64_t word = any();
        if (word < 0 || static_cast<std::uint64_t>(word) >= limit)
            throw std::invalid_argument(std::string("program: ") + what + " " + std::to_string(word) +
                                        " is out of range");
        return static_cast<std::size_t>(word);
    }

    std::size_t count(const char* what) { return below(words_.size() + 1, what); }
    std::size_t size(const char* what) { return below(std::size_t{1} << 40, what); }

    std::int64_t any() {
        if (next_ == words_.size()) throw std::invalid_argument("program: it ends too early");
        return words_[next_++];
    }

    [[nodiscard]] bool done() const { return next_ == words_.size(); }

  private:
    const std::vector<std::int64_t>& words_;
    std::size_t next_ = 0;
};

Instruction read_instruction(Reader& in, std::size_t places) {
    Instruction code{};
    code.rowwise = in.below(2, "flag") == 1;
    const auto operations = static_cast<std::size_t>(code.rowwise ? static_cast<int>(RowOp::count)
                                                                  : static_cast<int>(Op::count));
    code.op = static_cast<std::uint16_t>(in.below(operations, "operation"));
    for (std::uint16_t* place : {&code.out, &code.a, &code.b, &code.c})
        *place = static_cast<std::uint16_t>(in.below(places, "place"));
    code.first = static_cast<std::int32_t>(in.below(std::size_t{1} << 31, "attribute"));
    code.second = static_cast<std::int32_t>(in.below(std::size_t{1} << 31, "attribute"));
    return code;
}

ProductCode read_product(Reader& in, const Program& program) {
    ProductCode code{};
    code.out = static_cast<std::uint16_t>(in.below(program.places.size(), "place"));
    code.columns = in.size("columns");
    const std::size_t terms = in.below(65, "count of operands");
    for (std::size_t k = 0; k < terms; ++k) {
        Term term{};
        term.operand = static_cast<std::uint16_t>(in.below(program.places.size(), "place"));
        term.weight = static_cast<std::uint16_t>(in.below(program.weights.size(), "weight"));
        term.previous = in.below(2, "flag") == 1;
        code.terms.push_back(term);
    }
    return code;
}

} // namespace

Program Program::decode(const std::vector<std::int64_t>& words) {
    Reader in(words);
    Program program;
    program.number = static_cast<Number>(in.below(static_cast<std::size_t>(Number::int16) + 1, "type of numbers"));
    const std::size_t places = in.below(65535, "count of places");
    for (std::size_t i = 0; i < places; ++i) {
        Place place{};
        place.kind = static_cast<PlaceKind>(in.below(static_cast<std::size_t>(PlaceKind::total) + 1, "kind"));
        place.width = in.size("width");
        place.value = std::bit_cast<float>(static_cast<std::uint32_t>(in.any()));
        if (place.kind == PlaceKind::in_register) {
            if (program.registers != i) throw std::invalid_argument("program: registers come first");
            ++program.registers;
        }
        program.places.push_back(place);
    }
    const std::size_t weights = in.below(65535, "count of weights");
    for (std::size_t i = 0; i < weights; ++i) {
        const std::size_t columns = in.size("columns");
        program.weights.push_back({columns, in.size("depth")});
    }
    const std::size_t stages = in.count("count of stages");
    for (std::size_t i = 0; i < stages; ++i) {
        StageCode stage;
        const std::size_t products = in.count("count of products");
        for (std::size_t p = 0; p < products; ++p) stage.products.push_back(read_product(in, program));
        const std::size_t segments = in.count("count of segments");
        for (std::size_t k = 0; k < segments; ++k) {
            CodeSegment segment{};
            segment.width = in.size("width");
            segment.lines = in.size("lines");
            if (segment.lines == 0 || segment.width % segment.lines != 0)
                throw std::invalid_argument("program: lines of a matrix have equal lengths");
            const std::size_t length = in.count("count of instructions");
            for (std::size_t n = 0; n < length; ++n) segment.code.push_back(read_instruction(in, places));
            stage.segments.push_back(std::move(segment));
        }
        program.stages.push_back(std::move(stage));
    }
    if (!in.done()) throw std::invalid_argument("program: something follows its end");
    return program;
}

void check(const Program& program, const Call& call) {
    std::size_t given = 0;
    std::size_t totals = 0;
    for (const Place& place : program.places) {
        given += place.kind == PlaceKind::given || place.kind == PlaceKind::given_bf16;
        totals += place.kind == PlaceKind::total;
    }
    const auto want = [](std::size_t have, std::size_t need, const char* what) {
        if (have != need)
            throw std::invalid_argument(std::string("call: ") + std::to_string(need) + " " + what + " are needed, " +
                                        std::to_string(have) + " were given");
    };
    want(call.bindings.size(), given, "arrays");
    want(call.totals.size(), totals, "totals");
    want(call.weights.size(), program.weights.size(), "weights");
    for (const std::vector<Edge>* edges : {&call.initials, &call.finals})
        for (const Edge& edge : *edges)
            if (edge.place < 0 || static_cast<std::size_t>(edge.place) >= program.places.size())
                throw std::invalid_argument("call: no such place");
}

void Call::cut(const std::vector<std::int64_t>& sizes) {
    const auto refuse = [](const char* why) { throw std::invalid_argument(std::string("call: ") + why); };
    starts.clear();
    if (sizes.empty()) {
        if (batch != 0 && rows % batch != 0) refuse("rows of padded sequences come in whole batches");
        steps = batch == 0 ? 0 : rows / batch;
        return;
    }
    starts.push_back(0);
    auto most = static_cast<std::int64_t>(batch);
    for (const std::int64_t size : sizes) {
        if (size < 1 || size > most) refuse("a step of packed sequences has at most the rows of the one before");
        most = size;
        starts.push_back(starts.back() + static_cast<std::size_t>(size));
    }
    if (starts.back() != rows) refuse("the steps of packed sequences don't add up to all rows");
    steps = sizes.size();
}

// A pass over a matrix has few registers, and each of its instructions is set up anew for every block.
constexpr std::size_t several_lines = 1024;

std::size_t Program::block(std::size_t least) const {
    for (const StageCode& stage : stages)
        for (const CodeSegment& segment : stage.segments)
            if (segment.matrix())
                least = std::max({least, padded(segment.width / segment.lines, line),
                                  registers > 6 ? std::size_t{0} : several_lines});
    return least;
}

bool Program::columns_split() const {
    std::size_t width = 0;
    const auto same = [&width](std::size_t other) {
        if (width == 0) width = other;
        return width == other;
    };
    for (const StageCode& stage : stages) {
        if (stage.segments.size() > 1) return false;
        for (const ProductCode& product : stage.products)
            if (!same(product.columns)) return false;
        for (const CodeSegment& segment : stage.segments) {
            if (segment.matrix() || !same(segment.width)) return false;
            for (const Instruction& code : segment.code)
                if (code.rowwise) return false;
        }
    }
    return width > 1;
}

} // namespace ifog
