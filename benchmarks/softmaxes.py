"""Adaptive against full softmax on WikiText-2: tokens per second, and perplexity after equal time.

    IFOG_DATA=~/data python benchmarks/softmaxes.py --minutes 10

Two models that differ in their softmax alone are trained in one process, ten seconds each in turns, until each has had
its time; the learning rate follows each one's own time. Prints the ratio of tokens per second (median over the turns,
with the spread) and both perplexities of the whole validation text.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ifog.data import Corpus, Streams, TextData, prepare_text
from ifog.layers import detach_state
from ifog.models.catalogue import build
from ifog.tasks.prediction import NextToken
from ifog.training import TrainingConfig
from ifog.training.schedules import learning_rate, run_fraction

TURN = 10.0  # seconds
BATCH, STEPS = 32, 35


class Arm:
    """One model in training, and the time it has had."""

    def __init__(self, softmax: str, data: TextData, given: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.softmax, self.seconds, self.tokens = softmax, 0.0, 0
        self.speeds: list[float] = []
        shape = {"embedding_size": given.hidden_size, "sizes": [given.hidden_size] * 2, "softmax": softmax}
        dropped = {"input_dropout": 0.1, "layer_dropout": 0.1, "output_dropout": 0.1}
        self.model = build("regularised", {"vocabulary_size": data.tokenizer.vocabulary_size, **shape, **dropped})
        self.config = TrainingConfig(budget=60 * given.minutes, learning_rate=given.learning_rate)
        self._optimizer = torch.optim.AdamW(self.model.parameters(), lr=given.learning_rate, fused=True)
        self._batches = Streams(data.train, BATCH, STEPS)
        self._state: Any = None

    def turn(self) -> None:
        """Updates for one turn's time."""
        self.model.train()
        start, tokens = time.perf_counter(), 0
        while (spent := time.perf_counter() - start) < TURN:
            rate = learning_rate(self.config, run_fraction(self.config, 0, self.seconds + spent))
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            batch = next(self._batches)
            loss, state = self.model.loss(batch.inputs, batch.targets, None if batch.reset else self._state)
            self._state = detach_state(state)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad()
            tokens += batch.inputs.numel()
        self.seconds += spent
        self.tokens += tokens
        self.speeds.append(tokens / spent)


def main() -> None:
    """Train both in turns, then judge both."""
    given = parsed()
    if "IFOG_DATA" not in os.environ:
        sys.exit("Set IFOG_DATA to the folder that holds wikitext2/wiki.train.tokens.")
    corpora = Path(os.environ["IFOG_DATA"]) / "wikitext2"
    with tempfile.TemporaryDirectory() as folder:
        train, held_out = (Corpus.from_files([str(corpora / f"wiki.{part}.tokens")]) for part in ("train", "valid"))
        data = prepare_text(train, Path(folder), tokenizer="word", validation=held_out)
        arms = [Arm(softmax, data, given) for softmax in ("full", "adaptive")]
        threads, size = torch.get_num_threads(), data.tokenizer.vocabulary_size
        print(f"V = {size:,}, 2 x LSTM-{given.hidden_size}, {BATCH} x {STEPS} tokens an update, {threads} threads")
        while any(arm.seconds < arm.config.budget for arm in arms):
            for arm in arms:
                arm.turn()
        task = NextToken(data.train, data.validation, data.tokenizer, BATCH, STEPS, 0)
        for arm in arms:
            with torch.no_grad():
                figures = task.evaluate(arm.model.eval())
            print(
                f"{arm.softmax:9}{arm.seconds:6.0f} s{arm.tokens / len(data.train):6.2f} epochs"
                f"{statistics.median(arm.speeds):9.0f} tokens/s   validation perplexity {figures['perplexity']:.1f}"
            )
    ratios = sorted(b / a for a, b in zip(arms[0].speeds, arms[1].speeds, strict=True))
    print(f"adaptive / full: {statistics.median(ratios):.2f}x tokens per second ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def parsed() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for each of the two")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
