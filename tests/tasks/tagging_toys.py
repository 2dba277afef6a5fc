"""Small taggers and tables for tests."""

from __future__ import annotations

from typing import Any

from ifog.examples import Table
from ifog.models.tagger import Tagger
from ifog.tasks.tagging import TAG, TaggingOptions
from ifog.tasks.tagging_encoding import TaggingEncoding

SMALL: dict[str, Any] = {
    "steps": 1,
    "embedding_size": 8,
    "character_embedding_size": 6,
    "character_hidden_size": 5,
    "hidden_size": 7,
    "num_layers": 1,
}


def options_of(**chosen: Any) -> TaggingOptions:
    return TaggingOptions.given(**{**SMALL, **chosen})


def table_of(words: list[list[str]], tags: list[list[str]] | None = None) -> Table:
    columns = {"words": words} | ({} if tags is None else {"tags": tags})
    return Table(columns, [("made", row) for row in range(1, len(words) + 1)])


def encoding_of(table: Table, **chosen: Any) -> TaggingEncoding:
    return TAG.encoding(table, options_of(**chosen))


def model_of(encoding: TaggingEncoding, **chosen: Any) -> Tagger:
    model = TAG.build(encoding, options_of(**chosen), None)
    assert isinstance(model, Tagger)
    return model.eval()
