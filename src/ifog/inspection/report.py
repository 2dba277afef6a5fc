"""One file that shows what every unit of a model does on a text, for a browser without a network.

Owns what the page holds, how large it may be, and what it says was left out. Takes a model and a text, gives HTML.
The page itself, its looks and its keys, is in the folder `page`.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from torch import nn

from ifog.errors import ConfigError
from ifog.inspection.activations import Trace, inspect
from ifog.inspection.tracks import Track, choose, fitting, packed, planar, ranked, track_of
from ifog.inspection.watching import Value, find, values_of

__all__ = ["render_report"]

_SAMPLE = 1 << 14  # tokens from which the units are chosen
_STRETCHES = 8
_SAMPLE_BYTES = 1 << 28
_SCRIPTS = ("palette", "data", "text", "units", "main")
_LEAST, _EACH, _MOST = 5e6, 50.0, 24e6  # bytes of a page: at least, for each token, at most
_SLACK = 1.05  # units are tried a little beyond what the estimate allows; what doesn't fit is dropped
_PAGE = 60_000  # bytes of the page without what it shows


def render_report(
    model: nn.Module | str | os.PathLike[str],
    text: str,
    *,
    title: str = "What the units do",
    units: Sequence[str] = (),
    candidates: int = 5,
    megabytes: float | None = None,
    exact: bool = False,
    unknown: str | None = None,
) -> str:
    """A page that shows a text coloured by any unit of a model, with what the model expects after each token.

    The page needs no network and stays below 5 MB for 100 KB of text. Where not all units fit, their values are rounded
    to 21 levels and the units that vary most are kept; the page says what was left out.

    Args:
        model: A model with a `.tokenizer`, as `ifog.load` gives, or a run directory.
        text: What it reads.
        title: Of the page.
        units: Units that must be there, such as `layer0.h:37`.
        candidates: How many next tokens to show after each.
        megabytes: The largest size; None: 5, and for a long text 50 bytes a token up to 24.
        exact: As in `inspect`.
        unknown: As in `inspect`.

    Returns:
        HTML.

    Raises:
        ConfigError: As `inspect`, no such unit, or a size in which not even the text fits.
        DataError: As `inspect`.
        RunError: As `inspect`.
    """
    if isinstance(model, str | os.PathLike):
        from ifog.tasks.language import load

        model = load(os.fspath(model))
    values = values_of(model)
    for name in units:
        if find(values, name)[1] is None:
            raise ConfigError(f"units holds {name!r}, which is no single unit; write it as in {name}:0.")
    limit = megabytes * 1e6 if megabytes is not None else min(max(_LEAST, _EACH * len(text)), _MOST)
    shown = _sample(text, values)
    sample = inspect(model, shown, candidates=candidates, unknown=unknown)
    tokens = max(1, round(len(sample) / len(shown) * len(text))) if shown else 0
    others = sum(map(len, _text_blocks(sample, model)[0].values())) / len(sample) * tokens
    if others > limit - _PAGE:
        raise ConfigError(
            f"a page of {limit / 1e6:.1f} MB has no room for {tokens:,} tokens and their candidates, which take about "
            f"{others / 1e6:.0f} MB, nor for a unit; give more megabytes, fewer candidates, or a part of the text: "
            f"{_fitting(text, others, limit):,} characters leave room for units."
        )
    levels, chosen = choose(sample, ranked(sample, units), tokens, limit * _SLACK - _PAGE - others)
    del sample  # its arrays are large
    trace = inspect(model, text, values=chosen, candidates=candidates, exact=exact, unknown=unknown)
    blocks, told = _text_blocks(trace, model)
    room = limit - _PAGE - sum(map(len, blocks.values()))
    tracks: list[Track] = []
    made = (track_of(name, trace[name], name.partition(":")[0] in trace.gates, levels) for name in chosen)
    for track, content in fitting(made, room):
        blocks[f"track-{len(tracks)}"] = content
        tracks.append(track)
    if not tracks:
        raise ConfigError(
            f"a page of {limit / 1e6:.1f} MB has no room for a unit: {len(trace):,} tokens and their candidates take "
            f"{(limit - room) / 1e6:.1f} MB; give more megabytes, fewer candidates, or a shorter text."
        )
    meta = {**told, **_track_meta(tracks, list(values), levels), "notes": _notes(trace, tracks, values, levels)}
    return _page(title, meta, blocks)


def _fitting(text: str, others: float, limit: float) -> int:
    """About how many characters of a text would take half of a page, one digit of it."""
    fitting = max(1, int(len(text) * 0.5 * max(limit - _PAGE, 0.0) / others))
    digit = 10 ** (len(str(fitting)) - 1)
    return fitting // digit * digit


def _sample(text: str, values: Mapping[str, Value]) -> str:
    """Stretches from all over a long text, as long in all as the memory allows."""
    size = min(_SAMPLE, _SAMPLE_BYTES // (4 * sum(v.size for v in values.values())))
    if len(text) <= size:
        return text
    each = max(1, size // _STRETCHES)
    starts = np.linspace(0, len(text) - each, _STRETCHES).astype(int)
    return "".join(text[start : start + each] for start in starts)


def _text_blocks(trace: Trace, model: nn.Module) -> tuple[dict[str, str], dict[str, Any]]:
    """The text, the candidates and the surprise."""
    lengths = np.array([len(token) for token in trace.tokens], np.uint16)
    known, places = np.unique(trace.candidates.ids, return_inverse=True)
    places = places.reshape(trace.candidates.ids.shape)
    size = 1 if len(known) <= 1 << 8 else 2 if len(known) <= 1 << 16 else 4
    tokenizer: Any = model.tokenizer
    bits = np.nan_to_num(-trace.log_prob / np.log(2))
    blocks = {
        "text": packed("".join(trace.tokens).encode("utf-8", "replace")),
        "best": packed(planar(places, f"<u{size}")),
        "chances": packed(planar(np.rint(trace.candidates.probabilities * 255), np.uint8)),
        "surprise": packed(np.clip(np.rint(bits * 16), 0, 255).astype(np.uint8).tobytes()),
    }
    uniform = bool((lengths == 1).all())
    if not uniform:
        blocks["lengths"] = packed(lengths.astype("<u2").tobytes())
    mean = float(np.nanmean(trace.log_prob)) if len(trace) > 1 else float("nan")
    said = "" if np.isnan(mean) else f" · {-mean / np.log(2):.3f} bits per token on this text"
    parameters = sum(p.numel() for p in model.parameters())
    told = {
        "tokens": len(trace),
        "lengths": not uniform,
        "candidates": int(trace.candidates.ids.shape[1]),
        "vocabulary": [tokenizer.decode([i]) for i in known.tolist()],
        "idBytes": size,
        "description": f"{type(model).__name__}, {parameters:,} parameters · {len(trace):,} tokens{said}",
    }
    return blocks, told


def _track_meta(tracks: Sequence[Track], order: Sequence[str], levels: int) -> dict[str, Any]:
    values = sorted({track.value for track in tracks}, key=order.index)
    rows = [
        [values.index(t.value), t.unit, *(float(f"{x:.5g}") for x in (t.low, t.high, t.mean, t.deviation))]
        for t in tracks
    ]
    return {"values": values, "tracks": rows, "levels": levels}


def _notes(trace: Trace, tracks: Sequence[Track], values: Mapping[str, Value], levels: int) -> list[str]:
    """What is here, what isn't, and how exact it is, in sentences."""
    total = sum(v.size for v in values.values())
    notes: list[str] = []
    if len(tracks) == total:
        notes.append(f"All {total:,} units of {len(values)} states and gates are here.")
    else:
        kept = {name: sum(t.value == name for t in tracks) for name in values}
        parts = ", ".join(f"{name} {n} of {values[name].size}" for name, n in kept.items())
        notes.append(
            f"{len(tracks):,} of {total:,} units are here, those whose means over eight tokens vary most, so that the "
            f"page stays small: {parts}. To have another one, name it: ifog inspect --unit layer0.h:37."
        )
    notes.append(
        f"Values are rounded to {levels} levels between the numbers under the colours. Gates reach from 0 (shut) to 1 "
        "(open); all else is symmetrical around 0, and the most extreme 0.5 % are drawn as the end of the scale."
    )
    if trace.pieces > 1:
        worst = max(trace.discrepancy.items(), key=lambda item: item[1])
        notes.append(
            f"The text was read in {trace.pieces} pieces side by side, each warmed up on the {trace.warm_up:,} tokens "
            f"before it. Where two pieces meet, both have read the same token, and their units differ by "
            f"{worst[1]:.2%} on average in the value that remembers longest, {worst[0]}; --exact reads the text in one "
            "piece."
        )
    else:
        notes.append("The text was read in one piece: each value depends on everything before it.")
    notes.append("Surprise is the number of bits that a token cost, given all before it.")
    return notes


def _page(title: str, meta: Mapping[str, Any], blocks: Mapping[str, str]) -> str:
    folder = files("ifog.inspection") / "page"
    # a script element ends at the first "</", wherever that stands
    content = json.dumps(meta, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    content = content.encode("utf-8", "replace").decode("utf-8")
    parts = {
        "title": html.escape(title),
        "style": (folder / "style.css").read_text("utf-8"),
        "script": "\n".join((folder / f"{name}.js").read_text("utf-8") for name in _SCRIPTS),
        "blocks": "\n".join(f'<script type="text/plain" id="block-{k}">{b}</script>' for k, b in blocks.items()),
        "meta": content,
    }
    pieces = (folder / "index.html").read_text("utf-8").split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:]))
