"""Generation on the engine against the loop in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import ifog
from ifog import cells
from ifog.errors import CellError, ConfigError, ShapeError
from ifog.generation import Sampling, compiled, generate, probabilities
from ifog.kernels import available, engine
from ifog.models import LanguageModel

pytestmark = pytest.mark.skipif(not available(), reason="the engine is not built")

NAMES = sorted(cells.CATALOGUE)
ISAS = engine().isas() if available() else []
GREEDY = Sampling(greedy=True)


def drawn(size: int = 11, **options: Any) -> LanguageModel:
    """A model whose scores differ enough to have an opinion."""
    torch.manual_seed(0)
    model = LanguageModel(size, **{"hidden_size": 24, **options}).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model


def made(model: LanguageModel, prime: Tensor, length: int, sampling: Sampling = GREEDY, **options: Any) -> Tensor:
    """What the engine makes."""
    assert compiled.obstacle(model) == ""
    return torch.stack(list(generate(model, prime, length, sampling=sampling, **options)))


def in_python(model: LanguageModel, prime: Tensor, length: int, **options: Any) -> Tensor:
    """The same, step by step."""
    hook = model.register_forward_hook(lambda *_: None)
    assert "hook" in compiled.obstacle(model)
    tokens = list(generate(model, prime, length, sampling=GREEDY, **options))
    hook.remove()
    return torch.stack(tokens)


def ids(*shape: int, size: int = 11) -> Tensor:
    return torch.randint(size, shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("embedding", [0, 24], ids=["ids", "embedding"])
def test_every_cell_makes_the_tokens_that_python_makes(name: str, embedding: int) -> None:
    for layers, batch, steps in ((1, 1, 1), (2, 3, 4)):
        try:
            model = drawn(cell=name, num_layers=layers, embedding_size=embedding)
        except (CellError, ConfigError):
            pytest.skip("the cell takes no ids")
        prime = ids(steps, batch)
        for length in (1, 30):  # few tokens are not worth a table
            assert torch.equal(made(model, prime, length), in_python(model, prime, length))


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_makes_the_same_tokens(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFOG_ISA", isa)
    for batch in (1, 17):
        model = drawn(33, hidden_size=37, num_layers=2)
        prime = ids(2, batch, size=33)
        assert torch.equal(made(model, prime, 40), in_python(model, prime, 40))


@pytest.mark.parametrize("cell", ["lstm", "gru_cho", "recurrent_highway", "delta_net", "mingru"])
@pytest.mark.parametrize("batch", [1, 5])
def test_two_threads_make_the_same_tokens(cell: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ifog.kernels.generation.SMALLEST_SHARE", 1)
    model = drawn(70, cell=cell, hidden_size=130, num_layers=2)
    prime = ids(3, batch, size=70)
    before = torch.get_num_threads()
    found: list[Tensor] = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(made(model, prime, 60, Sampling(seed=1, top_k=40, top_p=0.9)))
    torch.set_num_threads(before)
    assert torch.equal(*found)


@pytest.mark.parametrize("transform", [cells.layer_normalized, cells.zoneout, cells.variational])
def test_transformed_cells_run_with_the_expectation_of_their_masks(transform: Any) -> None:
    for embedding in (0, 8) if transform is not cells.variational else (8,):
        model = drawn(cell=transform(cells.get("lstm")), embedding_size=embedding, num_layers=2, dropout=0.5)
        assert torch.equal(made(model, ids(3, 2), 30), in_python(model, ids(3, 2), 30))


def test_tied_weights_and_learned_first_states() -> None:
    model = drawn(embedding_size=24, tied=True)
    model.recurrent = ifog.Recurrent("lstm", 24, 24, initial_state="learned").eval()
    with torch.no_grad():
        for weight in model.recurrent.parameters():
            weight.copy_(torch.randn_like(weight))
    assert torch.equal(made(model, ids(1, 2), 30), in_python(model, ids(1, 2), 30))


@pytest.mark.parametrize("cell", ["lstm", "nas", "gru", "layer norm"])
def test_bf16_chooses_what_its_scores_prefer(cell: str) -> None:
    model = drawn(cell=cells.layer_normalized(cells.get("lstm")) if cell == "layer norm" else cell, num_layers=2)
    model.recurrent.precision = "bf16"
    prime = ids(3, 2)
    tokens = torch.cat([prime, made(model, prime, 40)])
    with torch.no_grad():
        scores = model(tokens[:-1])[0][2:]
    missed = scores.amax(-1) - scores.gather(-1, tokens[3:].unsqueeze(-1)).squeeze(-1)
    assert float(missed.max()) < 0.02 * float(scores.abs().max())
    fp32 = drawn(cell=model.recurrent.cell, num_layers=2)
    with torch.no_grad():
        assert not torch.equal(fp32(prime)[0], model(prime)[0])


def test_a_state_is_gone_on_from() -> None:
    model = drawn(num_layers=2)
    with torch.no_grad():
        _, state = model(ids(5, 2))
    kept = [s.clone() for s in state]
    assert torch.equal(made(model, ids(1, 2), 20, state=state), in_python(model, ids(1, 2), 20, state=state))
    assert all(torch.equal(a, b) for a, b in zip(kept, state, strict=True))


def test_an_empty_prime_and_no_tokens_at_all() -> None:
    model = drawn()
    nothing = torch.zeros(0, 2, dtype=torch.int64)
    assert torch.equal(made(model, nothing, 20), in_python(model, nothing, 20))
    assert made(model, nothing, 1).tolist() == [[0, 0]]
    assert list(generate(model, ids(2, 1), 0, sampling=GREEDY)) == []


def test_sequences_stop_alone_and_the_loop_with_the_last() -> None:
    model = drawn(4)
    prime = ids(2, 3, size=4)
    for stop in ([0], [1, 2], [3], [7]):
        expected = in_python(model, prime, 60, stop=stop)
        assert torch.equal(made(model, prime, 60, stop=stop), expected)


def test_a_seed_fixes_the_text_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    model = drawn(60)

    def text(length: int, seed: int | None = 3) -> list[int]:
        return made(model, ids(1, 1), length, Sampling(seed=seed))[:, 0].tolist()

    whole = text(700)
    assert text(300) == whole[:300]
    monkeypatch.setattr(compiled, "LONGEST", 0.0)  # a slow model is asked for fewer tokens at once
    assert text(700) == whole
    assert text(700, 4) != whole
    assert text(50, None) != text(50, None)


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.5}, {"top_k": 4}, {"top_p": 0.7}, {"top_k": 6, "top_p": 0.8, "temperature": 2.0}]
)
def test_draws_follow_the_distribution(options: dict[str, Any]) -> None:
    model = drawn(12)
    sampling = Sampling(seed=0, **options)
    count = 20_000
    tokens = made(model, torch.full((1, count), 5), 1, sampling)[0]
    with torch.no_grad():
        wanted = probabilities(model(torch.tensor([[5]]))[0][0, 0], sampling)
    found = tokens.bincount(minlength=12)
    assert not found[wanted == 0].any()
    kept = wanted > 0
    surprise = ((found[kept] - count * wanted[kept]) ** 2 / (count * wanted[kept])).sum()
    assert float(surprise) < 40  # chi-square of at most 11 degrees of freedom: one in 25,000 is above


def test_later_draws_follow_it_too() -> None:
    model = drawn(5)
    tokens = made(model, ids(1, 1, size=5), 4000, Sampling(seed=0))
    with torch.no_grad():
        p = model(torch.cat([ids(1, 1, size=5), tokens[:-1]]))[0].squeeze(1).softmax(-1)
    found, wanted = tokens.squeeze(1).bincount(minlength=5), p.sum(0)
    assert bool(((found - wanted).abs() < 4 * (p * (1 - p)).sum(0).sqrt()).all())


@pytest.mark.parametrize("greedy", [False, True])
def test_weights_that_are_no_numbers_are_an_error_unless_greedy(greedy: bool) -> None:
    model = drawn()
    with torch.no_grad():
        model.b_y[3] = float("nan")
    if greedy:
        assert made(model, ids(1, 1), 3).tolist() == [[3]] * 3
    else:
        with pytest.raises(RuntimeError, match="no numbers"):
            made(model, ids(1, 1), 3, Sampling())


def test_a_prime_of_anything_but_tokens_is_an_error() -> None:
    model = drawn()
    for token in (-1, 11, 1 << 40):
        with pytest.raises(ShapeError, match="from 0 to 10"):
            made(model, torch.tensor([[token]]), 3)
    with pytest.raises(ShapeError, match="whole numbers"):
        made(model, torch.zeros(1, 1), 3)
    assert torch.equal(made(model, ids(1, 2).int(), 9), made(model, ids(1, 2).t().contiguous().t(), 9))


def test_a_changed_weight_counts_at_the_next_call() -> None:
    model = drawn()
    before = made(model, ids(1, 1), 20)
    with torch.no_grad():
        model.b_y[2] = 100.0
    assert made(model, ids(1, 1), 20).tolist() == [[2]] * 20 != before.tolist()


def test_generation_is_no_part_of_a_graph_and_leaves_gradients_on() -> None:
    model = drawn().train()
    token = next(generate(model, ids(1, 1), 2, sampling=GREEDY))
    assert not token.requires_grad
    assert torch.is_grad_enabled()
    assert model.training


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.double(), "torch.float64"),
        (lambda m: setattr(m.recurrent, "backend", "reference"), "reference"),
        (lambda m: m.recurrent.register_forward_pre_hook(lambda *_: None), "hook"),
        (lambda m: setattr(m.embedding, "max_norm", 1.0), "embedding"),
    ],
    ids=["double", "reference", "hook", "max_norm"],
)
def test_what_the_engine_cannot_run_says_why_and_runs_in_python(change: Any, words: str) -> None:
    model = drawn(embedding_size=8)
    change(model)
    assert words in compiled.obstacle(model)
    tokens: Sequence[Tensor] = list(generate(model, ids(2, 2), 3, sampling=GREEDY))
    assert len(tokens) == 3


def test_a_model_that_overrides_forward_is_asked() -> None:
    class Stubborn(LanguageModel):
        def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            logits, state = super().forward(ids, state)
            logits[..., 1] += 1000.0
            return logits, state

    assert [int(t) for t in generate(Stubborn(5, hidden_size=3), ids(1, 1, size=5), 3, sampling=GREEDY)] == [1, 1, 1]
