"""Options of a language run that depend on the machine are decided once, when it begins."""

from __future__ import annotations

import pytest

from ifog.kernels import loading
from ifog.tasks.language_options import LanguageOptions


@pytest.mark.parametrize(("fastest", "wanted"), [("bf16", "bf16-mixed"), ("int16", "int16-mixed"), ("fp32", "32-true")])
def test_products_take_what_the_cpu_multiplies_fastest(
    monkeypatch: pytest.MonkeyPatch, fastest: str, wanted: str
) -> None:
    monkeypatch.setattr(loading, "fastest_products", lambda: fastest)
    assert LanguageOptions.given(steps=1, device="cpu").decided().precision == wanted
    assert LanguageOptions.given(steps=1, device="cuda").decided().precision == "32-true"


def test_what_was_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "fastest_products", lambda: "bf16")
    assert LanguageOptions.given(steps=1, precision="32-true").decided().precision == "32-true"
    assert LanguageOptions.given(steps=1, min_char_rnn=True).decided().precision == "32-true"
