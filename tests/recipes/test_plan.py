"""Plans of runs too large to be tried."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from ifog.cli.application import app
from ifog.errors import ConfigError
from ifog.models.catalogue import MODELS, build
from ifog.recipes.plan import BYTES, Plan, make_plan

SIZES: dict[str, Any] = {"tokens": 10_000, "batch_size": 3, "sequence": 5, "seconds": 0.0}
WINDOW = {"order": 3, "embedding_size": 4, "hidden_size": 5}


@pytest.mark.parametrize("model", sorted(MODELS.keys() - {"gpt2"}))
def test_parameters_are_counted_without_making_them(model: str) -> None:
    planned = make_plan(model, {}, vocabulary_size=1009, tokens_per_second=1.0, **SIZES)
    assert planned.parameters == sum(p.numel() for p in build(model, {"vocabulary_size": 1009}).parameters())
    assert planned.measured == ()


def test_a_vocabulary_that_no_memory_holds_is_planned_from_smaller_ones() -> None:
    planned = make_plan("window", WINDOW, vocabulary_size=2**32, memory_limit=1 << 20, **SIZES)
    smaller, larger = planned.measured
    assert larger == 2 * smaller
    assert (
        BYTES * make_plan("window", WINDOW, vocabulary_size=larger, tokens_per_second=1.0, **SIZES).parameters
        <= 1 << 20
    )
    assert planned.model_bytes == BYTES * planned.parameters > 2**39
    assert planned.seconds > 0


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("window", WINDOW),
        ("projected", {"embedding_size": 4, "hidden_size": 6, "projection_size": 3, "softmax": "full"}),
    ],
)
def test_activations_extrapolated_are_those_measured(model: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    whole = make_plan(model, options, vocabulary_size=4096, **SIZES)
    half = make_plan(model, options, vocabulary_size=4096, memory_limit=BYTES * whole.parameters - 1, **SIZES)
    assert whole.measured == (4096,)
    assert half.measured == (1024, 2048)
    assert half.activation_bytes == pytest.approx(whole.activation_bytes, rel=1e-3)
    assert whole.activation_bytes > 3 * 5 * 4


def test_activations_are_what_the_backward_pass_needs() -> None:
    """A linear layer keeps its input, tanh its output: nothing more, and neither twice."""
    from ifog.recipes.plan import _Kept, _same

    network = torch.nn.Sequential(torch.nn.Linear(7, 11), torch.nn.Tanh(), torch.nn.Linear(11, 1))
    kept = _Kept(network)
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, _same):
        network(torch.zeros(13, 7)).sum()
    assert kept.bytes == 4 * 13 * (7 + 11)


def test_more_devices_take_less_time_and_a_deadline_tells_how_many() -> None:
    planned = Plan(1, 100.0, 3.6e6, 4, 16, 8, 0, ())
    assert planned.seconds == pytest.approx(3.6e6 / (100 * 4 * 0.9))
    assert planned.memory_bytes == 24
    for hours in (0.01, 0.3, 2.0, 9.0, 9.999, 10.0, 20.0):
        number = planned.devices_within(hours)
        assert planned.seconds_on(number) <= hours * 3600 * (1 + 1e-9)
        assert number <= 2 or planned.seconds_on(number - 1) > hours * 3600
    assert planned.devices_within(10.0) == 1
    with pytest.raises(ConfigError, match="no time"):
        planned.devices_within(0.0)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"vocabulary_size": 2**32 + 1}, "more words than ids of 32 bits"),
        ({"memory_limit": 10}, "can't be measured within"),
        ({"tokens_per_second": 0.0}, "is no speed"),
        ({"batch_size": 0}, "above 0"),
    ],
)
def test_what_can_not_be_planned_is_refused(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make_plan("window", WINDOW, **{**SIZES, "vocabulary_size": 50, **changed})


def test_the_command_says_what_was_measured_and_what_extrapolated() -> None:
    options = [f"--model-option={name}={value}" for name, value in WINDOW.items()]
    base = ["plan", "--model", "window", *options, "--batch-size", "2", "--sequence", "3", "--seconds", "0"]
    ran = CliRunner().invoke(app, [*base, "--vocabulary-size", "793471", "--memory-limit", "0.01", "--within", "24"])
    assert ran.exit_code == 0, ran.output
    said = " ".join(ran.output.split())
    assert "extrapolated from vocabularies of 24,795 and 49,591 words, measured here" in said
    assert "128 devices" in said
    assert "within 24.0 hours: " in said
    given = CliRunner().invoke(app, [*base, "--tokens-per-second", "40000"])
    assert "40,000 tokens per second on one device, as given" in " ".join(given.output.split())
