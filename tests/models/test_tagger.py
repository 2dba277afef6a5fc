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
