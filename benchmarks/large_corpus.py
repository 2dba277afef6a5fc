"""Make a synthetic corpus, and take it from text to a Kneser-Ney model with bounded memory; or kill that at random.

    python -m benchmarks.large_corpus --folder large                         # sizes, seconds and peak memory
    python -m benchmarks.large_corpus --folder killed --megabytes 20 --kill 4

Owns the corpus (words and phrases by Zipf's law, the same for the same seed) and the watching: each stage is a process
of its own, whose peak resident memory the system tells at its end, mapped files included. With `--kill` each stage is
killed (-9) that many times and started again; what a killed process reported as finished must not be done a second
time, and the results must be those of an undisturbed run, bit for bit. The exit code is 1 if not, or if memory went
beyond the limit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ifog.data import Corpus, WordTokenizer, count_words, encode_shards, load_tokenizer, open_shards
from ifog.ngrams import Sentences, Vocabulary, count_on_disk, estimate_on_disk, open_mapped
from ifog.ngrams.disk import DiskCounts

STAGES = ("words", "ids", "counts", "model")
TYPES = 1_000_000  # different words that can occur
KEPT = 793_471  # of them at most, as in the One Billion Word benchmark
PHRASES = 1_000_000  # of two to six words that go together, as in a language
SENTENCE = 10  # words and phrases in a sentence, on average
DRAWN = 1 << 19  # words and phrases drawn at once
SYLLABLES = [consonant + vowel for consonant in "bdfghjklmnprstvz" for vowel in "aeiou"]


class Ended(NamedTuple):
    """A process that is over.

    Attributes:
        seconds: It took.
        peak: Bytes that were resident at most.
        reported: The units of work it reported as finished, in order.
        whole: It was not killed.
    """

    seconds: float
    peak: int
    reported: list[int]
    whole: bool


def main() -> int:
    """Print the table; the exit code says whether all went as it must."""
    arguments = parsed()
    if arguments.stage:
        work(arguments.stage, arguments)
        return 0
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{'stage':<8}{'seconds':>9}{'peak MiB':>10}{'units':>7}  on disk", flush=True)
    usual: dict[str, Ended] = {}
    for stage in ("corpus", *STAGES):
        usual[stage] = ended(stage, arguments, "undisturbed", None)
        peak, units = usual[stage].peak / 2**20, len(usual[stage].reported)
        print(f"{stage:<8}{usual[stage].seconds:>9.0f}{peak:>10.0f}{units:>7}  {sizes(folder, stage)}", flush=True)
    highest = max(usual[stage].peak for stage in STAGES)
    print(f"highest peak: {highest / 2**30:.2f} GiB, limit {arguments.gigabytes:g}")
    describe(folder / "undisturbed", arguments.order)
    wrong = highest > arguments.gigabytes * 2**30
    return 1 if wrong or (arguments.kill and killed(arguments, usual)) else 0


def parsed() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, help="scratch; needs about five times the corpus at order 3")
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--kill", type=int, default=0, help="kills of each stage")
    parser.add_argument("--shard-bytes", type=int, default=1 << 26)
    parser.add_argument("--shard-tokens", type=int, default=4_000_000)
    parser.add_argument("--batch", type=int, default=1 << 21, help="n-grams estimated at once")
    parser.add_argument("--gigabytes", type=float, default=4.0, help="limit of peak memory")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stage", choices=("corpus", *STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--run", default="undisturbed", help=argparse.SUPPRESS)
    return parser.parse_args()


def generate(path: Path, size: int, seed: int) -> None:
    """Write `size` bytes of sentences of words and phrases by Zipf's law, the same for the same seed."""
    draw = np.random.default_rng(seed)
    words = [spelled(rank) for rank in range(TYPES)]
    reach = np.cumsum(1.0 / (np.arange(TYPES) + 2.7) ** 1.05)
    inner = iter(np.searchsorted(reach, draw.random(6 * PHRASES) * reach[-1]).tolist())
    lengths = draw.integers(2, 7, PHRASES).tolist()
    units = np.array([*words, *(" ".join(words[next(inner)] for _ in range(length)) for length in lengths)], np.object_)
    shares = 1.0 / (np.arange(PHRASES) + 2.7)
    reach = np.concatenate([0.6 * reach / reach[-1], 0.6 + 0.4 * np.cumsum(shares) / shares.sum()])
    temporary = path.with_name(path.name + ".temporary")
    with temporary.open("wb") as file:
        while file.tell() < size:
            drawn = units[np.searchsorted(reach, draw.random(DRAWN) * reach[-1])]
            drawn[draw.random(DRAWN) < 1 / SENTENCE] = "\n"
            file.write(" ".join([*drawn.tolist(), "\n"]).replace(" \n", "\n").replace("\n ", "\n").encode())
    temporary.replace(path)


def spelled(rank: int) -> str:
    """The word of a rank; frequent ones are short."""
    text = SYLLABLES[rank % len(SYLLABLES)]
    while rank := rank // len(SYLLABLES):
        text += SYLLABLES[rank % len(SYLLABLES)]
    return text


def work(stage: str, arguments: argparse.Namespace) -> None:
    """One stage, in this process; reports each finished unit as a line."""
    folder = Path(arguments.folder) / arguments.run
    text = Path(arguments.folder) / "corpus.txt"
    if stage == "corpus":
        if not text.exists():
            generate(text, arguments.megabytes * 10**6, arguments.seed)
        return
    corpus = Corpus.from_files([text])
    if stage == "words":
        counted = count_words(corpus, folder / "words.txt", shard_bytes=arguments.shard_bytes, progress=report)
        WordTokenizer.from_counts(counted, vocabulary_size=KEPT).save(folder / "tokenizer.json")
    elif stage == "ids":
        tokenizer = load_tokenizer(folder / "tokenizer.json")
        encode_shards(corpus, tokenizer, folder / "ids", shard_bytes=arguments.shard_bytes, progress=report)
    elif stage == "counts":
        ids, tokenizer = open_shards(folder / "ids"), tokenizer_of(folder)
        sentences = Sentences(tokenizer.vocabulary_size, tokenizer.end)
        count_on_disk(
            ids, folder / "counts", arguments.order, tokenizer.vocabulary_size + 1, sentences=sentences,
            shard_tokens=arguments.shard_tokens, memory_limit="1500MB", threads=1, progress=report,
        )  # fmt: skip
    else:
        tokenizer = tokenizer_of(folder)
        size = tokenizer.vocabulary_size + 1
        counts = DiskCounts(folder / "counts", arguments.order, size, Sentences(size - 1, tokenizer.end))
        words = ["</s>" if word == "<eos>" else word for word in tokenizer.words]
        estimate_on_disk(
            counts, folder / "model", fallback=(0.5, 1.0, 1.5), vocabulary=Vocabulary([*words, "<s>"]),
            batch=arguments.batch, threads=1, progress=report,
        )  # fmt: skip


def tokenizer_of(folder: Path) -> WordTokenizer:
    """The vocabulary that the first stage made."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    assert isinstance(tokenizer, WordTokenizer)
    return tokenizer


def report(done: int, _: int) -> None:
    """Tell the watching process."""
    print(done, flush=True)


def ended(stage: str, arguments: argparse.Namespace, run: str, moment: float | None) -> Ended:
    """Run a stage in a process of its own; kill it after `moment` seconds."""
    (Path(arguments.folder) / run).mkdir(exist_ok=True)
    options = ("folder", "megabytes", "seed", "order", "shard-bytes", "shard-tokens", "batch")
    given = [text for name in options for text in (f"--{name}", str(getattr(arguments, name.replace("-", "_"))))]
    command = [sys.executable, "-m", "benchmarks.large_corpus", "--stage", stage, "--run", run, *given]
    log = Path(arguments.folder) / f"{run}.{stage}.log"
    start = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=out)
        if moment is not None:
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        status, usage = (process.returncode, None) if process.returncode is not None else os.wait4(process.pid, 0)[1:]
    process.returncode = 0  # it was waited for
    if moment is None and status:
        raise SystemExit(f"{stage} ended with status {status}")
    lines = log.read_text().splitlines(keepends=True)
    reported = [int(line) for line in lines if line.endswith("\n")]
    return Ended(time.monotonic() - start, usage.ru_maxrss * 1024 if usage else 0, reported, not status)


def killed(arguments: argparse.Namespace, usual: dict[str, Ended]) -> bool:
    """Kill every stage, go on, and compare; whether anything is wrong."""
    moments = random.Random(arguments.seed)
    wrong = False
    for stage in STAGES:
        last, repeated, ends = 0, 0, list[str]()
        for kill in range(arguments.kill + 1):
            # the start of the program is part of the time, and each process has only what is left to do
            moment = moments.uniform(0.2, 0.9) * usual[stage].seconds if kill < arguments.kill else None
            found = ended(stage, arguments, "killed", moment)
            repeated += sum(unit <= last for unit in found.reported)
            last = max([last, *found.reported])
            ends.append("end" if found.whole else f"{last}")
        same = results(Path(arguments.folder) / "undisturbed", stage) == results(
            Path(arguments.folder) / "killed", stage
        )
        wrong |= bool(repeated) or not same
        verdict = "equal, bit for bit" if same else "DIFFERENT"
        print(f"{stage:<8}killed after unit {', '.join(ends[:-1])}; repeated: {repeated}; {verdict}", flush=True)
    return wrong


def results(folder: Path, stage: str) -> dict[str, str]:
    """What a stage left, as checksums."""
    patterns = {"words": ["words.txt", "tokenizer.json"], "ids": ["ids/*"], "counts": ["counts/*.json"],
                "model": ["model/*.bin", "model/model.json"]}  # fmt: skip
    files = [file for pattern in patterns[stage] for file in sorted(folder.glob(pattern))]
    assert files
    return {file.name: digest(file) for file in files}


def digest(path: Path) -> str:
    """Of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sizes(folder: Path, stage: str) -> str:
    """What a stage left on the disk."""
    root = folder / "undisturbed"
    place = {"corpus": root.parent / "corpus.txt", "words": root / "words.txt"}.get(stage, root / stage)
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e9:.2f} GB"


def describe(folder: Path, order: int) -> None:
    """The sizes of what was made, and that the model can be asked."""
    ids, tokenizer = open_shards(folder / "ids"), tokenizer_of(folder)
    model = open_mapped(folder / "model")
    piece = ids[:100_000]
    rows = json.loads((folder / "counts" / "merged.json").read_text())["rows"]
    print(f"{len(ids):,} tokens, {tokenizer.vocabulary_size:,} words, order {order}")
    print("n-grams: " + " ".join(f"{sum(parts):,}" for parts in rows))
    print(
        f"perplexity of the first {len(piece):,} tokens, which are the model's own text: {model.perplexity(piece):.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
