"""Whether two computations agree: nothing is timed before this says so.

Owns the tolerances. Takes a case, or two sets of named tensors; raises where they differ. Never times.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from benchmarks.registry import Case, Precision, Step
from torch import Tensor

__all__ = ["MismatchError", "differences", "verify"]

RELATIVE = 1e-4  # fp32: of each entry ...
OF_LARGEST = {
    "fp32": 1e-5,
    "bf16": 3e-2,
    "int16": 2e-3,
}  # ... and every precision: of the largest entry of the same tensor
ZERO = 1e-6  # a weight's gradient that is smaller, as a share of the largest one, is zero but for rounding ...
OF_ZERO = {
    "fp32": 1e-6,
    "bf16": 1e-3,
    "int16": 1e-4,
}  # ... and then ours has to be as small, as a share of the largest one
AMPLIFIED = 4.0  # rounding of another order than the truth's may come out this much larger by chance
GRADIENT = "gradient of "


class MismatchError(Exception):
    """A layer doesn't compute what its peer does, so that no time of it means anything."""


def verify(case: Case, *, training: bool = True) -> None:
    """Compares output, last states and every gradient with the truth in fp32.

    Some recurrences, such as a layer-normalised LSTM, amplify rounding from step to step, so that two right
    computations differ by more than a tolerance. Where they do, the truth is computed again in float64, and ours may be
    as far from it as the truth in fp32 is, times `AMPLIFIED`.

    Raises:
        MismatchError: Any of them differs; the message names all that do, and by how much.
    """
    ours, truth = case.ours.results(training), case.truth.results(training)
    found = differences(ours, truth, case.precision)
    if found and case.precision == "fp32" and _as_near(ours, truth, _exact(case.truth).results(training)):
        return
    if found:
        raise MismatchError(f"{case.cell} at {case.size} in {case.precision}: {'; '.join(found)}")


def _exact(truth: Step) -> Step:
    layer = copy.deepcopy(truth.layer).double()
    x = truth.x.detach().double().requires_grad_(truth.x.requires_grad)
    return Step("float64", layer, x, truth.dy.double())


def _as_near(found: Mapping[str, Tensor], truth: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> bool:
    found, truth, exact = _unwrapped(found), _unwrapped(truth), _unwrapped(exact)
    if not found.keys() == truth.keys() == exact.keys():
        return False
    errors = [(_largest(found[n].double() - e), _largest(truth[n].double() - e), _largest(e)) for n, e in exact.items()]
    return all(ours <= AMPLIFIED * wanted + OF_LARGEST["fp32"] * largest for ours, wanted, largest in errors)


def differences(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], precision: Precision) -> list[str]:
    """One sentence for each tensor that is missing, of another shape, or too far off; NaN is too far off."""
    found, wanted = _unwrapped(found), _unwrapped(wanted)
    complaints = [f"{name} is on one side only" for name in sorted(found.keys() ^ wanted.keys())]
    of_weights = {name for name in wanted if name.startswith(GRADIENT) and name != f"{GRADIENT}x"}
    scale = max((_largest(wanted[name]) for name in of_weights), default=0.0)
    for name, want in wanted.items():
        if name in found:
            floor = scale if name in of_weights and _largest(want) < ZERO * scale else 0.0  # such as sLSTM's b_i
            complaints += _difference(name, found[name].float(), want.float(), precision, OF_ZERO[precision] * floor)
    return complaints


def _unwrapped(results: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix that a module around a layer puts before the names of its weights."""
    return {name.replace("recurrent.", ""): value for name, value in results.items()}


def _largest(value: Tensor) -> float:
    return float(value.abs().max()) if value.numel() else 0.0


def _difference(name: str, found: Tensor, wanted: Tensor, precision: Precision, floor: float) -> list[str]:
    if found.shape != wanted.shape:
        return [f"{name} is {tuple(found.shape)}, not {tuple(wanted.shape)}"]
    allowed = torch.full_like(wanted, max(OF_LARGEST[precision] * _largest(wanted), floor))
    if precision == "fp32":
        allowed += RELATIVE * wanted.abs()
    error = (found - wanted).abs()
    if bool((error <= allowed).all()):  # which NaN is not
        return []
    return [f"{name} is off by {_largest(error):.2g}, its largest entry is {_largest(wanted):.2g}"]
