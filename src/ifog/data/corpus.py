"""Read text from files, standard input or this machine's Python, piece by piece.

Owns the checks of what a user gives as a corpus: missing, empty, binary, not UTF-8. Gives pieces of text or bytes,
never the whole, so that a corpus may be larger than the memory. Never encodes.
"""

from __future__ import annotations

import codecs
import gzip
import shutil
import sys
import sysconfig
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from ifog.errors import DataError

__all__ = ["Corpus"]

_BLOCK = 1 << 20
_DEFAULT_BYTES = 4_000_000
_SKIPPED = frozenset(
    """__pycache__ ensurepip idlelib idle_test lib-dynload lib2to3
    pydoc_data site-packages test tests turtledemo""".split()  # noqa: SIM905 - names read better than quotes
)


@dataclass(frozen=True)
class _Source:
    name: str
    open: Callable[[], BinaryIO]


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
        return cls([_Source("the text", lambda: BytesIO(content))], f"{len(text)} characters of text")

    @classmethod
    def default(cls, limit: int = _DEFAULT_BYTES) -> Corpus:
        """The source of this machine's Python standard library: sorted, without tests, ASCII files only.

        Args:
            limit: Bytes; files are taken in order while they fit.

        Raises:
            DataError: This Python was installed without the source of its library.
        """
        root = Path(sysconfig.get_path("stdlib"))
        taken: list[_Source] = []
        total = 0
        for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
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

    def blobs(self) -> Iterator[bytes]:
        """The bytes of every source, in pieces of at most 1 MiB."""
        for source in self._sources:
            with source.open() as file:
                while block := _read(source.name, file):
                    yield block

    def texts(self) -> Iterator[str]:
        """The characters of every source, in pieces of at most 1 MiB; line ends are left as they are.

        Raises:
            DataError: A source is binary (holds NUL bytes) or not UTF-8.
        """
        for source in self._sources:
            with source.open() as file:
                yield from _decode(source.name, file)


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
        return _Source(str(path), lambda: cast(BinaryIO, gzip.open(path)))
    return _Source(str(path), lambda: path.open("rb"))


def _standard_input() -> _Source:
    """A copy of standard input that can be read again: the alphabet needs one pass, encoding another."""
    spooled = tempfile.NamedTemporaryFile(prefix="ifog-stdin-")  # noqa: SIM115 - lives as long as the source
    shutil.copyfileobj(sys.stdin.buffer, spooled, _BLOCK)
    spooled.flush()
    if spooled.tell() == 0:
        spooled.close()
        raise DataError("standard input is empty; pipe a text into it, or name a file.")

    def reopen() -> BinaryIO:
        return Path(spooled.name).open("rb")

    return _Source("standard input", reopen)


def _read(name: str, file: BinaryIO) -> bytes:
    try:
        return file.read(_BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{name} is no whole gzip file: {error}. Fetch it again, or unpack what is left of it."
        ) from error


def _decode(name: str, file: BinaryIO) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    while True:
        block = _read(name, file)
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
