"""What single units stand for in models of Python, of C and of prose, each on text that its model hasn't seen.

    python benchmarks/detectors.py python c                          # 14 minutes of training each
    IFOG_DATA=~/data python benchmarks/detectors.py linux wikitext2 tinyshakespeare

The recipe is one for all: two layers of 256, one thread. The texts are found on the machine: Python's own library; the
headers of Python and of the C library; Linux (an unpacked source tree), WikiText-2 and tinyshakespeare in the folder
that IFOG_DATA names. What a model learns and what it is judged on lie in the working folder as NAME.txt and
NAME-unseen.txt, the run in NAME.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import ifog
from ifog.data import Corpus
from ifog.inspection.controls import detect
from ifog.inspection.watching import values_of
from ifog.tasks.language import load

RECIPE: dict[str, Any] = {"num_layers": 2, "hidden_size": 256, "batch_size": 32, "sequence": 128, "learning_rate": 4e-3}
UNSEEN = 150_000  # characters of C that are held out, in whole files
LARGEST = 60_000  # characters of a file that is held out: they should be several


def python() -> tuple[str, str]:
    """What `ifog train` takes by default, and three modules that aren't in it."""
    root = Path(sysconfig.get_path("stdlib"))
    unseen = "".join((root / name).read_text() for name in ("logging/handlers.py", "pdb.py", "argparse.py"))
    seen = "".join(Corpus.default().texts())
    if unseen[:2000] in seen:
        sys.exit("this Python's default corpus holds the modules that are to be held out.")
    return seen, unseen


def c() -> tuple[str, str]:
    """Headers of C: Python's own, all of them, and those that lie in /usr/include itself."""
    places = [*Path(sysconfig.get_path("include")).rglob("*.h"), *Path("/usr/include").glob("*.h")]
    return _apart(sorted(places))


def linux() -> tuple[str, str]:
    """The kernel's own folder in the source of Linux, the lectures' text: functions that nest."""
    return _apart(sorted((_data() / "linux" / "kernel").rglob("*.c")))


def _apart(places: list[Path]) -> tuple[str, str]:
    """The texts of C in files, shuffled and joined, and those of some whole files that are held out."""
    texts: dict[str, None] = {}  # each text once
    for path in places:
        text = path.read_text(errors="replace")
        if text.isascii() and not any(sign in text for sign in ("namespace ", "template <", "template<", "\0")):
            texts[text] = None
    if not texts:
        sys.exit("No C was found; linux is a folder of IFOG_DATA that holds kernel/ and the rest of the source.")
    shuffled = list(texts)
    random.Random(0).shuffle(shuffled)
    unseen: list[str] = []
    while shuffled and sum(map(len, unseen)) < UNSEEN:
        small = next(k for k, text in enumerate(shuffled) if len(text) < LARGEST)
        unseen.append(shuffled.pop(small))
    return "".join(shuffled), "".join(unseen)


def wikitext2() -> tuple[str, str]:
    """Articles of an encyclopaedia; the validation text is held out."""
    folder = _data() / "wikitext2"
    return (folder / "wiki.train.tokens").read_text(), (folder / "wiki.valid.tokens").read_text()


def tinyshakespeare() -> tuple[str, str]:
    """Plays; their last tenth is held out."""
    text = (_data() / "tinyshakespeare" / "input.txt").read_text()
    cut = len(text) * 9 // 10
    return text[:cut], text[cut:]


TEXTS: dict[str, tuple[str, Callable[[], tuple[str, str]]]] = {
    "python": ("python", python),
    "c": ("c", c),
    "linux": ("c", linux),
    "wikitext2": ("prose", wikitext2),
    "tinyshakespeare": ("prose", tinyshakespeare),
}


def _data() -> Path:
    if "IFOG_DATA" not in os.environ:
        sys.exit("Set IFOG_DATA to the folder that holds linux/, wikitext2/ and tinyshakespeare/.")
    return Path(os.environ["IFOG_DATA"])


def main() -> None:
    """Train where there is no run yet, and print what each text's detectors find."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", choices=TEXTS)
    parser.add_argument("--budget", default="14m")
    parser.add_argument("--cell", default="lstm", help="with another one the run is NAME-CELL")
    parser.add_argument("--work", type=Path, default=Path("runs/detectors"), help="the working folder")
    parser.add_argument("--characters", type=int, default=60_000, help="of the unseen text, from its start")
    parser.add_argument("--controls", type=int, default=19, help="-1: only train")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    for name in given.texts:
        language, gather = TEXTS[name]
        seen, unseen = gather()
        (given.work / f"{name}.txt").write_text(seen)
        (given.work / f"{name}-unseen.txt").write_text(unseen)
        out = given.work / (name if given.cell == "lstm" else f"{name}-{given.cell}")
        print(f"{name}: {len(seen):,} characters to learn, {len(unseen):,} unseen", flush=True)
        if not out.exists():
            run = ifog.train(
                given.work / f"{name}.txt", out=out, budget=given.budget, cell=given.cell,
                **RECIPE,
            )  # fmt: skip
            print(f"{run.step} updates, {run.metrics['loss']:.3f} nats per character held out", flush=True)
        if given.controls >= 0:
            text = unseen[: given.characters]
            model = load(out)
            found = detect(model, text, language, controls=given.controls, values=[*values_of(model)], unknown="")
            print(f"{len(text):,} characters, {given.controls} copies with shuffled weights\n{found}\n", flush=True)
            (out / "detectors.json").write_text(json.dumps(found.to_dict(), indent=1))


if __name__ == "__main__":
    main()
