"""A run whose prepared files were damaged is refused by name, whatever is asked of it, and stays as it is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ifog
from ifog.errors import RunError
from ifog.examples import Table
from ifog.examples.made_pairs import made_pairs
from ifog.examples.made_reviews import made_reviews
from ifog.examples.made_series import make_series
from ifog.examples.made_tags import made_tags
from ifog.tasks import jobs, supervised

TINY: dict[str, Any] = {"steps": 2, "hidden_size": 4, "batch_size": 4, "budget": None}
KINDS = ("classify", "regress", "tag", "translate", "forecast")
WRONG: tuple[Any, ...] = (None, -1, 0.5, "x", True, [], {}, [[1]], ["x", None])


def numbers() -> Table:
    texts = [f"{'very ' * (k % 3)}good {k}" for k in range(12)]
    return Table({"text": texts, "label": [str(k % 3) for k in range(12)]}, [("made", k) for k in range(12)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each kind; tests only read them."""
    folder = tmp_path_factory.mktemp("runs")
    series = folder / "series.csv"
    make_series(series, 200)
    files: dict[str, Any] = {
        "classify": made_reviews(12),
        "regress": numbers(),
        "tag": made_tags(12),
        "translate": made_pairs("dates", 12),
        "forecast": str(series),
    }
    more: dict[str, dict[str, Any]] = {
        "translate": {"vocabulary_size": 300},
        "forecast": {"context": 24, "horizon": 3},
    }
    for kind in KINDS:
        supervised.train(files[kind], task=kind, out=folder / kind, **TINY, **more.get(kind, {}))
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture
def copied(runs: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(runs[kind], tmp_path / kind, dirs_exist_ok=True))


def refused(run: Path) -> None:
    """Everything that can be asked of a run is an error that names the run, and changes nothing."""
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != "lock"}
    rows = Table({"text": ["a"], "words": [["a"]], "source": ["a"], "series": [[[1.0]]]}, [("made", 1)])
    asked: tuple[Callable[[], Any], ...] = (
        lambda: ifog.load(run),
        lambda: ifog.evaluate(run),
        lambda: ifog.predict(run, rows),
        lambda: ifog.resume(run),
    )
    for ask in asked:
        with pytest.raises(RunError, match=str(run)):
            ask()
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != "lock"} == before


def damages(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same object with one value dropped, or of another type."""
    for name, value in values.items():
        yield {key: other for key, other in values.items() if key != name}
        for wrong in WRONG:
            if wrong != value or type(wrong) is not type(value):
                yield {**values, name: wrong}
    yield {**values, "another": 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["encoding.json", "config.json", "train.examples", "validation.examples"])
def test_a_file_that_is_cut_missing_or_of_another_kind_is_refused(
    copied: Callable[[str], Path], kind: str, name: str
) -> None:
    run = copied(kind)
    content = (run / name).read_bytes()
    flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    examined = ("validation.examples", "train.examples")
    for damaged in (b"", content[: len(content) // 2], content[:-2], b"{}", b"[]", b"null", b"\xff" * 30, flipped):
        (run / name).write_bytes(damaged)
        if name in examined:
            with pytest.raises(RunError, match=name):
                ifog.resume(run)
        else:
            refused(run)
    (run / name).unlink()
    if name == "validation.examples":
        with pytest.raises(RunError, match=name):
            ifog.evaluate(run)
    elif name != "train.examples":
        refused(run)


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoding_with_one_thing_wrong_is_refused(copied: Callable[[str], Path], kind: str) -> None:
    run = copied(kind)
    path = run / "encoding.json"
    for values in damages(json.loads(path.read_bytes())):
        path.write_text(json.dumps(values))
        refused(run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_with_one_thing_wrong_is_refused(copied: Callable[[str], Path], kind: str) -> None:
    run = copied(kind)
    path = run / "config.json"
    config = json.loads(path.read_bytes())
    checksum = config.pop("checksum")
    for values in damages(config):
        path.write_text(json.dumps({**values, "checksum": checksum}))
        refused(run)
    for options in damages(config["options"]):
        path.write_text(json.dumps({**config, "options": options, "checksum": checksum}))
        with pytest.raises(RunError, match=str(run)):
            ifog.resume(run)
    wrongs: tuple[Any, ...] = (0, None, [], str(checksum))
    for wrong in wrongs:
        path.write_text(json.dumps({**config, "checksum": wrong}))
        refused(run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_run_without_checksums_is_loaded_or_refused(copied: Callable[[str], Path], kind: str) -> None:
    run = copied(kind)
    path, described = run / "encoding.json", run / "config.json"
    config = json.loads(described.read_bytes())
    del config["checksum"]
    described.write_text(json.dumps(config))
    assert jobs.load(run) is not None
    losses = 0
    original = path.read_bytes()
    for values in damages(json.loads(original)):
        path.write_text(json.dumps(values))
        losses += not loads(run)
    path.write_bytes(original)
    for options in damages(config["options"]):
        described.write_text(json.dumps({**config, "options": options}))
        losses += not loads(run)
    assert losses > 50


def loads(run: Path) -> bool:
    """Whether a run can be loaded; any error but `RunError` fails."""
    try:
        jobs.load(run)
    except RunError:
        return False
    return True


def test_a_run_moved_to_another_folder_is_as_good_as_before(copied: Callable[[str], Path], tmp_path: Path) -> None:
    for kind in KINDS:
        run = copied(kind)
        os.rename(run, tmp_path / "moved")
        assert ifog.evaluate(tmp_path / "moved")["loss"] > -1e9
        assert ifog.resume(tmp_path / "moved").step == 2
        shutil.rmtree(tmp_path / "moved")
