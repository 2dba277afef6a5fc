"""Single steps on the engine against the same layer run as a sequence."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor

import ifog
from ifog import cells
from ifog.errors import CellError, ConfigError, ShapeError
from ifog.kernels import available

pytestmark = pytest.mark.skipif(not available(), reason="the engine is not built")

NAMES = sorted(cells.CATALOGUE)


def layer_of(name: Any, layers: int, vocabulary: int | None = None, **options: Any) -> ifog.Recurrent:
    torch.manual_seed(0)
    layer = ifog.Recurrent(name, None if vocabulary else 12, 12, layers, vocabulary=vocabulary, **options).eval()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return layer


def stepped(layer: ifog.Recurrent, x: Tensor) -> tuple[Tensor, Any]:
    """All of `x`, one step at a time."""
    outputs: list[Tensor] = []
    state = None
    with torch.no_grad():
        stream = layer.streaming(x.shape[1])
        assert stream.stream is not None
        for x_t in x:
            output, state = stream.step(x_t, state)
            outputs.append(output)
    return torch.stack(outputs), state


def assert_like_a_sequence(layer: ifog.Recurrent, x: Tensor, tolerance: float = 5e-6) -> None:
    with torch.no_grad():
        expected, last = layer(x)
    output, state = stepped(layer, x)
    for found, wanted in zip((output, *state), (expected, *last), strict=True):
        assert float((found - wanted).abs().max()) <= tolerance * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_steps_make_what_a_sequence_makes(name: str) -> None:
    for layers, batch in ((1, 1), (2, 3)):
        assert_like_a_sequence(layer_of(name, layers), torch.randn(5, batch, 12))
        assert_like_a_sequence(layer_of(name, layers, precision="bf16"), torch.randn(5, batch, 12), 3e-2)
        assert_like_a_sequence(layer_of(name, layers, precision="int16"), torch.randn(5, batch, 12), 2e-3)
        try:
            tokens = layer_of(name, layers, 9)
        except (CellError, ConfigError):
            continue
        assert_like_a_sequence(tokens, torch.randint(9, (5, batch)))


def test_wide_layers_on_two_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    layer = ifog.Recurrent("lstm", 65, 257, 2).eval()
    for batch in (1, 20):
        assert_like_a_sequence(layer, torch.randn(6, batch, 65))
    torch.set_num_threads(before)


def test_a_new_stream_has_the_new_weights() -> None:
    layer, x = layer_of("gru", 2), torch.randn(3, 2, 12)
    stepped(layer, x)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(0.5)
    assert_like_a_sequence(layer, x)
    layer.load_state_dict(layer_of("gru", 2, vocabulary=None).state_dict())
    assert_like_a_sequence(layer, x)
    layer.W_hn_l0 = torch.nn.Parameter(torch.randn(12, 12))  # pyright: ignore[reportAttributeAccessIssue]
    assert_like_a_sequence(layer, x)


def test_states_are_the_callers_and_stay_what_they_were() -> None:
    layer, x = layer_of("lstm", 2), torch.randn(2, 12)
    stream = layer.streaming(2)
    first = stream.step(x)
    kept = [first[0].clone(), *(s.clone() for s in first[1])]
    again = [stream.step(x, first[1]) for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(kept, (first[0], *first[1]), strict=True))
    assert all(torch.equal(a[0], again[0][0]) for a in again)


def test_several_threads_step_one_layer() -> None:
    layer = layer_of("lstm", 2)
    inputs = [torch.randn(50, 1, 12) for _ in range(4)]
    expected = [stepped(layer, x)[0] for x in inputs]
    found: list[Tensor | None] = [None] * 4

    def work(k: int) -> None:
        found[k] = stepped(layer, inputs[k])[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f is not None and torch.equal(f, e) for f, e in zip(found, expected, strict=True))


def test_what_the_engine_cannot_stream_goes_through_the_layer() -> None:
    for layer in (
        layer_of(cells.zoneout(cells.get("lstm")), 1).train(),
        layer_of("lstm", 2, dropout=0.5).train(),
        layer_of("lstm", 1, backend="reference"),
    ):
        stream = layer.streaming()
        assert stream.stream is None
        assert stream.step(torch.randn(1, 12))[0].shape == (1, 12)


def test_a_stream_says_what_does_not_fit() -> None:
    stream = layer_of("lstm", 1).streaming(2)
    with pytest.raises(ShapeError, match=r"opened for 2 sequences.*streaming\(batch=3\)"):
        stream.step(torch.randn(3, 12))
    with pytest.raises(ShapeError, match="7 features"):
        stream.step(torch.randn(2, 7))
    with pytest.raises(ConfigError, match="whole sequence first"):
        layer_of("lstm", 1, bidirectional=True).streaming()
