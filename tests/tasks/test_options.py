"""Options of a language run that depend on the machine are decided once, when it begins."""

from __future__ import annotations

import pytest

from ifog.kernels import loading
from ifog.tasks.language_options import LanguageOptions


@pytest.mark.parametrize(
    ("bf16", "int16", "wanted"),
    [(True, True, "bf16-mixed"), (False, True, "int16-mixed"), (False, False, "32-true")],
)
def test_products_take_what_the_cpu_multiplies_fastest(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, int16: bool, wanted: str
) -> None:
    monkeypatch.setattr(loading, "multiplies_bf16", lambda: bf16)
    monkeypatch.setattr(loading, "multiplies_int16", lambda: int16)
    assert LanguageOptions.given(steps=1, device="cpu").decided().precision == wanted
    assert LanguageOptions.given(steps=1, device="cuda").decided().precision == "32-true"


def test_what_was_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "multiplies_bf16", lambda: True)
    assert LanguageOptions.given(steps=1, precision="32-true").decided().precision == "32-true"
    assert LanguageOptions.given(steps=1, min_char_rnn=True).decided().precision == "32-true"
