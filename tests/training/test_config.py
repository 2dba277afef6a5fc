"""Options and their ranges."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ifog.errors import ConfigError
from ifog.training import TrainingConfig, parse_budget


def test_options_come_back_from_json() -> None:
    config = TrainingConfig(budget=90.0, optimizer="sgd", clipping="mean_norm", clip=2.0)
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("steps", 0, "steps is 0; it must be a whole number at least 1"),
        ("steps", 1.5, "a whole number"),
        ("steps", True, "a whole number"),
        ("budget", 0.0, "budget is 0.0; it must be a number above 0"),
        ("budget", float("inf"), "below inf|above 0"),
        ("learning_rate", -1e-3, "above 0"),
        ("learning_rate", float("nan"), "above 0"),
        ("learning_rate", "fast", "'fast'.*a number"),
        ("weight_decay", -0.1, "at least 0"),
        ("momentum", 1.0, "at least 0 and below 1"),
        ("beta1", 1.0, "below 1"),
        ("beta2", -0.1, "at least 0"),
        ("warmup", 1.0, "below 1"),
        ("floor", 1.1, "at most 1"),
        ("clip", 0.0, "above 0"),
        ("accumulation", 0, "at least 1"),
        ("average", 1.0, "below 1"),
        ("average_patience", 1.5, "a whole number"),
        ("recurrent_l2", -1.0, "at least 0"),
        ("recurrent_orthogonal", -1.0, "at least 0"),
        ("evaluate_every", 0, "at least 1"),
        ("log_every", None, "log_every is None"),
        ("save_every", 0, "at least 1"),
        ("save_seconds", 0, "above 0"),
        ("smooth_start", -1, "above 0"),
        ("explosion", 1, "above 1"),
        ("seed", -1, "at least 0"),
        ("seed", 2**32, "at most 4294967295"),
        ("optimizer", "adam", "'adamw', 'sgd', 'rmsprop', 'adagrad'"),
        ("schedule", "step", "'cosine', 'constant', 'exponential'"),
        ("clipping", "yes", "'norm', 'value', 'mean_norm', 'none'"),
        ("device", "tpu", "'auto', 'cpu', 'cuda'"),
        ("precision", "16", "'32-true', 'bf16-mixed'"),
    ],
)
def test_an_option_out_of_its_range_is_named_with_its_value_and_range(option: str, value: Any, wanted: str) -> None:
    options = {option: value} if option in ("steps", "budget") else {"steps": 5, option: value}
    with pytest.raises(ConfigError, match=rf"^{option} is .*({wanted})|^{wanted}"):
        TrainingConfig.from_dict(options)


def test_exactly_one_of_steps_and_budget_is_wanted() -> None:
    with pytest.raises(ConfigError, match="neither of steps and budget"):
        TrainingConfig()
    with pytest.raises(ConfigError, match="both of steps and budget"):
        TrainingConfig(steps=5, budget=5.0)


@pytest.mark.parametrize("factor", [0.4, 10.1])
def test_a_factor_of_the_mean_norm_outside_the_advice_is_refused(factor: float) -> None:
    TrainingConfig(steps=1, clip=factor)
    with pytest.raises(ConfigError, match=r"0\.5 to 10"):
        TrainingConfig(steps=1, clipping="mean_norm", clip=factor)


def test_one_average_of_the_weights_is_enough() -> None:
    with pytest.raises(ConfigError, match=r"average is 0\.9 and average_patience 5"):
        TrainingConfig(steps=5, average=0.9, average_patience=5)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="learning_rat: no such option.*learning_rate"):
        TrainingConfig.from_dict({"steps": 1, "learning_rat": 0.1})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1m30s", 90),
        ("1m30", 90),
        ("45", 45),
        ("1.5m", 90),
        (" 2H ", 7200),
        (0.5, 0.5),
        (7, 7),
    ],
)
def test_a_budget_is_read(text: str | float, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "0", "0s", "5d", "m", "1..5h", "nan", "inf", "30m1h", float("inf")])
def test_a_budget_that_is_no_length_of_time_is_refused(text: str | float) -> None:
    with pytest.raises(ConfigError, match="no length of time; write it like 90s"):
        parse_budget(text)
