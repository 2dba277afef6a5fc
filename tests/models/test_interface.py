"""What every model in the catalogue keeps: shapes, streaming, exact distributions, learning, configurations."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from ifog.errors import ConfigError, ShapeError
from ifog.layers import detach_state
from ifog.models import MODELS, NextTokenModel, catalogue

V = 13

SMALL: dict[str, dict[str, Any]] = {
    "recurrent": {"hidden_size": 6, "embedding_size": 4},
    "recurrent, tied": {"cell": "gru", "hidden_size": 6, "embedding_size": 6, "tied": True},
    "window": {"order": 4, "embedding_size": 3, "hidden_size": 5},
    "window, bigram": {"order": 2, "embedding_size": 3, "hidden_size": 5, "softmax": "adaptive"},
    "window, direct": {"order": 3, "embedding_size": 3, "hidden_size": 0, "direct": True, "softmax": "sampled"},
    "maxent": {"order": 4, "table_bits": 6, "hidden_size": 5},
    "maxent, two layers": {"order": 2, "table_bits": 4, "cell": "lstm", "hidden_size": 5, "num_layers": 2},
    "maxent, without": {"order": 1, "hidden_size": 5, "embedding_size": 4},
    "regularised": {"embedding_size": 4, "sizes": (5, 4), "bound": 0.1},
    "regularised, awd": {"embedding_size": 4, "sizes": (7, 5, 4), "tied": True, "locked": True},
    "regularised, adaptive": {"embedding_size": 4, "sizes": (5,), "softmax": "adaptive"},
    "mogrifier": {"embedding_size": 4, "sizes": (4, 4)},
    "projected": {"embedding_size": 4, "hidden_size": 6, "projection_size": 3, "num_layers": 2, "softmax": "full"},
    "projected, sampled": {"embedding_size": 4, "hidden_size": 6, "projection_size": 3, "samples": 4},
    "projected, adaptive": {"embedding_size": 4, "hidden_size": 6, "projection_size": 3, "softmax": "adaptive"},
    "transformer": {"size": 8, "num_layers": 2, "heads": 2, "context": 4, "cutoffs": (4, 9)},
    "transformer, one token": {"size": 4, "num_layers": 1, "heads": 1, "context": 1},
}
EVERY = pytest.mark.parametrize("kind", SMALL)


def made(kind: str, **options: Any) -> Any:
    name = kind.partition(",")[0]
    return catalogue.build(name, {"vocabulary_size": V, **SMALL[kind], **options})


def text(time: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(V, (time + 1, batch))
    return ids[:-1].clone(), ids[1:].clone()


def parts(state: Any) -> list[torch.Tensor]:
    return [state] if isinstance(state, torch.Tensor) else [leaf for part in state for leaf in parts(part)]


def plain(state: Any) -> Any:
    """The same state in plain tuples, as a checkpoint gives it back."""
    return state if isinstance(state, torch.Tensor) else tuple(plain(part) for part in state)


def test_every_model_of_the_catalogue_is_tested_here_or_alone() -> None:
    assert {kind.partition(",")[0] for kind in SMALL} | {"gpt2"} == set(MODELS)
    assert list(MODELS) == sorted(MODELS)


@EVERY
def test_a_model_keeps_the_interface(kind: str) -> None:
    model = made(kind)
    assert isinstance(model, NextTokenModel)
    assert catalogue.name_of(model) == kind.partition(",")[0]


@EVERY
@pytest.mark.parametrize(("time", "batch"), [(1, 1), (7, 3)])
def test_scores_make_the_distribution_that_log_prob_and_loss_speak_of(kind: str, time: int, batch: int) -> None:
    model, (ids, targets) = made(kind).eval(), text(time, batch)
    scores, _ = model(ids)
    assert scores.shape == (time, batch, V)
    whole = scores.log_softmax(-1)
    found, _ = model.log_prob(ids, targets)
    torch.testing.assert_close(found, whole.gather(-1, targets.unsqueeze(-1)).squeeze(-1))
    loss, _ = model.loss(ids, targets)
    torch.testing.assert_close(loss, -found.mean())


@EVERY
def test_the_probabilities_of_all_tokens_sum_to_one(kind: str) -> None:
    model, (ids, _) = made(kind).eval(), text(5)
    each = torch.stack([model.log_prob(ids, torch.full_like(ids, v))[0] for v in range(V)])
    torch.testing.assert_close(each.exp().sum(0), torch.ones(5, 2))


@EVERY
@pytest.mark.parametrize("cuts", [(3, 8), (1, 10), (5, 6)])
def test_pieces_with_the_state_carried_equal_the_whole(kind: str, cuts: tuple[int, int]) -> None:
    model, (ids, targets) = made(kind).eval(), text(11)
    whole, end = model.log_prob(ids, targets)
    found: list[torch.Tensor] = []
    state: Any = None
    for piece, wanted in zip(ids.tensor_split(cuts), targets.tensor_split(cuts), strict=True):
        one, state = model.log_prob(piece, wanted, state)
        found.append(one)
        state = plain(detach_state(state))
    torch.testing.assert_close(torch.cat(found), whole)
    torch.testing.assert_close(parts(state), parts(end))


@EVERY
def test_one_token_at_a_time_equals_the_whole(kind: str) -> None:
    model, (ids, _) = made(kind).eval(), text(9)
    state, found = None, []
    for one in ids:
        scores, state = model(one.unsqueeze(0), state)
        found.append(scores)
    torch.testing.assert_close(torch.cat(found), model(ids)[0])


@EVERY
def test_a_prediction_depends_on_no_later_token(kind: str) -> None:
    model, (ids, _) = made(kind).eval(), text(8)
    other = ids.clone()
    other[5:] = (other[5:] + 1) % V
    torch.testing.assert_close(model(other)[0][:5], model(ids)[0][:5])


@EVERY
def test_sequences_of_a_batch_do_not_see_each_other(kind: str) -> None:
    model, (ids, targets) = made(kind).eval(), text(6, 3)
    alone, _ = model.log_prob(ids[:, 1:2], targets[:, 1:2])
    torch.testing.assert_close(model.log_prob(ids, targets)[0][:, 1:2], alone)


@EVERY
def test_gradients_are_those_of_the_scores(kind: str) -> None:
    model, (ids, targets) = made(kind).double().eval(), text(7)
    targets[2, 1] = -100
    used = list(model.parameters())
    ours = torch.autograd.grad(model.loss(ids, targets)[0], used, allow_unused=True, materialize_grads=True)
    loss = functional.cross_entropy(model(ids)[0].flatten(0, 1), targets.flatten())
    expected = torch.autograd.grad(loss, used, allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(ours, expected)


@EVERY
def test_a_few_steps_of_training_lower_the_loss(kind: str) -> None:
    model = made(kind).train()
    ids = (torch.arange(25) % 5).unsqueeze(1).repeat(1, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    before = model.eval().loss(ids[:-1], ids[1:])[0].item()
    state: Any = None
    for _ in range(40):
        optimizer.zero_grad()
        loss, state = model.train().loss(ids[:-1], ids[1:], state)
        state = detach_state(state)
        loss.backward()
        optimizer.step()
    assert model.eval().loss(ids[:-1], ids[1:])[0].item() < before - 0.5


@EVERY
def test_a_configuration_survives_json_and_builds_the_same_model(kind: str) -> None:
    model, (ids, _) = made(kind).eval(), text(5)
    name = catalogue.name_of(model)
    values = json.loads(json.dumps(model.config.to_dict()))
    assert MODELS[name].config.from_dict(values) == model.config
    other = catalogue.build(name, values).eval()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(ids)[0], model(ids)[0])


@EVERY
def test_no_two_entries_of_a_checkpoint_share_memory(kind: str) -> None:
    tensors = list(made(kind).state_dict().values())
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)


@EVERY
def test_a_state_of_another_batch_is_refused(kind: str) -> None:
    model, (ids, _) = made(kind), text(5)
    _, state = model(ids)
    with pytest.raises((ShapeError, RuntimeError)):
        model(ids[:, :1], state)


@pytest.mark.parametrize("kind", [kind for kind in SMALL if not kind.startswith("recurrent")])
def test_a_configuration_that_is_not_one_is_refused(kind: str) -> None:
    config = MODELS[kind.partition(",")[0]].config
    for values, words in (
        ({"vocabulary_size": 0}, "vocabulary_size is 0"),
        ({"vocabulary_size": 5, "colour": 3}, "colour"),
        ({}, "lacks vocabulary_size"),
    ):
        with pytest.raises(ConfigError, match=words):
            config.from_dict({**SMALL[kind], **values})


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean transformer"):
        catalogue.build("transfomer", {})
    with pytest.raises(ConfigError, match="Linear is not in the catalogue"):
        catalogue.name_of(nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("window", {"order": 1}, "order is 1"),
        ("window", {"hidden_size": 0}, "hidden_size is 0"),
        ("window", {"dropout": 1.0}, r"dropout is 1\.0"),
        ("maxent", {"table_bits": 3}, "table_bits=4 or more"),
        ("regularised", {"sizes": ()}, "at least one layer"),
        ("regularised", {"sizes": (5,), "embedding_size": 4, "tied": True}, "make them equal"),
        ("regularised", {"activation": -1.0}, "activation is"),
        ("projected", {"projection_size": 8, "hidden_size": 8}, "smaller projection_size"),
        ("transformer", {"size": 6, "heads": 2}, "multiple of 4"),
        ("gpt2", {"context": 4, "stride": 5}, "stride 5"),
    ],
)
def test_options_out_of_range_are_refused_with_a_remedy(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MODELS[name].config(V, **options)


def test_configurations_can_not_be_changed_by_accident() -> None:
    for kind in MODELS.values():
        with pytest.raises(dataclasses.FrozenInstanceError):
            kind.config(V).vocabulary_size = 3


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ShapeError) as caught:
        call()
    return str(caught.value)


def test_states_of_another_model_are_refused_with_what_was_expected() -> None:
    ids, _ = text(3)
    assert "(3, 2)" in refused(lambda: made("window")(ids, torch.zeros(9, 2, dtype=torch.long)))
    assert "one for each of 2 layers" in refused(lambda: made("regularised")(ids, (None,)))
    assert "one for each of 2 layers" in refused(lambda: made("transformer")(ids, (None,)))
