"""Encoder and decoder against single steps, torch's losses, and what each option promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ifog.errors import ConfigError, ShapeError
from ifog.models.decoder import Decoder, DecoderConfig, DecoderSteps, Start
from ifog.models.translator import Translator, TranslatorConfig, VectorDecoder, VectorDecoderConfig

V, S = 9, 7
BASE = TranslatorConfig(V, source_vocabulary=S, embedding_size=4, hidden_size=6)
VARIANTS: dict[str, dict[str, Any]] = {
    "general": {},
    "dot": {"attention": "dot"},
    "additive": {"attention": "additive", "cell": "gru"},
    "plain": {"attention": "none", "start": "copy"},
    "one direction": {"attention": "none", "start": "copy", "bidirectional": False, "num_layers": 2},
    "context": {"attention": "none", "start": "zero", "context": True},
    "all": {"input_feeding": True, "context": True, "num_layers": 2},
    "untied": {"tied": False},
    "shared": {"source_vocabulary": V, "shared": True},
}


def made(**options: Any) -> Translator:
    model = Translator(replace(BASE, **options))
    for parameter in model.parameters():
        parameter.data.mul_(2)  # so that nothing is lost in flat distributions
    return model.eval()


def batch_of(lengths: list[tuple[int, int]], seed: int = 0) -> dict[str, Tensor]:
    """Random pairs; a target is closed by the end's token, and both are padded by zeros."""
    random = torch.Generator().manual_seed(seed)
    sources = torch.zeros(max(n for n, _ in lengths), len(lengths), dtype=torch.long)
    targets = torch.zeros(max(n for _, n in lengths), len(lengths), dtype=torch.long)
    for b, (read, written) in enumerate(lengths):
        sources[:read, b] = torch.randint(S, (read,), generator=random)
        targets[: written - 1, b] = torch.randint(V - 1, (written - 1,), generator=random)
        targets[written - 1, b] = V - 1
    ends = torch.tensor(lengths)
    return {"source": sources, "source_lengths": ends[:, 0], "target": targets, "target_lengths": ends[:, 1]}


LENGTHS = [(3, 4), (1, 1), (17, 9)]


def stepped(model: Translator, batch: dict[str, Tensor]) -> Tensor:
    """The log-probability of each target (T, B), one step after the other, one sequence after the other."""
    found = torch.zeros(batch["target"].shape)
    for b, (read, written) in enumerate(zip(batch["source_lengths"], batch["target_lengths"], strict=True)):
        start = model.begin(batch["source"][:read, b : b + 1], read.reshape(1))
        steps, token = DecoderSteps(model.decoder, start, 1), torch.tensor([[V - 1]])
        for t in range(int(written)):
            log_probs, _ = steps.step(token)
            token = batch["target"][t : t + 1, b : b + 1]
            found[t, b] = log_probs[0, 0, token.item()]
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_all_steps_at_once_are_single_steps_of_each_sequence_alone(name: str) -> None:
    model, batch = made(**VARIANTS[name]), batch_of(LENGTHS)
    start = model.begin(batch["source"], batch["source_lengths"])
    found = model.decoder.log_prob(start, batch["target"], batch["target_lengths"])
    torch.testing.assert_close(found, stepped(model, batch), rtol=1e-4, atol=1e-5)
    loss, figures = model.loss(batch)
    torch.testing.assert_close(loss, -found.sum() / batch["target_lengths"].sum(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(figures["nats"], loss)


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_are_the_slopes_of_the_loss(name: str) -> None:
    model, batch = made(**VARIANTS[name]).double(), batch_of(LENGTHS)
    loss, _ = model.loss(batch)
    loss.backward()
    parameters = list(model.parameters())
    directions = [torch.randn_like(parameter) for parameter in parameters]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in parameters)
    slope = sum(float((p.grad * d).sum()) for p, d in zip(parameters, directions, strict=True))  # type: ignore[operator]
    ends: list[float] = []
    with torch.no_grad():
        for step in (1e-6, -2e-6):
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(direction, alpha=step)
            ends.append(float(model.loss(batch)[0]))
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_what_pads_a_batch_changes_nothing() -> None:
    model, batch = made(), batch_of(LENGTHS)
    spoilt = {name: value.clone() for name, value in batch.items()}
    for b, (read, written) in enumerate(LENGTHS):
        spoilt["source"][read:, b], spoilt["target"][written:, b] = 5, 5
    torch.testing.assert_close(model.loss(spoilt)[0], model.loss(batch)[0])


def test_label_smoothing_is_that_of_torch() -> None:
    model, batch = made(label_smoothing=0.1).train(), batch_of(LENGTHS)
    loss, figures = model.loss(batch)
    start = model.begin(batch["source"], batch["source_lengths"])
    vectors, _ = model.decoder(start, model.decoder.shifted(batch["target"]))
    scores = model.decoder.softmax.scores(vectors.flatten(0, 1))
    counts = torch.arange(9).unsqueeze(1) < batch["target_lengths"]
    targets = batch["target"].masked_fill(~counts, -100).flatten()
    wanted = functional.cross_entropy(scores, targets, label_smoothing=0.1)
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(figures["nats"], functional.cross_entropy(scores, targets).detach())
    parameters = list(model.parameters())
    ours, theirs = torch.autograd.grad(loss, parameters), torch.autograd.grad(wanted, parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(model.eval().loss(batch)[0], figures["nats"])


def test_alignment_is_where_single_steps_look() -> None:
    model, batch = made(), batch_of([(3, 4), (5, 4)])
    found = model.alignment(batch["source"], batch["source_lengths"], batch["target"])
    steps = DecoderSteps(model.decoder, model.begin(batch["source"], batch["source_lengths"]), 1)
    for t, tokens in enumerate(model.decoder.shifted(batch["target"])):
        _, weights = steps.step(tokens.unsqueeze(0))
        assert weights is not None
        torch.testing.assert_close(found[t], weights[0])
    assert not found[:, 0, 3:].any()
    with pytest.raises(ConfigError, match="without attention"):
        made(attention="none").alignment(batch["source"], batch["source_lengths"], batch["target"])


@pytest.mark.parametrize("fed", [False, True])
def test_scheduled_sampling_rises_from_the_truth_to_the_models_own_tokens(fed: bool) -> None:
    options = {"scheduled_sampling": 0.999999, "sampling_batches": 10**9, "input_feeding": fed}
    model, batch = made(**options).train(), batch_of(LENGTHS)
    truth = model.eval().loss(batch)[0]
    torch.testing.assert_close(model.train().loss(batch)[0], truth)  # a share of one in a thousand millions
    assert int(model.decoder.batches) == 1
    # A model that is sure of one token draws it, whatever was there.
    model.decoder.batches.fill_(10**9)
    with torch.no_grad():
        model.decoder.softmax.b_y[4] = 1e4
    start = model.begin(batch["source"], batch["source_lengths"])
    inputs = model.decoder.shifted(batch["target"])
    drawn = torch.cat([inputs[:1], torch.full_like(inputs[1:], 4)])
    wanted, _ = model.decoder(start, drawn)
    if fed:
        found, _ = model.decoder._fed(start, inputs, 1.0)
    else:
        assert torch.equal(model.decoder._mixed(start, inputs, 1.0), drawn)
        found, _ = model.decoder(start, model.decoder._mixed(start, inputs, 1.0))
    torch.testing.assert_close(found, wanted)
    assert model.eval().decoder._share() == 0.0


def test_tokens_are_drawn_with_their_probabilities() -> None:
    decoder = Decoder(DecoderConfig(3, embedding_size=2, hidden_size=2, attention="none"))
    with torch.no_grad():
        decoder.softmax.b_y.copy_(torch.tensor([0.7, 0.2, 0.1]).log())
    drawn = decoder._drawn(torch.zeros(20_000, 2)).bincount(minlength=3) / 20_000
    torch.testing.assert_close(drawn, torch.tensor([0.7, 0.2, 0.1]), rtol=0, atol=0.02)


def test_a_copied_start_is_the_encoders_last_state() -> None:
    model, batch = made(attention="none", start="copy", num_layers=2), batch_of(LENGTHS)
    start = model.begin(batch["source"], batch["source_lengths"])
    for b, (read, _) in enumerate(LENGTHS):
        embedded = model.embedding(batch["source"][:read, b : b + 1])  # type: ignore[misc]
        _, state = model.encoder(embedded)
        for ours, theirs in zip(start.state, state, strict=True):
            torch.testing.assert_close(ours[0, b], torch.cat([theirs[0, 0], theirs[1, 0]]))
            torch.testing.assert_close(ours[1, b], torch.cat([theirs[2, 0], theirs[3, 0]]))


@pytest.mark.parametrize("enters", ["start", "steps"])
def test_one_to_many_learns_a_sequence_for_each_vector(enters: Any) -> None:
    config = VectorDecoderConfig(V, vector_size=3, enters=enters, embedding_size=8, hidden_size=16, cell="gru")
    model, vectors = VectorDecoder(config), torch.eye(3)
    targets = torch.tensor([[1, 2, 3], [4, 2, 8], [5, 8, 0], [8, 0, 0]])
    batch = {"vector": vectors, "target": targets, "target_lengths": torch.tensor([4, 3, 2])}
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        loss, _ = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1  # one vector for all three could give no less than (2 * ln 3 ...) / 9 nats
    steps = DecoderSteps(model.eval().decoder, model.begin(vectors), 1)
    token, written = torch.full((1, 3), 8), []
    for _ in range(4):
        token = steps.step(token)[0].argmax(-1)
        written.append(token[0])
    counts = torch.arange(4).unsqueeze(1) < batch["target_lengths"]
    assert torch.equal(torch.stack(written)[counts], targets[counts])


def test_hypotheses_follow_the_states_of_their_parents() -> None:
    model, batch = made(input_feeding=True), batch_of([(3, 4), (5, 4)])
    start = model.begin(batch["source"], batch["source_lengths"])
    steps = DecoderSteps(model.decoder, start, 3)
    steps.step(torch.tensor([[1, 4], [2, 5], [3, 6]]))
    steps.follow(torch.tensor([[2, 1], [2, 0], [0, 1]]))
    found, _ = steps.step(torch.full((3, 2), 7))
    for column, tokens in enumerate([[3, 5], [3, 4], [1, 5]]):
        alone = DecoderSteps(model.decoder, start, 1)
        alone.step(torch.tensor([tokens]))
        torch.testing.assert_close(found[column], alone.step(torch.full((1, 2), 7))[0][0])


def test_bf16_products_change_the_loss_a_little() -> None:
    model, batch = made().train(), batch_of(LENGTHS)
    wanted, _ = model.loss(batch)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = model.loss(batch)
    found.backward()
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "soft"}, "attention is 'soft'"),
        ({"hidden_size": 5}, "hidden_size is 5.*even"),
        ({"shared": True}, "one vocabulary, or shared=False"),
        ({"attention": "none", "start": "zero"}, "knows nothing"),
        ({"start": "warm"}, "start is 'warm'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"source_vocabulary": 0}, "source_vocabulary is 0"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(BASE, **options)


def test_an_empty_source_and_a_start_without_memory_are_refused() -> None:
    model = made()
    with pytest.raises(ShapeError, match="a source has no tokens"):
        model.begin(torch.zeros(2, 2, dtype=torch.long), torch.tensor([2, 0]))
    with pytest.raises(ConfigError, match="nothing to look at"):
        model.decoder(Start(None, None, None, 1), torch.zeros(1, 1, dtype=torch.long))
    with pytest.raises(ConfigError, match="attention needs a sequence"):
        VectorDecoderConfig(V, vector_size=3, attention="dot")


def test_a_configuration_survives_json() -> None:
    assert TranslatorConfig.from_dict(BASE.to_dict()) == BASE
