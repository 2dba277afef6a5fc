"""Whatever a file holds, its reader gives a whole table or an error that names the file: never anything else."""

from __future__ import annotations

import gzip
import io
import pickle
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ifog.errors import IfogError
from ifog.examples import Examples, Ragged, Table
from ifog.examples.audio import read_recordings
from ifog.examples.labelled import first_names, read_labelled
from ifog.examples.parallel import read_parallel
from ifog.examples.pitches import read_pitches
from ifog.examples.series import read_series
from ifog.examples.series_archive import read_ts
from ifog.examples.tagged import read_tagged
from ifog.examples.vectors import Vectors, read_vectors

Read = Callable[[Path], Any]


def conllu() -> bytes:
    rows = [f"{n}\t{word}\t_\tNOUN\t_\t_\t0\t_\t_\t_" for n, word in enumerate(("a", "naïve", "fog"), 1)]
    return ("# text\n1-2\tx" + "\t_" * 8 + "\n" + "\n".join(rows) + "\n\n").encode()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, load=np.arange(6.0), heat=np.ones((6, 2), np.float32))
    return file.getvalue()


def npz_packed() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, load=np.arange(60) % 7, day=np.arange(60).astype("datetime64[D]"))
    return file.getvalue()


def wav() -> bytes:
    sound = struct.pack("<400h", *(round(9000 * np.sin(k / 5)) for k in range(400)))
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + len(sound)) + head + b"data" + struct.pack("<I", len(sound)) + sound


def images() -> bytes:
    return b"\0\0\x08\x03" + struct.pack(">III", 3, 2, 2) + bytes(range(12))


def labels_beside(path: Path) -> Any:
    labels = b"\0\0\x08\x01\0\0\0\x03\x01\x02\x03"
    beside = path.parent / path.name.replace("images-idx3", "labels-idx1")
    beside.write_bytes(gzip.compress(labels) if path.suffix == ".gz" else labels)
    return read_labelled([path])


def as_labels(path: Path) -> Any:
    beside = path.parent / path.name.replace("labels-idx1", "images-idx3")
    beside.write_bytes(images())
    return read_labelled([beside])


def in_folder(name: str) -> Read:
    def read(path: Path) -> Any:
        target = path.parent / "folder" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        return read_labelled([path.parent / "folder"])

    return read


def examples() -> bytes:
    def written(path: Path) -> bytes:
        columns = {"tokens": Ragged.of([[1, 2, 3], [], [4]], np.int32), "label": np.array([1, 0, 2])}
        Examples(columns).save(path)
        return path.read_bytes()

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return written(Path(folder) / "x")


def beside(other: bytes) -> Read:
    def read(path: Path) -> Any:
        path.with_name("other.de").write_bytes(other)
        return read_parallel([path, path.with_name("other.de")])

    return read


SERIES = b"date,load,heat\n" + b"".join(b"2020-01-%02d,%d,%.1f\n" % (k, k * k, k / 3) for k in range(1, 20))
JSONL = b'{"text": "caf\\u00e9 \xc3\xa9", "label": "a"}\n\n{"text": "b", "label": "b"}\n'
TAGGED = b'{"words": ["The", "fog"], "tags": ["DET", "NOUN"]}\n{"words": ["lifts"], "tags": ["VERB"]}\n'
PAIRS = b'{"source": "one fog", "target": "ein Nebel"}\n{"source": "two", "target": "zwei"}\n'
TS = b"@problemName x\n@classLabel true up down\n@data\n1,2,3:4,5,6:up\n1,2:3,4:down\n"
CSV = 'text,label\n"good, ""very"" fine",pos\n"two\nlines",neg\nnaïve,pos\n'.encode()

# name: the file, what a good one holds, and who reads it
READERS: dict[str, tuple[str, bytes, Read]] = {
    "csv": ("a.csv", CSV, lambda path: read_labelled([path])),
    "csv.gz": ("a.csv.gz", gzip.compress(CSV, mtime=0), lambda path: read_labelled([path])),
    "tsv": ("a.tsv", b"text\tlabel\ngood\tpos\nbad\tneg\n", lambda path: read_labelled([path])),
    "jsonl": ("a.jsonl", JSONL, lambda path: read_labelled([path])),
    "label first": ("a.txt", b"LOC Where is it ?\nNUM How many\n", lambda path: read_labelled([path])),
    "class files": ("pos", b"good\nfine\n", in_folder("pos.txt")),
    "class folders": ("pos", b"good\nfine\n", in_folder("pos/1.txt")),
    "recordings": ("a.wav", wav(), in_folder("one_1.wav")),
    "recordings of a folder": ("one_a.wav", wav(), lambda path: read_recordings(path.parent)),
    "images": ("t-images-idx3-ubyte", images(), labels_beside),
    "images.gz": ("t-images-idx3-ubyte.gz", gzip.compress(images(), mtime=0), labels_beside),
    "labels": ("t-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x03\x01\x02\x03", as_labels),
    "archive": ("a.ts", TS, lambda path: read_labelled([path])),
    "archive, interpolated": ("a.ts", TS.replace(b"2", b"?"), lambda path: read_ts(path, missing="interpolate")),
    "columns": ("a.conll", b"-DOCSTART- O\n\nThe DET\nfog NOUN\n\nIt PRON\n", read_tagged),
    "conllu": ("a.conllu", conllu(), read_tagged),
    "conllu.gz": ("a.conllu.gz", gzip.compress(conllu(), mtime=0), read_tagged),
    "tagged jsonl": ("a.jsonl", TAGGED, read_tagged),
    "untagged": ("a.conll", b"The\nfog\n\nIt\n", lambda path: read_tagged(path, labelled=False)),
    "two texts": ("a.en", b"one\ntwo fogs\n", beside(b"eins\nzwei Nebel\n")),
    "pairs tsv": (
        "a.tsv",
        b"source\ttarget\nx\none\teins\t1\n".replace(b"\nx\n", b"\tx\n"),
        lambda path: read_parallel([path]),
    ),
    "pairs jsonl": ("a.jsonl", PAIRS, lambda path: read_parallel([path])),
    "series": ("a.csv", SERIES, lambda path: read_series(str(path))),
    "series.gz": ("a.csv.gz", gzip.compress(SERIES, mtime=0), lambda path: read_series(str(path))),
    "series of dates apart": (
        "a.csv",
        b"year,month,load\n" + b"".join(b"2020,%d,%d\n" % (k, k) for k in range(1, 9)),
        lambda path: read_series(str(path), date=["year", "month"]),
    ),
    "part of a series": ("a.csv", SERIES, lambda path: read_series(f"{path}[2020-01-05:2020-01-09]")),
    "series, interpolated": ("a.csv", SERIES, lambda path: read_series(str(path), missing="interpolate")),
    "npz": ("a.npz", npz(), lambda path: read_series(str(path))),
    "npz, packed": ("a.npz", npz_packed(), lambda path: read_series(str(path))),
    "pitches": (
        "a.json",
        b'{"train": [[[60, 64], [62], []], [[21, 108]]]}',
        lambda path: read_pitches(f"{path}[train]"),
    ),
    "list of pitches": ("a.json", b"[[[60, 64], [62], []], [[21, 108]]]", lambda path: read_pitches(str(path))),
    "vectors": ("a.vec", "3 2\nthe 1 0.5\nfög -1 2e-3\nNew York 0 1\n".encode(), read_vectors),
    "vectors.gz": ("a.vec.gz", gzip.compress(b"the 1 0.5\nfog -1 2\n", mtime=0), read_vectors),
    "examples": ("train.examples", examples(), Examples.open),
    "names": ("a.csv", CSV, first_names),
}


def whole(value: Any) -> None:
    """Fails where what a reader gave isn't consistent."""
    if isinstance(value, Table):
        assert len(value) > 0
        assert {len(column) for column in value.columns.values()} == {len(value)}
        for row in range(len(value)):
            assert value.where(row)
        for column in value.columns.values():
            for cell in column:
                plain(cell)
    elif isinstance(value, Vectors):
        assert value.values.ndim == 2
        assert len(value.words) == len(value.values)
        assert np.isfinite(value.values).all()
    elif isinstance(value, Examples):
        assert all(len(column) == len(value) for column in value.columns.values())
    else:
        assert isinstance(value, list)


def plain(cell: Any) -> None:
    """Fails where a cell can't be written or isn't finite."""
    if isinstance(cell, str):
        cell.encode()
    elif isinstance(cell, list):
        assert all(
            not isinstance(part, str) or part.encode() for part in cast("list[Any]", cell)
        )  # no word and no tag is empty
    elif isinstance(cell, float | np.ndarray):
        values: NDArray[Any] = np.asarray(cell)
        assert values.dtype.kind != "f" or np.isfinite(values).all()


def holds(folder: Path, name: str, content: bytes) -> bool:
    """Read a file of this content; whether it was accepted. Any error that isn't one of ours, or is vague, fails."""
    file, _, read = READERS[name]
    path = folder / file
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(left out what holds no numbers|they are interpolated)")
        try:
            value = read(path)
        except IfogError as error:
            message = str(error)
            assert str(folder) in message, message
            assert len(message) < 1000, message[:1200]
            assert "\n" not in message, message
            return False
    whole(value)
    return True


HUGE = (b"9" * 400, b"1e309", b"-1e39", b"9" * 5000, b"NaN", b"inf", b"-inf", b"1_0", b"0x10", b"1" + b"0" * 25)


def damages(content: bytes, seed: int) -> list[bytes]:
    """What may have happened to a file on its way."""
    chance = random.Random(seed)
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    made = [
        b"",
        b"\n" * 9,
        b"\r",
        b"\0" * 50,
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf" + content,
        content * 2,
        content.replace(b"\n", b"\r\n"),
        content.replace(b"\n", b"\r"),
        content.replace(b"\n", b"\n\n"),
        content.replace(b" ", b"\t"),
        content.replace(b"\t", b" "),
        content.rstrip(b"\n"),
        content + b"\0",
        content + b"\xff\xfe",
        content + b'"' + content,
        b'"' + content,
        b"\n".join([*lines[:place], lines[place], *lines[place:]]),
        b"\n".join([*lines[:place], *lines[place + 1 :]]),
        b"\n".join([*lines[:place], lines[place] * 5000, *lines[place:]]),
        b"\n".join([*lines[:place], b"x" * 300_000, *lines[place:]]),
        b"\n".join([*lines[:place], b"[" * 100_000, *lines[place:]]),
        b"\n".join([*lines[:place], b'{"a": ' * 100_000, *lines[place:]]),
        content.decode("latin-1").encode("utf-16"),
        gzip.compress(content),
        gzip.compress(content)[:-4],
        content[len(content) // 2 :],
    ]
    digits = [k for k, byte in enumerate(content) if 48 <= byte <= 57] or [0]
    for number in HUGE:
        k = chance.choice(digits)
        made.append(content[:k] + number + content[k + 1 :])
    letters = [k for k, byte in enumerate(content) if 97 <= byte <= 122] or [0]
    for odd in (b"\\ud800", b"\xed\xa0\x80", b"\0", b"\x85", "\u2028".encode(), b"\x1c", b"\\u0000", b'"', b"", b"\\"):
        k = chance.choice(letters)
        made.append(content[:k] + odd + content[k + 1 :])
    for _ in range(25):
        k, bit = chance.randrange(len(content)), chance.randrange(8)
        made.append(content[:k] + bytes([content[k] ^ 1 << bit]) + content[k + 1 :])
    for _ in range(8):
        made.append(content[: chance.randrange(len(content))])
        first, last = sorted(chance.randrange(len(content)) for _ in range(2))
        made.append(content[:first] + content[last:])
        made.append(content[:last] + content[first:])
    return made


@pytest.mark.parametrize("name", READERS)
def test_a_good_file_is_read(tmp_path: Path, name: str) -> None:
    assert holds(tmp_path, name, READERS[name][1])


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path: Path, name: str) -> None:
    refused = 0
    for content in damages(READERS[name][1], seed=len(name)):
        refused += not holds(tmp_path, name, content)
        if name.endswith("gz"):  # damaged before it was packed
            holds(tmp_path, name, gzip.compress(content, 1))
    assert refused or name == "names"


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_read_or_refused_by_name(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    good = READERS[name][1]
    parts = sorted({good[k : k + size] for size in (1, 2, 4, 9) for k in range(0, len(good), size)})
    mixed = st.lists(st.sampled_from(parts) | st.binary(max_size=6), max_size=30).map(b"".join)

    @settings(max_examples=settings().max_examples // 4)
    @given(st.binary(max_size=60) | mixed | mixed.map(lambda tail: good + tail))
    def check(content: bytes) -> None:
        holds(folder, name, content)

    check()


class Dangerous:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["npz", "examples", "csv", "pitches", "images", "vectors"])
def test_a_pickle_is_never_run(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "trap"
    array = np.empty(1, object)
    array[0] = Dangerous(trap)
    packed = io.BytesIO()
    np.savez(packed, load=array)
    for content in (pickle.dumps(Dangerous(trap)), packed.getvalue()):
        with pytest.raises(IfogError, match=str(tmp_path)):
            READERS[name][2](written(tmp_path, READERS[name][0], content))
    assert not trap.exists()
    pickle.loads(pickle.dumps(Dangerous(trap)))  # it would have worked
    assert trap.exists()


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def archive(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return file.getvalue()


def saved(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def one_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(3))
    return file.getvalue()


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "a column of a table twice": ("csv", b"text,text\na,b\n", r"a\.csv:1: two columns are called 'text'"),
    "quotes never closed": ("csv", b'text,label\na,b\nc,"d\ne,f\n', r"a\.csv:3: quotes .* never closed"),
    "a cell too long": ("csv", b"text,label\na,b\n" + b"x" * 140_000 + b",b\n", r"a\.csv:3: field larger"),
    "a name of an object twice": ("jsonl", b'{"text": "a", "text": "b"}', r"a\.jsonl:1: .*'text' occurs twice"),
    "half a character": ("pairs jsonl", b'{"source": "\\ud83d", "target": "b"}', r"a\.jsonl:1: .*half of a character"),
    "a column of pairs twice": ("pairs tsv", b"source\ttarget\tsource\na\tb\tc\n", "two columns are called 'source'"),
    "a word without a tag": ("columns", b"The\tDET\nfog\t\n", r"a\.conll:2: the word 'fog' has an empty tag"),
    "no word": ("columns", b"The\tDET\n\tNOUN\n", r"a\.conll:2: a word is empty"),
    "an empty tag": ("tagged jsonl", b'{"words": ["a"], "tags": [""]}', r"a\.jsonl:1: the word 'a' has an empty tag"),
    "deep JSON": ("tagged jsonl", b"[" * 100_000, r"a\.jsonl:1: .*too deep"),
    "no lists of pitches": ("pitches", b"{}", r"a\.json: it holds "),
    "no rows": ("csv", b"text,label\n", r"a\.csv:1: .* no row follows"),
    "one bare array": ("npz", one_array(), "NPZ"),
    "no array in the archive": ("npz", archive({"read.me": b"hello"}), r"'read.me' has shape \(\)"),
    "names that collide": ("npz", saved(a=np.ones((2, 1)), a_0=np.ones(2)), "two columns are called 'a_0'"),
    "complex numbers": ("npz", saved(load=np.ones(3), x=np.ones(3) * 1j, date=np.ones(3)), "'date'"),
    "no steps": ("npz", saved(load=np.ones(0)), "lengths"),
    "a step of numbers far too large": ("archive", TS.replace(b"4,5", b"1e39,5"), r"a\.ts:4: dimension 2: .*too large"),
    "an image without pixels": ("images", b"\0\0\x08\x03" + struct.pack(">III", 3, 0, 2), r"shape \(3, 0, 2\)"),
    "a picture of a hundred axes": ("images", b"\0\0\x08\x64" + struct.pack(">I", 1) * 100 + b"x", "100 axes"),
    "a sound of no rate": ("recordings", wav().replace(struct.pack("<I", 8000), b"\1\0\0\0", 1), "1 samples a second"),
    "a sound of half a sample": ("recordings", wav()[:45], "give 8, 16 or 32 bits, and some sound"),
    "examples without a column": ("examples", struct.pack("<Q", 2) + b"{}", "don't go together"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_misread_is_refused_with_its_reason(tmp_path: Path, case: str) -> None:
    name, content, words = REFUSED[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(IfogError, match=words):
            READERS[name][2](written(tmp_path, READERS[name][0], content))


def test_a_gap_at_the_end_of_a_cell_is_no_end_of_its_quotes(tmp_path: Path) -> None:
    table = read_labelled([written(tmp_path, "a.csv", b'text,label\na,b\n"the ""end""\n\n",b')])
    assert table.columns["text"] == ["a", 'the "end"\n\n']
    table = read_labelled([written(tmp_path, "a.csv", b'text,label\n"odd" one,b\n5" disk,c\n')])
    assert table.columns["text"] == ["odd one", '5" disk']
