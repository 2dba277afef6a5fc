"""Characters per second: an LSTM language model that draws one character at a time, nothing batched.

Owns the contestants, all with the same weights: ifog's generation, a loop around torch's layers, and onnxruntime with
the same step as a graph. Takes limits, prints rows. Each contestant's scores, and its greedy text, are checked first.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks.registry import Precision, keywords, supports
from benchmarks.report import Report
from benchmarks.run import Limits, interleaved, spread
from benchmarks.verify import OF_LARGEST, MismatchError, differences
from torch import Tensor, nn

import ifog
from ifog.generation import Sampling, generate

__all__ = ["Contestant", "check", "contestants", "run"]

VOCABULARY, EMBEDDING, HIDDEN = 96, 64, 512
REST = 0.2  # seconds in which onnxruntime's threads stop spinning
ONNX_GATES, TORCH_GATES = "iofg", "ifgo"


@dataclass(frozen=True)
class Contestant:
    """Something that makes text.

    Attributes:
        draw: Makes so many ids, starting from id 0; the flag asks for the likeliest ones instead of drawing.
        scores: Of the next id after each of the given ones, `(T, V)`.
    """

    name: str
    precision: Precision
    draw: Callable[[int, bool], list[int]]
    scores: Callable[[Sequence[int]], Tensor]


class Plain(nn.Module):
    """The model as one writes it with torch.nn; its weights are everyone's."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, HIDDEN)
        self.cell = nn.LSTMCell(EMBEDDING, HIDDEN)
        self.head = nn.Linear(HIDDEN, VOCABULARY)
        for name, weight in self.cell.named_parameters():
            weight.data = getattr(self.lstm, f"{name}_l0").data
        self.head.weight.data.mul_(8)  # so that scores differ enough to have an opinion

    def by_layer(self, i: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step with `nn.LSTM`: scores `(1, V)` after id `(1,)`."""
        y, state = self.lstm(self.embedding(i).unsqueeze(0), state)
        return self.head(y[0]), state

    def by_cell(self, i: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step with `nn.LSTMCell`."""
        state = self.cell(self.embedding(i), state)
        return self.head(state[0]), state


def run(report: Report, limits: Limits, precisions: Sequence[Precision], quick: bool) -> None:
    """Prints characters per second of each contestant, and how often faster ours is.

    Raises:
        MismatchError: A contestant computes something else.
    """
    report.title(f"generation, batch 1: LSTM of {HIDDEN}, {VOCABULARY} characters, embedding of {EMBEDDING}")
    torch.manual_seed(0)
    model = Plain().eval()
    all_of_them = contestants(model, precisions)
    for one in all_of_them:
        check(one, model)
    length = 20 if quick else 500
    rounds = interleaved([partial(one.draw, length, False) for one in all_of_them], limits, REST)
    medians = [statistics.median(ms) for ms in rounds]
    ours = [one for one in all_of_them if one.name == "ifog"]
    print(f"{'':<24}{'characters/s':>13}{'spread':>8}" + "".join(f"{f'ifog {o.precision} ×':>14}" for o in ours))
    rows: list[dict[str, Any]] = []
    for one, ms, middle in zip(all_of_them, rounds, medians, strict=True):
        speed = length / middle * 1e3
        times = {o.precision: middle / medians[all_of_them.index(o)] for o in ours}
        columns = "".join(f"{t:>14.2f}" for t in times.values())
        print(f"{f'{one.name}, {one.precision}':<24}{speed:>13.0f}{spread(ms):>8.1%}{columns}", flush=True)
        rows.append({"name": one.name, "precision": one.precision, "per_second": speed, "ms": ms, "ratios": times})
    report.keep("generation", rows, length=length)


def contestants(model: Plain, precisions: Sequence[Precision]) -> list[Contestant]:
    """All that can run here."""
    found = [ours(model, p) for p in precisions if supports(p, ifog.LanguageModel)]
    for precision in precisions:
        if not supports(precision, ifog.LanguageModel):
            print(f"left out: ifog.LanguageModel takes no precision={precision!r} yet")
    found += [in_torch("torch nn.LSTM", model.by_layer), in_torch("torch nn.LSTMCell", model.by_cell)]
    try:
        found.append(in_onnxruntime(model))
    except ImportError as error:
        print(f"left out: onnxruntime ({error}); pip install onnx onnxruntime")
    return found


def check(one: Contestant, model: Plain) -> None:
    """Scores of a given text, and the text it finds likeliest.

    Raises:
        MismatchError: Scores differ from torch's, or a choice is not the best by torch's scores.
    """
    text = [0, *(int(i) for i in torch.randint(VOCABULARY, (40,), generator=torch.Generator().manual_seed(1)))]
    wanted = in_torch("", model.by_layer).scores
    complaints = differences({"scores": one.scores(text)}, {"scores": wanted(text)}, one.precision)
    greedy = one.draw(40, True)
    if len(greedy) != 40:
        complaints.append(f"made {len(greedy)} characters, not 40")
    scores = wanted([0, *greedy[:-1]])
    missed = scores.max(1).values - scores.gather(1, torch.tensor(greedy).unsqueeze(1)).squeeze(1)
    if bool((missed > OF_LARGEST[one.precision] * scores.abs().max()).any()):
        complaints.append("its greedy text is not the likeliest")
    if complaints:
        raise MismatchError(f"generation by {one.name} in {one.precision}: {'; '.join(complaints)}")


def ours(model: Plain, precision: Precision) -> Contestant:
    """ifog's own generation: the one place that knows how it is called."""
    language = ifog.LanguageModel(
        VOCABULARY, cell="lstm", hidden_size=HIDDEN, embedding_size=EMBEDDING, **keywords(precision)
    ).eval()
    state = {"embedding.weight": model.embedding.weight, "W_hy": model.head.weight, "b_y": model.head.bias}
    weights = dict(model.lstm.named_parameters())
    w_x, w_h = weights["weight_ih_l0"].chunk(4), weights["weight_hh_l0"].chunk(4)
    bias = (weights["bias_ih_l0"] + weights["bias_hh_l0"]).chunk(4)
    for k, gate in enumerate(TORCH_GATES):
        state |= {
            f"recurrent.W_x{gate}_l0": w_x[k],
            f"recurrent.W_h{gate}_l0": w_h[k],
            f"recurrent.b_{gate}_l0": bias[k],
        }
    language.load_state_dict({name: value.detach() for name, value in state.items()})
    start = torch.zeros(1, 1, dtype=torch.int64)

    def draw(length: int, greedy: bool) -> list[int]:
        return [int(i) for i in generate(language, start, length, sampling=Sampling(greedy=greedy, seed=0))]

    @torch.no_grad()
    def scores(ids: Sequence[int]) -> Tensor:
        return language(torch.tensor(ids).unsqueeze(1))[0].squeeze(1)

    return Contestant("ifog", precision, draw, scores)


def in_torch(name: str, step: Callable[[Tensor, Any], tuple[Tensor, Any]]) -> Contestant:
    """A loop in Python: one step, softmax, multinomial."""

    @torch.inference_mode()
    def draw(length: int, greedy: bool) -> list[int]:
        i, state, made = torch.zeros(1, dtype=torch.int64), None, list[int]()
        for _ in range(length):
            s, state = step(i, state)
            i = s.argmax(1) if greedy else torch.multinomial(s.softmax(1), 1).squeeze(1)
            made.append(int(i))
        return made

    @torch.inference_mode()
    def scores(ids: Sequence[int]) -> Tensor:
        state, found = None, list[Tensor]()
        for i in ids:
            s, state = step(torch.tensor([i]), state)
            found.append(s)
        return torch.cat(found)

    return Contestant(name, "fp32", draw, scores)


def in_onnxruntime(model: Plain) -> Contestant:
    """The same loop around a session, drawing in numpy.

    Raises:
        ImportError: onnx or onnxruntime is missing.
    """
    import onnxruntime

    library: Any = onnxruntime  # which has no types
    options = library.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = library.InferenceSession(exported(model), options, providers=["CPUExecutionProvider"])
    zeros = np.zeros((1, 1, HIDDEN), np.float32)

    def draw(length: int, greedy: bool) -> list[int]:
        random, i, h, c, made = np.random.default_rng(0), 0, zeros, zeros, list[int]()
        for _ in range(length):
            s, h, c = session.run(None, {"i": np.full((1, 1), i), "h": h, "c": c})
            if greedy:
                i = int(s[0].argmax())
            else:
                sums = np.exp(s[0] - s[0].max()).cumsum()
                i = int(sums.searchsorted(random.random() * sums[-1], "right"))
            made.append(i)
        return made

    def scores(ids: Sequence[int]) -> Tensor:
        h, c, found = zeros, zeros, list[Tensor]()
        for i in ids:
            s, h, c = session.run(None, {"i": np.full((1, 1), i), "h": h, "c": c})
            found.append(torch.from_numpy(s))
        return torch.cat(found)

    return Contestant("onnxruntime", "fp32", draw, scores)


def exported(model: Plain) -> bytes:
    """One step as an ONNX graph: id `(1, 1)`, h and c `(1, 1, H)` in; scores `(1, V)`, h and c out."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def reordered(weight: Tensor) -> Tensor:
        parts = dict(zip(TORCH_GATES, weight.chunk(4), strict=True))
        return torch.cat([parts[gate] for gate in ONNX_GATES])

    lstm = {name: reordered(weight) for name, weight in model.lstm.named_parameters()}
    tensors = {
        "E": model.embedding.weight,
        "W": lstm["weight_ih_l0"].unsqueeze(0),
        "R": lstm["weight_hh_l0"].unsqueeze(0),
        "B": torch.cat([lstm["bias_ih_l0"], lstm["bias_hh_l0"]]).unsqueeze(0),
        "W_hy": model.head.weight,
        "b_y": model.head.bias,
    }
    weights = [numpy_helper.from_array(t.detach().contiguous().numpy(), name) for name, t in tensors.items()]
    weights.append(numpy_helper.from_array(np.array([0]), "axis"))
    nodes = [
        helper.make_node("Gather", ["E", "i"], ["x"]),
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["", "h1", "c1"], hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["h1", "axis"], ["row"]),
        helper.make_node("Gemm", ["row", "W_hy", "b_y"], ["scores"], transB=1),
    ]
    state = [1, 1, HIDDEN]
    given = [helper.make_tensor_value_info("i", TensorProto.INT64, [1, 1])]
    given += [helper.make_tensor_value_info(name, TensorProto.FLOAT, state) for name in "hc"]
    made = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, VOCABULARY])]
    made += [helper.make_tensor_value_info(name, TensorProto.FLOAT, state) for name in ("h1", "c1")]
    graph = helper.make_graph(nodes, "step", given, made, weights)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(whole)
    return whole.SerializeToString()
