"""Text files as bytes, text, lines and JSON, gzipped or not.

Owns how a file is opened and decoded, and the errors of doing so, which name the file and the line. Takes paths, gives
bytes and strings. Never knows what the text means.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ifog.errors import ConfigError, DataError

__all__ = ["bytes_of", "excerpt", "json_of", "lines_of", "text_of"]

_MARK = "\ufeff"  # of the byte order, which some editors write before the first character


def bytes_of(path: str | Path) -> bytes:
    """A whole file's content, unpacked if its name ends in .gz.

    Raises:
        DataError: missing, a folder, or no whole gzip file.
    """
    with _readable(path):
        content = Path(path).read_bytes()
        return gzip.decompress(content) if _is_packed(path) else content


def text_of(path: str | Path, charset: str = "utf-8") -> str:
    """A whole file's text, unpacked if its name ends in .gz, without a byte order mark.

    Args:
        path: of the file.
        charset: how its characters are encoded.

    Raises:
        DataError: it can't be read, or isn't in this charset; names the line.
        ConfigError: no charset of that name.
    """
    content = bytes_of(path)
    try:
        text = content.decode(charset)
        if charset != "utf-8":
            text.encode()  # some charsets, such as UTF-7, can write half a character
    except LookupError as error:
        raise ConfigError(
            f"{path}: there is no charset {charset!r}; give utf-8, latin-1, cp1252 or the like."
        ) from error
    except UnicodeDecodeError as error:
        raise _undecodable(path, content.count(b"\n", 0, error.start) + 1, charset, error.reason) from error
    except ValueError as error:  # of charsets that tell no place
        raise _undecodable(path, 1, charset, str(error)) from error
    return text.removeprefix(_MARK)


def lines_of(path: str | Path, *, errors: Literal["strict", "replace"] = "strict") -> Generator[str]:
    r"""A file's lines with their ends, one after the other, so that a file may be larger than what is kept of it.

    Only "\n" ends a line, as in every editor: what else `str.splitlines` cuts at occurs within words.

    Args:
        path: of the file, in UTF-8; if its name ends in .gz, it is unpacked.
        errors: what to do with bytes that aren't UTF-8.

    Raises:
        DataError: it can't be read, or isn't UTF-8; names the line.
    """
    with _readable(path), gzip.open(path) if _is_packed(path) else open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode(errors=errors)
            except UnicodeDecodeError as error:
                raise _undecodable(path, number, "utf-8", error.reason) from error
            yield text.removeprefix(_MARK) if number == 1 else text


def json_of(where: str, text: str) -> Any:
    """The value that a text in JSON has.

    Args:
        where: the file, and perhaps the line, for a message.
        text: in JSON as it is defined: no NaN, no name twice in an object, no half of a character.

    Raises:
        DataError: it isn't.

    Examples:
        >>> json_of("tags.jsonl:3", '{"words": ["Hello"]}')
        {'words': ['Hello']}
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: this is no JSON ({_reason(error)}); mend it there.") from error
    return value


def excerpt(value: Any, length: int = 40) -> str:
    """The beginning of what a message cites, which may be as long as a file."""
    text = repr(value[: length + 1] if isinstance(value, str) else value)
    return text if len(text) <= length + 2 else f"{text[:length]}..."


@contextmanager
def _readable(path: str | Path) -> Generator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} can't be read: it is no whole gzip file ({error}); compress it again.") from error
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} can't be read: {reason}. Mend that, or give another file.") from error


def _is_packed(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".gz"


def _undecodable(path: str | Path, line: int, charset: str, reason: str) -> DataError:
    return DataError(
        f"{path}:{line}: this is not {'UTF-8' if charset == 'utf-8' else charset} ({reason}); convert the file, or "
        "give its charset where there is an option for that, such as --charset latin-1."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    if isinstance(error, RecursionError):
        return "brackets within brackets, too deep to be read"
    if isinstance(error, UnicodeEncodeError):
        return "half of a character: \\ud800 to \\udfff stand in pairs"
    return str(error)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the name {excerpt(twice)} occurs twice in an object")
    return values


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
