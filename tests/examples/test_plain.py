"""Files as text, lines and JSON: what is unpacked, what is dropped, and what is refused with its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ifog.errors import ConfigError, DataError
from ifog.examples.plain import bytes_of, excerpt, json_of, lines_of, text_of


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix.lower() == ".gz" else content)
    return path


def all_lines(path: Path) -> list[str]:
    return list(lines_of(path))


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.TXT.GZ"])
def test_a_file_is_the_same_packed_and_plain_and_its_first_mark_is_dropped(tmp_path: Path, name: str) -> None:
    content = "\ufeffone\r\n\ufefftwo\x85\u2028three\rfour\n\nend".encode()
    path = written(tmp_path / name, content)
    assert bytes_of(path) == content
    assert text_of(path) == "one\r\n\ufefftwo\x85\u2028three\rfour\n\nend"
    assert list(lines_of(path)) == ["one\r\n", "\ufefftwo\x85\u2028three\rfour\n", "\n", "end"]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    assert text_of(written(tmp_path / "a", b"")) == ""
    assert list(lines_of(tmp_path / "a")) == []


def test_what_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt.gz", b"one\ntwo\ncaf\xe9\n")
    for read in (text_of, all_lines):
        with pytest.raises(DataError, match=r"a\.txt\.gz:3: this is not UTF-8 .*--charset"):
            read(path)
    assert text_of(path, "latin-1").endswith("café\n")
    assert list(lines_of(path, errors="replace"))[-1] == "caf\ufffd\n"


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "undefined", "idna", "punycode", "ascii"])
def test_no_charset_leads_past_the_error(tmp_path: Path, charset: str) -> None:
    path = written(tmp_path / "a.txt", b"a\n+2AA-\xff.")
    with pytest.raises(DataError, match=r"a\.txt:\d: this is not " + charset):
        text_of(path, charset)


@pytest.mark.parametrize("charset", ["klingon", "hex", ""])
def test_a_charset_that_is_none_is_a_mistake_of_the_options(tmp_path: Path, charset: str) -> None:
    with pytest.raises(ConfigError, match=r"a\.txt: there is no charset"):
        text_of(written(tmp_path / "a.txt", b"a"), charset)


def test_what_cannot_be_opened_or_unpacked_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(b"text " * 50)
    flipped = packed[:15] + bytes([packed[15] ^ 255]) + packed[16:]
    for content in (b"plain", packed[:-3], flipped, packed[:5], packed + b"more"):
        (tmp_path / "a.gz").write_bytes(content)
        for read in (bytes_of, text_of, all_lines):
            with pytest.raises(DataError, match=r"a\.gz can't be read: it is no whole gzip file"):
                read(tmp_path / "a.gz")
    for path in (tmp_path, tmp_path / "none", tmp_path / ("x" * 300), tmp_path / "\ud800"):
        with pytest.raises(DataError, match="can't be read"):
            bytes_of(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "at character 2"),
        ("[" * 100_000, "too deep"),
        ('{"a": NaN}', "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ('{"b": {"a": 1, "a": 2}}', "'a' occurs twice"),
        ('"\\ud800"', "half of a character"),
        ('{"\\uDFFF": 1}', "half of a character"),
        ("1" * 5000, "digits"),
        ("", "character 1"),
    ],
)
def test_what_is_no_json_is_named_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"a\.json:7: this is no JSON \(.*{reason}"):
        json_of("a.json:7", text)


def test_json_is_read_as_it_was_written() -> None:
    value = {"a": [1, 2.5, None, True, "\N{GRINNING FACE} \\u \u00e9"], "b": {"a": 1}}
    assert json_of("a", json.dumps(value)) == value


def test_a_citation_is_never_longer_than_a_line() -> None:
    assert excerpt("short") == "'short'"
    assert excerpt("x" * 1000) == "'" + "x" * 39 + "..."
    assert excerpt(list(range(1000)), 10) == "[0, 1, 2, ..."
