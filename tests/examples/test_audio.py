"""Recordings become series that show what sounds when."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from ifog.errors import DataError
from ifog.examples.audio import log_mel, read_recordings, read_wav


def recorded(path: Path, samples: np.ndarray, rate: int = 8000, width: int = 2, channels: int = 1) -> Path:
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        if width == 1:
            file.writeframes(((samples + 1) * 127.5).astype(np.uint8).tobytes())
        else:
            file.writeframes((samples * (2 ** (8 * width - 1) - 1)).astype(f"<i{width}").tobytes())
    return path


def tone(frequency: float, seconds: float = 0.5, rate: int = 8000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_samples_come_back_at_any_width(tmp_path: Path, width: int) -> None:
    samples, rate = read_wav(recorded(tmp_path / "a.wav", tone(440), width=width))
    assert rate == 8000
    np.testing.assert_allclose(samples, tone(440), atol=2.1 / 2**7 if width == 1 else 1e-4)


def test_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(440), np.zeros(4000)], 1).ravel()
    samples, _ = read_wav(recorded(tmp_path / "a.wav", both, channels=2))
    np.testing.assert_allclose(samples, tone(440) / 2, atol=0.001)


def test_a_higher_tone_lies_in_a_higher_band_and_silence_is_the_floor() -> None:
    bands = [int(log_mel(tone(f).astype(np.float32), 8000).mean(0).argmax()) for f in (200, 800, 3000)]
    assert bands == sorted(set(bands))
    silent = log_mel(np.zeros(100, np.float32), 8000)
    assert silent.shape == (1, 40)
    np.testing.assert_allclose(silent, np.log(1e-6), rtol=1e-6)


def test_an_energy_ten_times_as_high_adds_its_logarithm() -> None:
    quiet, loud = (log_mel((scale * tone(700)).astype(np.float32), 8000) for scale in (1, 10**0.5))
    top = quiet.mean(0).argmax()
    np.testing.assert_allclose((loud - quiet)[:, top], np.log(10), atol=1e-3)


def test_recordings_take_their_label_from_name_or_folder(tmp_path: Path) -> None:
    recorded(tmp_path / "one" / "3_anna_0.wav", tone(300))
    recorded(tmp_path / "one" / "7_anna_0.wav", tone(600))
    assert read_recordings(tmp_path / "one").columns["label"] == ["3", "7"]
    (tmp_path / "two").mkdir()
    recorded(tmp_path / "two" / "yes" / "a.wav", tone(300))
    recorded(tmp_path / "two" / "no" / "a.wav", tone(300, 0.2))
    table = read_recordings(tmp_path / "two")
    assert table.columns["label"] == ["no", "yes"]
    assert [len(x) for x in table.columns["series"]] == [18, 48]


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF no")
    with pytest.raises(DataError, match=r"a\.wav is no readable WAV"):
        read_recordings(tmp_path)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(DataError, match=r"no \.wav file"):
        read_recordings(tmp_path)
    recorded(tmp_path / "0_a.wav", tone(300))
    recorded(tmp_path / "0_b.wav", tone(300), rate=16000)
    with pytest.raises(DataError, match="16000 samples a second"):
        read_recordings(tmp_path)
