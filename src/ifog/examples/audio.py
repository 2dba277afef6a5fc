"""Recordings to series: what the ear hears in each hundredth of a second.

Owns the reading of WAV files and the log-mel spectrum. Takes paths, gives arrays (T, mels) and tables. Never resamples.
"""

from __future__ import annotations

import math
import wave
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError
from ifog.examples.tables import Table

__all__ = ["log_mel", "read_recordings", "read_wav"]

WINDOW, HOP = 0.025, 0.010  # seconds: long enough for a pitch, short enough for a consonant
MELS = 40
SLOWEST, FASTEST = 1000, 768_000  # samples a second that a window makes sense for
FLOOR = 1e-6  # of the energy: silence has no logarithm


def read_wav(path: str | Path) -> tuple[NDArray[np.float32], int]:
    """A recording of 8, 16 or 32 bits (N,) from -1 to 1, channels averaged, and its rate in samples a second.

    Raises:
        DataError: no WAV file, a compressed one, or an empty one.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            frames = min(file.getnframes(), Path(path).stat().st_size)  # what the header says may be no truth
            content = file.readframes(frames)
    except (wave.Error, EOFError, OSError, RuntimeError) as error:  # the last: a part longer than the file
        reason = getattr(error, "strerror", None) or str(error) or "it is cut off"
        raise DataError(f"{path} is no readable WAV file ({reason}); convert it to uncompressed WAV.") from error
    if not SLOWEST <= rate <= FASTEST:
        raise DataError(f"{path}: {rate} samples a second; give {SLOWEST} to {FASTEST}.")
    if width not in (1, 2, 4) or len(content) < width * channels:
        raise DataError(f"{path}: {8 * width} bits and {len(content)} bytes; give 8, 16 or 32 bits, and some sound.")
    if width == 1:  # alone without a sign
        samples = np.frombuffer(content, np.uint8).astype(np.float32) / 128 - 1
    else:
        whole = np.frombuffer(content[: len(content) // width * width], f"<i{width}")
        samples = whole.astype(np.float32) / np.float32(2 ** (8 * width - 1))
    return samples[: len(samples) // channels * channels].reshape(-1, channels).mean(1), rate


def log_mel(samples: NDArray[np.float32], rate: int, mels: int = MELS) -> NDArray[np.float32]:
    """The logarithm of the energy in bands that are as wide as the ear tells apart (T, mels), 100 steps a second.

    Args:
        samples: (N,); shorter than a window of 25 ms, it is filled with silence.
        rate: samples a second.
        mels: bands.

    Source:
        Davis and Mermelstein (1980), Comparison of parametric representations for monosyllabic word recognition.

    Examples:
        >>> log_mel(np.zeros(8000, np.float32), 8000).shape
        (98, 40)
    """
    size, hop = round(WINDOW * rate), round(HOP * rate)
    samples = np.pad(samples, (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * np.hanning(size).astype(np.float32)
    points = 1 << (size - 1).bit_length()
    energy = np.square(np.abs(np.fft.rfft(frames, points)))
    return np.log(energy @ _bands(rate, points, mels) + FLOOR).astype(np.float32)


def read_recordings(folder: str | Path) -> Table:
    """Every WAV file of a folder as a series with a label.

    Args:
        folder: with a folder per class; or with files called LABEL_anything.wav.

    Returns:
        Columns "series" (T, 40), "label" and "file", in the order of the names.

    Raises:
        DataError: no WAV file, one that can't be read, or recordings of different rates.
    """
    root = Path(folder)
    paths = sorted(root.rglob("*.wav"))
    if not paths:
        raise DataError(f"{root} holds no .wav file; give a folder of recordings.")
    series: list[NDArray[np.float32]] = []
    first = 0
    for path in paths:
        samples, rate = read_wav(path)
        first = first or rate
        if rate != first:
            raise DataError(f"{path} has {rate} samples a second, {paths[0]} {first}; bring all to one rate.")
        series.append(log_mel(samples, rate))
    labels = [p.stem.partition("_")[0] if p.parent == root else p.relative_to(root).parts[0] for p in paths]
    columns = {"series": series, "label": labels, "file": [str(p.relative_to(root)) for p in paths]}
    return Table(columns, [(str(path), 1) for path in paths])


@lru_cache(maxsize=8)
def _bands(rate: int, points: int, mels: int) -> NDArray[np.float64]:
    """Triangles over the spectrum (points / 2 + 1, mels), evenly spread on the mel scale."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners: NDArray[np.float64] = 700 * (np.power(10.0, np.linspace(0, top, mels + 2) / 2595) - 1)
    frequencies = np.arange(points // 2 + 1)[:, None] * (rate / points)
    rising = (frequencies - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequencies) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rising, falling))
