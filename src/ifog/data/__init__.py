"""Texts to tensors: reading, tokenizing, memory-mapped ids, shards and streams. Imports no model."""

from ifog.data.bpe import BPETokenizer
from ifog.data.corpus import Corpus, Shard
from ifog.data.files import TextData, encode_corpus, open_text, prepare_text
from ifog.data.shards import ShardedIds, count_words, encode_shards, open_shards
from ifog.data.streams import IGNORED, StreamBatch, Streams, one_pass
from ifog.data.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    Decoder,
    Encoder,
    Ids,
    Tokenizer,
    id_dtype,
    load_tokenizer,
)
from ifog.data.words import WordCounts, WordTokenizer

__all__ = [
    "IGNORED",
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "Corpus",
    "Decoder",
    "Encoder",
    "Ids",
    "Shard",
    "ShardedIds",
    "StreamBatch",
    "Streams",
    "TextData",
    "Tokenizer",
    "WordCounts",
    "WordTokenizer",
    "count_words",
    "encode_corpus",
    "encode_shards",
    "id_dtype",
    "load_tokenizer",
    "one_pass",
    "open_shards",
    "open_text",
    "prepare_text",
]
