"""GPT-2 from a folder: its byte pairs, its windows, and figures per word."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ifog.errors import ConfigError, DataError
from ifog.tasks.gpt2 import FILES, gpt2_tokenizer, judge_gpt2

TEXT = " a low slower <unk>\n it 's lower\n" * 5


def signs() -> list[str]:
    """What byte-level byte pairs write for each byte, worked out as the published code does."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(byte if byte in shown else next(rest)) for byte in range(256)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Byte pairs `lo`, `low`, `er` and the sizes of a small network; its weights are given to each test."""
    vocabulary = {sign: index for index, sign in enumerate([*signs(), "lo", "low", "er", "<|endoftext|>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nl o\nlo w\ne r\n")
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 260, "n_positions": 8}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


class Bigrams(nn.Module):
    """A network whose scores depend on the last token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.config = type("Config", (), {"n_positions": 8})()
        self.table = nn.Parameter(torch.randn(260, 260, generator=torch.Generator().manual_seed(0)))

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        return type("Output", (), {"logits": self.table[input_ids]})()


def test_byte_pairs_are_those_of_the_merges_and_the_end_of_text_is_never_one(folder: Path) -> None:
    tokenizer = gpt2_tokenizer(folder)
    lower = tokenizer.encode("lower").tolist()
    assert lower == [257, 258]
    assert tokenizer.decode(lower) == "lower"
    found = tokenizer.encode("<|endoftext|> é")
    assert 259 not in found
    assert tokenizer.decode(found) == "<|endoftext|> é"


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_a_text_is_judged_token_by_token_after_an_end_of_text(folder: Path, stride: int) -> None:
    network = Bigrams()
    found = judge_gpt2(folder, folder / "text.txt", stride=stride, network=network)
    ids = [259, *gpt2_tokenizer(folder).encode(TEXT).tolist()]
    nats = 0.0
    for before, token in itertools.pairwise(ids):
        row = network.table.detach()[before].double()
        nats -= float(row[token] - row.logsumexp(0))
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert found.tokens == len(ids) - 1
    assert found.words == 5 * (4 + 3 + 2)  # line ends count
    assert found.word_perplexity == pytest.approx(math.exp(nats / found.words), rel=1e-4)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_with_where_it_is_published(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"lacks {name}; .*huggingface\.co"):
        judge_gpt2(folder, folder / "text.txt", network=Bigrams())


def test_damaged_files_are_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="stride 9"):
        judge_gpt2(folder, folder / "text.txt", stride=9, network=Bigrams())
    (folder / "config.json").write_text("{}")
    with pytest.raises(DataError, match="describes no GPT-2"):
        judge_gpt2(folder, folder / "text.txt", network=Bigrams())
    (folder / "vocab.json").write_text("{")
    with pytest.raises(DataError, match="fetch vocab"):
        gpt2_tokenizer(folder)
    (folder / "vocab.json").write_text(json.dumps({sign: index for index, sign in enumerate(signs())}))
    with pytest.raises(DataError, match="endoftext"):
        gpt2_tokenizer(folder)


def test_a_network_is_loaded_from_the_folder(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = transformers.GPT2Config(vocab_size=260, n_positions=8, n_embd=8, n_layer=2, n_head=2)
    network = transformers.GPT2LMHeadModel(sizes).eval()
    network.save_pretrained(folder)
    (folder / "text.txt").write_text("a lower")
    ids = torch.tensor([[259, *gpt2_tokenizer(folder).encode("a lower").tolist()]])
    assert ids.size(1) <= 8  # one window
    with torch.no_grad():
        wanted = network(input_ids=ids[:, :-1]).logits.log_softmax(-1).gather(-1, ids[:, 1:, None])
    assert judge_gpt2(folder, folder / "text.txt", stride=8).nats == pytest.approx(-float(wanted.sum()), rel=1e-5)
    assert np.isfinite(judge_gpt2(folder, folder / "text.txt", stride=2).nats)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="no such model could be loaded"):
        judge_gpt2(folder, folder / "text.txt", stride=2)
