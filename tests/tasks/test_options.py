"""Options that are shared: their defaults, and what of them the machine decides once, when a run begins."""

from __future__ import annotations

from dataclasses import fields

import pytest

from ifog.kernels import loading
from ifog.tasks.language_options import LanguageOptions
from ifog.tasks.options import TaskOptions
from ifog.training import TrainingConfig


@pytest.mark.parametrize(("fastest", "wanted"), [("bf16", "bf16-mixed"), ("int16", "int16-mixed"), ("fp32", "32-true")])
def test_products_take_what_the_cpu_multiplies_fastest(
    monkeypatch: pytest.MonkeyPatch, fastest: str, wanted: str
) -> None:
    monkeypatch.setattr(loading, "fastest_products", lambda: fastest)
    assert LanguageOptions.given(steps=1, device="cpu").decided().precision == wanted
    assert LanguageOptions.given(steps=1, device="cuda").decided().precision == "32-true"


def test_the_trainer_alone_has_the_same_defaults() -> None:
    ours, trainers = ({field.name: field.default for field in fields(kind)} for kind in (TaskOptions, TrainingConfig))
    shared = ours.keys() & trainers.keys()
    assert {name for name in shared if ours[name] != trainers[name]} == {"precision"}  # which is decided by the machine
    assert trainers.keys() - shared == {"beta1", "explosion", "recurrent_orthogonal", "smooth_start"}


def test_what_was_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "fastest_products", lambda: "bf16")
    assert LanguageOptions.given(steps=1, precision="32-true").decided().precision == "32-true"
    assert LanguageOptions.given(steps=1, min_char_rnn=True).decided().precision == "32-true"
