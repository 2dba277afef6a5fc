"""Seconds and memory to look inside a large model on a long text.

    python benchmarks/inspection.py                    # 1 MB of text, 2 x LSTM-512, 48 units of every layer kept

The text is Python's own source, the weights are random: what a unit does has no influence on the time. The peak is of
the whole process, PyTorch's 300 MB included.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch

from ifog.data import CharTokenizer, Corpus
from ifog.inspection import inspect
from ifog.models import LanguageModel


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=1_000_000)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--units", type=int, default=24, help="of each layer's h")
    given = parser.parse_args()
    text = "".join(Corpus.default().texts())[: given.characters]
    tokenizer = CharTokenizer("".join(sorted(set(text))))
    model = LanguageModel(
        tokenizer.vocabulary_size, hidden_size=given.hidden_size, num_layers=given.layers, embedding_size=64
    )
    model.tokenizer = tokenizer
    values = [f"layer{layer}.h:{unit}" for layer in range(given.layers) for unit in range(given.units)]
    start = time.perf_counter()
    trace = inspect(model.eval(), text, values=values)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    work = 2e-12 * len(text) * sum(p.numel() for p in model.parameters() if p.dim() == 2)
    print(
        f"{len(trace):,} characters, {given.layers} x LSTM-{given.hidden_size}, {torch.get_num_threads()} threads: "
        f"{seconds:.1f} s, {work / seconds:.2f} TFLOP/s, {peak:.2f} GiB at most"
    )


if __name__ == "__main__":
    main()
