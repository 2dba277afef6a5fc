"""Planted truth is found, and networks without any are not found to mean something."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from ifog.data import CharTokenizer
from ifog.inspection.controls import detect
from ifog.inspection.search import Search
from ifog.models import LanguageModel

WORDS = ["value", "total", "count", "number", "name", "line", "item", "first", "last", "Reader", "Writer", "x", "node"]


def code(seed: int, characters: int) -> str:
    """Lines that look like Python: blocks, conditions, brackets, strings, comments, numbers, keywords."""
    draw = random.Random(seed)
    lines, indent, opened = [], 0, False

    def term(depth: int = 0) -> str:
        kind = draw.randint(0, 5) if depth < 3 else 0
        if kind == 1:
            return f"{draw.choice(WORDS)}({', '.join(term(depth + 1) for _ in range(draw.randint(0, 3)))})"
        if kind == 2:
            return f"[{term(depth + 1)}, {term(depth + 1)}]"
        if kind == 3:
            return '"' + " ".join(draw.choices(WORDS, k=draw.randint(1, 5))) + draw.choice(("", ".", ". Then")) + '"'
        return str(draw.randint(0, 999)) if kind == 4 else draw.choice(WORDS)

    while sum(map(len, lines)) < characters:
        indent = min(indent + 1, 5) if opened else draw.randint(max(0, indent - 2), indent)
        opened = indent < 5 and draw.random() < 0.3
        if opened:
            line = f"{draw.choice(('if', 'while'))} {term()} == {term()} and {term()}:"
        else:
            line = draw.choice((f"{draw.choice(WORDS)} = {term()} + {term()}", f"return {term()}", term()))
        lines.append("    " * indent + line + draw.choice(("", "", "", "  # " + " ".join(draw.choices(WORDS, k=4)))))
    return "\n".join(lines)[:characters]


def planted(text: str, hidden: int = 12) -> LanguageModel:
    """An LSTM whose unit 3 is on inside quotes and whose unit 7 counts to the line's end; the others are random."""
    tokenizer = CharTokenizer.from_chunks([text])
    model = LanguageModel(tokenizer.vocabulary_size, cell="lstm", hidden_size=hidden)
    model.tokenizer = tokenizer
    quote, line_break = tokenizer.encode('"')[0], tokenizer.encode("\n")[0]
    weights = dict(model.recurrent.named_parameters())
    strong = 20.0
    with torch.no_grad():
        for unit in (3, 7):
            for gate in "ifog":
                weights[f"W_x{gate}_l0"][unit] = 0.0
                weights[f"W_h{gate}_l0"][unit] = 0.0
                weights[f"b_{gate}_l0"][unit] = strong  # every gate open, unless told otherwise
        weights["W_xf_l0"][3, quote] = -2 * strong  # a quote forgets that there was one ...
        weights["b_i_l0"][3] = -strong
        weights["W_xi_l0"][3, quote] = 2 * strong  # ... and is written down
        weights["W_hi_l0"][3, 3] = -4 * strong  # ... but if one was open
        weights["b_g_l0"][7] = 0.01  # a hundredth for each character
        weights["W_xf_l0"][7, line_break] = weights["W_xi_l0"][7, line_break] = -2 * strong
    return model.eval()


@pytest.fixture(scope="module")
def findings() -> Any:
    torch.manual_seed(1)
    text = code(0, 12_000)
    return detect(planted(text), text, "prose", controls=19, samples=200)


def test_the_planted_quote_cell_is_found(findings: Any):
    finding = findings["quotes"]
    assert finding.found
    assert (finding.name, finding.unit, finding.rises) in {("layer0.c", 3, True), ("layer0.h", 3, True)}
    assert finding.value > 0.99
    assert finding.lower > finding.bar
    assert finding.p_value <= 1 / 60
    assert finding.verdict.startswith("unit 3 of layer 0 (")
    assert "is inside quotes: AUC 1.00" in finding.verdict


def test_the_planted_line_counter_is_found(findings: Any):
    finding = findings["line_position"]
    assert finding.found
    assert (finding.name, finding.unit, finding.rises) in {("layer0.c", 7, True), ("layer0.h", 7, True)}
    assert finding.value > 0.99
    assert "counts the position in the line: rank correlation 1.00" in finding.verdict


def test_what_was_not_planted_is_not_found(findings: Any):
    for name in ("first_letter", "digit", "bracket_depth", "indentation_depth"):
        assert not findings[name].found
        assert findings[name].verdict.startswith("not found: ")
    assert findings.share < 0.2  # four planted units of 72 (h and c of both), their gates, and luck


class Read:
    """Arrays by name, as a trace gives them."""

    names = states = ("layer0.h", "layer0.c")

    def __init__(self, tokens: list[str], kept: np.ndarray) -> None:
        self.tokens, self.arrays = tokens, dict(zip(self.names, np.moveaxis(kept, 1, 0), strict=True))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


def random_networks(count: int, ids: np.ndarray, vocabulary: int, hidden: int, scale: float) -> list[Any]:
    """What LSTMs with normal random weights do on a text, all at once."""
    draw = np.random.default_rng(int(scale * 10))
    w_x = draw.normal(0, scale, (count, vocabulary, 4 * hidden)).astype(np.float32)
    w_h = (draw.normal(0, scale, (count, hidden, 4 * hidden)) / np.sqrt(hidden)).astype(np.float32)
    bias = np.repeat([0.0, 1.0, 0.0, 0.0], hidden).astype(np.float32)  # the forget gate starts open
    h, c = np.zeros((2, count, hidden), np.float32)
    kept = np.empty((len(ids), 2, count, hidden), np.float32)
    for step, token in enumerate(ids):
        a = w_x[:, token] + (h[:, None] @ w_h)[:, 0] + bias
        i, f, o = 1 / (1 + np.exp(-a[:, : 3 * hidden].reshape(count, 3, hidden).swapaxes(0, 1)))
        c = f * c + i * np.tanh(a[:, 3 * hidden :])
        h = o * np.tanh(c)
        kept[step] = h, c
    return [kept[:, :, k] for k in range(count)]


@pytest.mark.parametrize("scale", [0.3, 1.5])
def test_random_networks_are_not_found_to_mean_anything(scale: float):
    text = code(5, 3000)
    characters, ids = np.unique(list(text), return_inverse=True)
    networks = [Read(list(text), kept) for kept in random_networks(119, ids, len(characters), 8, scale)]
    ready = Search(list(text), "python")
    assert len(ready.detectors) >= 9
    judged = [ready.judge(network, shifts=19) for network in networks]
    found = [
        [
            (finding.detector, finding.value, finding.bar)
            for finding in ready.conclude(networks[k], judged[k], judged[k + 1 : k + 20], samples=100).findings
            if finding.found
        ]
        for k in range(100)
    ]
    assert sum(map(bool, found)) <= 5, [one for one in found if one]
