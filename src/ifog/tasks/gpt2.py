"""Judge GPT-2 from a local folder on a text, in figures that compare with models of words.

Owns which files such a folder holds and how they are read. Takes the folder and a text, gives figures. Never fetches
anything: without the files it says where they are published.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifog.data import BPETokenizer, Corpus, encode_corpus
from ifog.errors import DataError
from ifog.evaluation import RecurrentScorer, figures
from ifog.models import GPT2Config, GPT2Model

if TYPE_CHECKING:
    from ifog.evaluation import Figures

__all__ = ["FILES", "gpt2_tokenizer", "judge_gpt2"]

FILES = ("config.json", "model.safetensors", "vocab.json", "merges.txt")
END_OF_TEXT = "<|endoftext|>"  # stood before each document in training, so it is read before the text

Files = str | os.PathLike[str]


def judge_gpt2(folder: Files, text: Files, *, stride: int = 512, network: Any = None) -> Figures:
    """How well GPT-2, which never saw the text's training part, predicts it.

    The text is judged as it stands: a corpus of tokenized words (" n't", "<unk>", "N") is a foreign language to a model
    of running text, and undoing that, as its paper did, would lower the figure. What compares with models of words is
    `word_perplexity`: the same text and the same number of words, whatever the tokens are.

    Args:
        folder: Holds `FILES`, as published.
        text: UTF-8.
        stride: Tokens by which windows move on: each token has the window's length less that before it, at least.
        network: In place of the one that the package `transformers` loads from the folder.

    Raises:
        DataError: A file is missing or damaged, or the text can't be read.
        ConfigError: `transformers` isn't installed, or the stride is out of its range.
    """
    root = Path(folder)
    if missing := [name for name in FILES if not (root / name).is_file()]:
        raise DataError(
            f"{root} lacks {', '.join(missing)}; GPT-2's files are published at huggingface.co/openai-community/gpt2: "
            f"fetch {', '.join(FILES)} into that folder."
        )
    try:
        sizes: Any = json.loads((root / "config.json").read_bytes())
        vocabulary_size, context = int(sizes["vocab_size"]), int(sizes["n_positions"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{root / 'config.json'} describes no GPT-2 ({error!r}); fetch it again.") from error
    tokenizer = gpt2_tokenizer(root)
    config = GPT2Config(vocabulary_size, str(root), context, stride)
    model = GPT2Model(config, network).eval()
    start = int(json.loads((root / "vocab.json").read_bytes())[END_OF_TEXT])
    corpus = Corpus.from_files([Path(text)])
    with tempfile.TemporaryDirectory() as scratch:
        ids = encode_corpus(corpus, tokenizer, Path(scratch) / "text.ids")
        log_prob = RecurrentScorer(model, chunk=stride, start=start).log_prob(ids)
    return figures(log_prob, corpus.texts())


def gpt2_tokenizer(folder: Files) -> BPETokenizer:
    """The byte pairs in vocab.json and merges.txt.

    Raises:
        DataError: A file is missing or damaged, or lacks the token that stands before a text.
    """
    root = Path(folder)
    try:
        vocabulary: dict[str, int] = json.loads((root / "vocab.json").read_text("utf-8"))
        lines = (root / "merges.txt").read_text("utf-8").splitlines()
        merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
        if END_OF_TEXT not in vocabulary:
            raise DataError(f"{root / 'vocab.json'} lacks {END_OF_TEXT}, which GPT-2 reads before a text.")
    except (OSError, ValueError) as error:
        raise DataError(f"{root} holds no byte pairs of GPT-2: {error}; fetch vocab.json and merges.txt.") from error
    model = {"type": "BPE", "vocab": vocabulary, "merges": merges}
    split = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return BPETokenizer(json.dumps({"version": "1.0", "added_tokens": [], "pre_tokenizer": split, "model": model}))
