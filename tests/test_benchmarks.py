"""The benchmarks time nothing that computes something else than its peer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


def small_case() -> Any:
    from benchmarks.registry import Size, layer_case

    return layer_case("LSTM", Size(2, 3, 4, 5), "fp32")


def perturbed(case: Any) -> None:
    case.ours.layer.weight_hh_l0.data[0, 0] += 0.01


def poisoned(case: Any) -> None:
    case.ours.layer.bias_ih_l0.data[0] = torch.nan


def test_equal_values_and_gradients_pass() -> None:
    from benchmarks.verify import verify

    verify(small_case())


@pytest.mark.parametrize("spoil", [perturbed, poisoned])
def test_other_values_or_gradients_are_refused_by_name(spoil: Callable[[Any], None]) -> None:
    from benchmarks.verify import MismatchError, verify

    case = small_case()
    spoil(case)
    with pytest.raises(MismatchError, match=r"LSTM at 2,3,4,5 in fp32: y is off .*; gradient of weight_hh_l0 is off"):
        verify(case)


def test_a_wrong_gradient_alone_is_refused() -> None:
    from benchmarks.verify import MismatchError, verify

    case = small_case()
    wrong = dataclasses.replace(case, ours=dataclasses.replace(case.ours, dy=case.ours.dy * 1.01))
    with pytest.raises(MismatchError, match="fp32: gradient of x is off"):
        verify(wrong)


def test_what_amplifies_rounding_is_compared_with_the_exact_truth() -> None:
    from benchmarks.registry import Size, catalogue
    from benchmarks.verify import MismatchError, differences, verify

    (case,) = (c for c in catalogue([Size(8, 80, 48, 48)], "fp32") if c.cell == "lstm + layer norm")
    assert differences(case.ours.results(True), case.truth.results(True), "fp32")
    verify(case)
    next(case.ours.layer.parameters()).data[0, 0] += 0.01
    with pytest.raises(MismatchError):
        verify(case)


def test_a_refused_case_has_no_time_and_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import __main__, registry

    def cases(sizes: object, precision: str) -> Any:
        case = small_case()
        yield case
        perturbed(case := small_case())
        yield case

    monkeypatch.setattr(registry, "layers", cases)
    assert __main__.main(["layers", "--quick", "--precision", "fp32", "--rounds", "1"]) == 1
    printed = capsys.readouterr().out
    assert "REFUSED: LSTM at 2,3,4,5 in fp32: y is off" in printed
    assert sum(line.startswith("2,3,4,5") and "torch.nn" in line for line in printed.splitlines()) == 1
