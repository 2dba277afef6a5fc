"""Read text from files, standard input or this machine's Python, piece by piece.

Owns the checks of what a user gives as a corpus (missing, empty, binary, not UTF-8), and where a corpus may be cut into
shards. Gives pieces of text or bytes, never the whole, so that a corpus may be larger than the memory. Never encodes.
"""

from __future__ import annotations

import codecs
import gzip
import re
import shutil
import sys
import sysconfig
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from ifog.errors import ConfigError, DataError

__all__ = ["Corpus", "Shard"]

_BLOCK = 1 << 20
_DEFAULT_BYTES = 4_000_000
_SKIPPED = frozenset(
    """__pycache__ ensurepip idlelib idle_test lib-dynload lib2to3
    pydoc_data site-packages test tests turtledemo""".split()  # noqa: SIM905 - names read better than quotes
)


# A space or line end after something else: no tokenizer's ids depend on a cut before it. The bytes that are looked at
# behind it are those of every character that str.split takes for white space.
_CUT = re.compile(
    rb"(?<![\t-\r\x1c-\x1f ])(?<!\xc2[\x85\xa0])(?<!\xe1\x9a\x80)(?<!\xe2\x80[\x80-\x8a\xa8\xa9\xaf])"
    rb"(?<!\xe2\x81\x9f)(?<!\xe3\x80\x80)[ \n]"
)
_BEHIND = 3


@dataclass(frozen=True)
class _Source:
    name: str
    open: Callable[[], BinaryIO]
    size: int | None  # None: known only once it was read, and reading from the middle means reading from the start


@dataclass(frozen=True)
class Shard:
    """A part of one of a corpus's sources.

    Attributes:
        source: Its number, from 0.
        start: Its first byte.
        stop: The byte after its last; None: all that is left of the source.
    """

    source: int
    start: int
    stop: int | None


class Corpus:
    """Text in one or several sources, read in order as often as needed.

    Attributes:
        description: What it is, in words for the user.
    """

    def __init__(self, sources: Sequence[_Source], description: str) -> None:
        self._sources = tuple(sources)
        self.description = description

    @classmethod
    def from_files(cls, paths: Sequence[str | Path]) -> Corpus:
        """The files in the order given; "-" is standard input, kept in a temporary file.

        Raises:
            DataError: A file is missing, empty, a directory, or can't be read.
        """
        if not paths:
            raise DataError("no file was given; name at least one UTF-8 text file, or - for standard input.")
        if [str(p) for p in paths].count("-") > 1:
            raise DataError("standard input (-) was given twice, but it can be read only once; give it once.")
        sources = [_standard_input() if str(path) == "-" else _file(Path(path)) for path in paths]
        return cls(sources, ", ".join(source.name for source in sources))

    @classmethod
    def from_text(cls, text: str) -> Corpus:
        """The text itself.

        Raises:
            DataError: It is empty.
        """
        if not text:
            raise DataError("the text is empty; give at least a few characters.")
        content = text.encode()
        return cls([_Source("the text", lambda: BytesIO(content), len(content))], f"{len(text)} characters of text")

    @classmethod
    def default(cls, limit: int = _DEFAULT_BYTES) -> Corpus:
        """The source of this machine's Python standard library, without tests, ASCII files only.

        Files come in the order of their names' checksums, which is the same everywhere and mixes the packages: the end
        that is held out is like the rest, while in the order of names it was tables of character sets.

        Args:
            limit: Bytes; files are taken in order while they fit.

        Raises:
            DataError: This Python was installed without the source of its library.
        """
        root = Path(sysconfig.get_path("stdlib"))
        taken: list[_Source] = []
        total = 0
        for path in sorted(root.rglob("*.py"), key=lambda p: zlib.crc32(p.relative_to(root).as_posix().encode())):
            if not _SKIPPED.isdisjoint(path.relative_to(root).parts):
                continue
            content = path.read_bytes()
            if not content or not content.isascii() or b"\0" in content:
                continue
            if total + len(content) > limit:
                break
            total += len(content)
            taken.append(_opened(path))
        if not taken:
            raise DataError(f"{root} holds no Python source to train on; name a text file of your own.")
        return cls(taken, f"Python's standard library ({len(taken)} files, {total / 1e6:.1f} MB)")

    def shards(self, size: int) -> list[Shard]:
        """Parts of about `size` bytes that cover the corpus in order, without overlap.

        Each ends at the first end of a word at or after a multiple of `size`, so that the parts encoded one by one give
        the ids of the whole; without any white space a part is longer. A source is never joined with the next one, and
        a gzip file, which can be read from its beginning only, is one part.

        Raises:
            ConfigError: `size` is below 1.
        """
        if size < 1:
            raise ConfigError(f"a shard was asked to have {size} bytes; give 1 or more, usually 64 million.")
        found: list[Shard] = []
        for number, source in enumerate(self._sources):
            start = 0
            for wanted in range(size, source.size or 0, size):
                if wanted <= start:
                    continue
                stop = _cut(source, wanted)
                if stop is None:
                    break
                found.append(Shard(number, start, stop))
                start = stop
            found.append(Shard(number, start, None))
        return found

    def fingerprint(self) -> list[Any]:
        """What tells this corpus from another: every source's size, and a checksum of its first 64 KiB, as JSON."""
        found: list[Any] = []
        for source in self._sources:
            with source.open() as file:
                found.append([source.size, zlib.crc32(_read(source.name, file, _BLOCK >> 4))])
        return found

    def blobs(self, shard: Shard | None = None) -> Iterator[bytes]:
        """The bytes of every source, or of one shard, in pieces of at most 1 MiB."""
        for part in self._parts(shard):
            yield from _blocks(self._sources[part.source], part)

    def texts(self, shard: Shard | None = None, *, lines: bool = False) -> Iterator[str]:
        """The characters of every source, or of one shard, in pieces of at most 1 MiB; line ends are left as they are.

        Args:
            shard: Read this part alone.
            lines: End a source's last line before the next source begins, where it has no line end of its own, so that
                no word is made of the last of one file and the first of the next.

        Raises:
            DataError: A source is binary (holds NUL bytes) or not UTF-8.
        """
        for part in self._parts(shard):
            source = self._sources[part.source]
            last = ""
            for text in _decode(source.name, _blocks(source, part), part.start):
                last = text
                yield text
            ended = part.stop is not None or part.source == len(self._sources) - 1 or last.endswith("\n")
            if lines and not ended:
                yield "\n"

    def _parts(self, shard: Shard | None) -> list[Shard]:
        return [Shard(number, 0, None) for number in range(len(self._sources))] if shard is None else [shard]


def _file(path: Path) -> _Source:
    try:
        if path.is_dir():
            raise DataError(f"{path} is a directory; name the text files in it, for example {path}/*.txt.")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise DataError(f"{path} doesn't exist (looked in {Path.cwd()}); check the name.") from None
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}. Check its permissions.") from error
    if empty:
        raise DataError(f"{path} is empty; give a text of at least a few thousand characters.")
    return _opened(path)


def _opened(path: Path) -> _Source:
    """The file; what a name in .gz holds is text once it is unpacked."""
    if path.suffix == ".gz":
        return _Source(str(path), lambda: cast(BinaryIO, gzip.open(path)), None)
    return _Source(str(path), lambda: path.open("rb"), path.stat().st_size)


def _standard_input() -> _Source:
    """A copy of standard input that can be read again: the alphabet needs one pass, encoding another."""
    spooled = tempfile.NamedTemporaryFile(prefix="ifog-stdin-")  # noqa: SIM115 - lives as long as the source
    shutil.copyfileobj(sys.stdin.buffer, spooled, _BLOCK)
    spooled.flush()
    size = spooled.tell()
    if size == 0:
        spooled.close()
        raise DataError("standard input is empty; pipe a text into it, or name a file.")

    def reopen() -> BinaryIO:
        return Path(spooled.name).open("rb")

    return _Source("standard input", reopen, size)


def _read(name: str, file: BinaryIO, size: int = _BLOCK) -> bytes:
    try:
        return file.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{name} is no whole gzip file: {error}. Fetch it again, or unpack what is left of it."
        ) from error


def _blocks(source: _Source, part: Shard) -> Iterator[bytes]:
    with source.open() as file:
        if part.start:
            file.seek(part.start)
        left = sys.maxsize if part.stop is None else part.stop - part.start
        while block := _read(source.name, file, min(left, _BLOCK)):
            left -= len(block)
            yield block


def _cut(source: _Source, wanted: int) -> int | None:
    """The first place from `wanted` on where no word is cut; None if there is none before the end."""
    at = max(wanted - _BEHIND, 0)
    with source.open() as file:
        file.seek(at)
        window = b""
        while block := file.read(_BLOCK):
            window += block
            if found := _CUT.search(window, max(wanted - at, 0)):
                return at + found.start()
            behind = window[-_BEHIND:]  # what stands before the next block's first byte
            at += len(window) - len(behind)
            wanted, window = at + len(behind), behind
    return None


def _decode(name: str, blocks: Iterator[bytes], start: int) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = start
    while True:
        block = next(blocks, b"")
        if (position := block.find(b"\0")) >= 0:
            raise DataError(
                f"{name} is binary: byte {read + position} is NUL, which no text holds. "
                f"Give a text file, or train on raw bytes with --tokenizer byte."
            )
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset {read - pending + error.start} "
                f"({error.reason}). Convert it, for example `iconv -f latin1 -t utf-8`, "
                f"or train on raw bytes with --tokenizer byte."
            ) from error
        read += len(block)
        if text:
            yield text
        if not block:
            return
