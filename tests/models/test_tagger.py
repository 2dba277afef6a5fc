"""A label for each word: the parts in their order, and what several models say together."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ifog.errors import ConfigError
from ifog.models.tagger import Tagger, TaggerConfig, labels_together

LABELS = ("B-A", "I-A", "O")
CONFIG = TaggerConfig(
    20,
    labels=LABELS,
    characters=9,
    embedding_size=4,
    character_embedding_size=3,
    character_hidden_size=2,
    hidden_size=5,
)


def batch_of(lengths: list[int], width: int = 6) -> dict[str, Tensor]:
    steps, batch = max(lengths), len(lengths)
    valid = torch.arange(steps).unsqueeze(1) < torch.tensor(lengths)
    return {
        "words": torch.randint(1, 20, (steps, batch)).where(valid, 0),
        "words_lengths": torch.tensor(lengths),
        "spellings": torch.randint(1, 9, (steps, batch, width)).where(valid.unsqueeze(2), 0),
        "tags": torch.randint(3, (steps, batch)).where(valid, 0),
    }


def model_of(**chosen: Any) -> Tagger:
    return Tagger(dataclasses.replace(CONFIG, **chosen)).eval()


def test_scores_are_those_of_the_parts_in_their_order():
    model, batch = model_of(), batch_of([7, 3, 1])
    assert model.spelling is not None
    x = torch.cat([model.embedding(batch["words"]), model.spelling(batch["spellings"])], -1)
    for b, length in enumerate([7, 3, 1]):
        y, _ = model.recurrent(x[:length, b : b + 1])
        torch.testing.assert_close(model(batch)[:length, b], model.output(y)[:, 0])


def test_the_loss_is_the_mean_over_words():
    batch, lengths = batch_of([7, 3, 1]), [7, 3, 1]
    for crf in (False, True):
        model = model_of(crf=crf)
        scores = model(batch)
        total = torch.zeros(())
        for b, length in enumerate(lengths):
            one, tags = scores[:length, b : b + 1], batch["tags"][:length, b : b + 1]
            if model.crf is None:
                total = total + functional.cross_entropy(one[:, 0], tags[:, 0], reduction="sum")
            else:
                total = total - model.crf.log_prob(one, tags).sum()
        loss, figures = model.loss(batch)
        torch.testing.assert_close(loss, total / 11)
        assert figures == {}


@pytest.mark.parametrize("crf", [False, True])
def test_padding_changes_nothing(crf: bool):
    model, batch = model_of(crf=crf), batch_of([5, 2])
    longer = {
        name: tensor
        if name == "words_lengths"
        else functional.pad(tensor, [0, 0] * (tensor.dim() - 1) + [0, 3], value=1)
        for name, tensor in batch.items()
    }
    torch.testing.assert_close(model.loss(longer)[0], model.loss(batch)[0])
    assert torch.equal(model.decode(longer)[:5], model.decode(batch))
    assert not model.decode(longer)[5:].any()
    assert not model.decode(batch)[2:, 1].any()


@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [17] * 3, [4, 0]])
@pytest.mark.parametrize("crf", [False, True])
def test_gradients_reach_every_weight_at_awkward_sizes(lengths: list[int], crf: bool):
    model = model_of(crf=crf, num_layers=2).train()
    loss, _ = model.loss(batch_of(lengths))
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_field_of_spans_never_breaks_one():
    model = model_of(crf=True)
    assert model.crf is not None
    torch.nn.init.normal_(model.output.weight, std=5.0)
    for labels in model.decode(batch_of([30] * 8)).t().tolist():
        names = ["O", *(LABELS[label] for label in labels)]
        assert not [pair for pair in itertools.pairwise(names) if pair == ("O", "I-A")]


def test_rare_words_become_unknown_in_training_alone():
    model = model_of(rare=(10, 15), word_dropout=1.0, characters=0)
    words = torch.arange(20).unsqueeze(1)
    batch = {"words": words, "words_lengths": torch.tensor([20])}
    unknown = {**batch, "words": words.where((words < 10) | (words >= 15), 0)}
    kept = model(batch)
    assert not torch.equal(kept, model(unknown))
    model.train()
    assert torch.equal(model(batch), model.eval()(unknown))
    half = model_of(rare=(0, 20), word_dropout=0.5, characters=0).train()
    share = (half._replaced(torch.ones(100, 100).long()) == 0).double().mean()
    assert 0.47 < float(share) < 0.53


def test_dropout_takes_the_same_columns_for_a_whole_sentence():
    model = model_of(dropout=0.5, characters=0).train()
    seen: list[Tensor] = []
    model.recurrent.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model({"words": torch.full((6, 40), 3), "words_lengths": torch.full((40,), 6)})
    assert torch.equal(seen[0], seen[0][:1].expand_as(seen[0]))
    assert bool((seen[0] == 0).any())
    assert not torch.equal(seen[0][:, 0], seen[0][:, 1])


def test_pretrained_vectors_are_the_first_word_vectors():
    vectors = torch.randn(20, 4)
    assert torch.equal(Tagger(CONFIG, vectors=vectors).embedding.weight, vectors)


def test_models_together_choose_by_the_mean_of_probabilities():
    models, batch = [model_of() for _ in range(2)], batch_of([30] * 4)
    for model in models:
        torch.nn.init.normal_(model.output.weight, std=20.0)  # so sure of itself that its scores are worth too much
    mean = torch.stack([model(batch).softmax(-1) for model in models]).mean(0)
    found = labels_together(models, batch)
    assert torch.equal(found, mean.argmax(-1))


def test_fields_together_choose_the_best_sequence_of_the_mean_score():
    models, batch = [model_of(crf=True, labels=("X", "Y", "Z")) for _ in range(2)], batch_of([4, 4])
    for model in models:
        assert model.crf is not None
        for weight in model.crf.parameters():
            torch.nn.init.normal_(weight)

    def mean_log_prob(path: tuple[int, ...], b: int) -> float:
        labels = torch.tensor(path).unsqueeze(1)
        return sum(float(m.crf.log_prob(m(batch)[:, b : b + 1], labels)) for m in models if m.crf is not None)

    with torch.no_grad():
        found = labels_together(models, batch)
        for b in range(2):
            best = max(itertools.product(range(3), repeat=4), key=lambda path: mean_log_prob(path, b))
            assert tuple(found[:, b].tolist()) == best


def test_models_of_both_kinds_cannot_choose_together():
    with pytest.raises(ConfigError, match="together"):
        labels_together([model_of(), model_of(crf=True)], batch_of([2]))


def test_a_configuration_survives_json():
    config = dataclasses.replace(CONFIG, rare=(3, 9), options={"peephole": True})
    assert TaggerConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"labels": ()}, "at least one"),
        ({"labels": ("A", "A")}, "each once"),
        ({"rare": (5, 30)}, "rare is"),
        ({"rare": (5, 4)}, "rare is"),
        ({"word_dropout": 1.5}, "word_dropout is 1.5"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"crf": True, "label_smoothing": 0.1}, "label smoothing"),
    ],
)
def test_values_out_of_their_range_are_refused(chosen: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CONFIG, **chosen)


# --- read on from a state ---------------------------------------------------------------------------------------------

ONWARD: dict[str, Any] = {"bidirectional": False, "num_layers": 2}


def part_of(batch: dict[str, Tensor], start: int, stop: int) -> dict[str, Tensor]:
    lengths = (batch["words_lengths"] - start).clamp(0, stop - start)
    return {name: value[start:stop] for name, value in batch.items() if name != "words_lengths"} | {
        "words_lengths": lengths
    }


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
@pytest.mark.parametrize("cuts", [[0, 17], [0, 1, 2, 9, 17], [0, 8, 16, 17]])
def test_a_sequence_read_in_chunks_is_the_sequence_read_whole(cell: str, cuts: list[int]):
    model, batch = model_of(cell=cell, **ONWARD), batch_of([17, 3, 8, 1])
    whole, last = model.read(batch)
    state: Any = None
    for start, stop in itertools.pairwise(cuts):
        part = part_of(batch, start, stop)
        scores, state = model.read(part, state)
        valid = torch.arange(stop - start).unsqueeze(1) < part["words_lengths"]
        torch.testing.assert_close(scores[valid], whole[start:stop][valid])
    for b, length in enumerate([17, 3, 8, 1]):  # the state is the one after the last word of each
        _, alone = model.read(
            {name: v[:length, b : b + 1] for name, v in part_of(batch, 0, 17).items() if v.dim() > 1}
            | {"words_lengths": torch.tensor([length])}
        )
        for one, other, third in zip(state, last, alone, strict=True):
            torch.testing.assert_close(one[:, b : b + 1], third)
            torch.testing.assert_close(other[:, b : b + 1], third)


def test_a_reset_begins_a_new_sequence_within_a_chunk():
    model, batch = model_of(**ONWARD), batch_of([7, 7])
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[4, 1] = True
    scores, _ = model.read(batch | {"reset": reset})
    whole, _ = model.read(batch)
    torch.testing.assert_close(scores[:, 0], whole[:, 0])
    torch.testing.assert_close(scores[:4, 1], whole[:4, 1])
    torch.testing.assert_close(scores[4:, 1:], model.read(part_of(batch, 4, 7))[0][:, 1:])
    assert not torch.allclose(scores[4:, 1], whole[4:, 1])


def test_the_gradient_of_a_chunk_is_that_of_the_whole_loss_with_the_state_held_fixed():
    model, batch = model_of(**ONWARD), batch_of([9, 9, 9])
    with torch.no_grad():
        _, state = model.read(part_of(batch, 0, 4))
    part = part_of(batch, 4, 9)
    loss, figures, _ = model.loss(part, state)
    loss.backward()
    assert figures == {}
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    # the same layers, one step after the other
    wanted = torch.zeros(())
    for step in range(5):
        one = part_of(part, step, step + 1)
        scores, state = model.read(one, state)
        wanted = wanted + functional.cross_entropy(scores[0], one["tags"][0]) / 5
    torch.testing.assert_close(loss, wanted)
    wanted.backward()
    assert len(found) == len(list(model.parameters()))
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, msg=name)


@pytest.mark.parametrize("characters", [0, 9])
def test_single_words_get_what_the_whole_sequence_gives_them(characters: int):
    model, batch = model_of(characters=characters, **ONWARD), batch_of([11, 11, 11])
    wanted = model(batch).softmax(-1)
    stream, state = model.streaming(3), None
    for step in range(11):
        spellings = batch["spellings"][step] if characters else None
        found, state = stream.step(batch["words"][step], state, spellings)
        torch.testing.assert_close(found, wanted[step])
    stream, state = model.streaming(3), None  # from the state of chunks read before
    _, state = model.read(part_of(batch, 0, 5))
    found, _ = stream.step(batch["words"][5], state, batch["spellings"][5] if characters else None)
    torch.testing.assert_close(found, wanted[5])


def test_a_model_that_needs_whole_sequences_refuses_a_state():
    batch = batch_of([3])
    _, state = model_of(**ONWARD).read(batch)
    for chosen, cause in (({}, "backwards"), ({"bidirectional": False, "crf": True}, "crf")):
        model = model_of(**chosen)
        assert not model.reads_on
        for use in (lambda: model.read(batch, state), lambda: model.loss(batch, None), model.streaming):  # noqa: B023
            with pytest.raises(ConfigError, match=cause):
                use()
    model = model_of(**ONWARD)
    assert model.reads_on
    with pytest.raises(ConfigError, match="eval"):
        model.train().streaming()
    with pytest.raises(ConfigError, match="spellings="):
        model.eval().streaming().step(torch.ones(1, dtype=torch.long))
