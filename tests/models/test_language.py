"""The language model: shapes, state, tied weights, its configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from ifog.errors import CellError, ConfigError
from ifog.layers import detach_state
from ifog.models import LanguageModel, LanguageModelConfig


@pytest.mark.parametrize("embedding_size", [0, 5])
@pytest.mark.parametrize(("cell", "states"), [("lstm", 2), ("elman", 1)])
@pytest.mark.parametrize(("time", "batch"), [(1, 1), (7, 3)])
def test_ids_become_scores_for_each_step_and_a_state(
    cell: str, states: int, embedding_size: int, time: int, batch: int
) -> None:
    model = LanguageModel(11, cell=cell, hidden_size=4, num_layers=2, embedding_size=embedding_size)
    logits, state = model(torch.randint(11, (time, batch)))
    assert logits.shape == (time, batch, 11)
    assert [tuple(part.shape) for part in state] == [(2, batch, 4)] * states


def test_reading_in_two_pieces_equals_reading_at_once() -> None:
    model = LanguageModel(9, cell="gru", hidden_size=6, embedding_size=3)
    ids = torch.randint(9, (8, 2))
    whole, end = model(ids)
    first, state = model(ids[:3])
    second, state = model(ids[3:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(tuple(state), tuple(end))


def test_the_state_may_be_a_plain_tuple() -> None:
    model = LanguageModel(9, hidden_size=6)
    ids = torch.randint(9, (4, 2))
    _, state = model(ids)
    torch.testing.assert_close(model(ids, tuple(state))[0], model(ids, state)[0])


def test_a_detached_state_keeps_its_names_and_cuts_the_gradient() -> None:
    _, state = LanguageModel(9, hidden_size=6)(torch.randint(9, (4, 2)))
    cut = detach_state(state)
    assert type(cut) is type(state)
    assert not cut.h.requires_grad


def test_tied_weights_are_one_tensor_that_learns_from_both_ends() -> None:
    model = LanguageModel(9, hidden_size=6, embedding_size=6, tied=True)
    assert not any(name.startswith("W_hy") for name in model.state_dict())
    logits, _ = model(torch.tensor([[2]]))
    logits[0, 0, 5].backward()
    gradient = model.embedding.weight.grad  # type: ignore[union-attr]
    assert gradient is not None
    assert gradient[2].abs().sum() > 0  # read as input
    assert gradient[5].abs().sum() > 0  # scored as output


def test_the_initial_state_is_what_no_state_means() -> None:
    model = LanguageModel(9, hidden_size=6)
    ids = torch.randint(9, (4, 2))
    torch.testing.assert_close(model(ids, model.initial_state(2))[0], model(ids)[0])


def test_an_untrained_model_is_nearly_as_unsure_as_log_of_the_vocabulary() -> None:
    model = LanguageModel(65, hidden_size=32, embedding_size=32, tied=True)
    ids = torch.randint(65, (20, 4))
    loss = torch.nn.functional.cross_entropy(model(ids)[0].flatten(0, 1), ids.flatten())
    torch.testing.assert_close(loss, torch.tensor(65.0).log(), atol=0.4, rtol=0)


def test_dropout_acts_in_training_only() -> None:
    model = LanguageModel(9, hidden_size=16, embedding_size=8, dropout=0.5)
    ids = torch.randint(9, (4, 2))
    assert not torch.equal(model(ids)[0], model(ids)[0])
    model.eval()
    assert torch.equal(model(ids)[0], model(ids)[0])


def test_the_configuration_survives_json_and_builds_the_same_shapes() -> None:
    model = LanguageModel(9, cell="gru", hidden_size=6, num_layers=2, embedding_size=4, dropout=0.1)
    config = LanguageModelConfig.from_dict(json.loads(json.dumps(model.config.to_dict())))
    assert config == model.config
    other = LanguageModel.from_config(config)
    other.load_state_dict(model.state_dict())
    ids = torch.randint(9, (5, 2))
    torch.testing.assert_close(other.eval()(ids)[0], model.eval()(ids)[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"vocabulary_size": 0}, "vocabulary_size is 0"),
        ({"hidden_size": -1}, "hidden_size is -1"),
        ({"hidden_size": 2.5}, r"hidden_size is 2\.5"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"embedding_size": -3}, "embedding_size is -3"),
        ({"dropout": 1.0}, r"dropout is 1\.0"),
        ({"tied": True, "embedding_size": 4}, "embedding_size=256"),
    ],
)
def test_options_out_of_range_are_refused_with_a_remedy(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        LanguageModelConfig(**{"vocabulary_size": 5, **options})


def test_an_unknown_field_in_a_configuration_is_named() -> None:
    with pytest.raises(ConfigError, match="colour"):
        LanguageModelConfig.from_dict({"vocabulary_size": 5, "colour": 3})
    with pytest.raises(ConfigError, match="vocabulary_size"):
        LanguageModelConfig.from_dict({})


def test_an_unknown_cell_is_an_error() -> None:
    with pytest.raises(CellError, match="lstn"):
        LanguageModel(5, cell="lstn")
