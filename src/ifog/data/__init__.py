"""Text to tensors: reading, tokenizing, memory-mapped ids, streams and sentence batches. Imports no model."""

from ifog.data.bpe import BPETokenizer
from ifog.data.corpus import Corpus
from ifog.data.files import TextData, encode_corpus, open_text, prepare_text
from ifog.data.sentences import SentenceBatch, SentenceBatches
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
    "SentenceBatch",
    "SentenceBatches",
    "StreamBatch",
    "Streams",
    "TextData",
    "Tokenizer",
    "WordCounts",
    "WordTokenizer",
    "encode_corpus",
    "id_dtype",
    "load_tokenizer",
    "one_pass",
    "open_text",
    "prepare_text",
]
