"""Text to tensors: reading, tokenizing, memory-mapped ids, streams and sentence batches. Imports no model."""

from ifog.data.corpus import Corpus
from ifog.data.files import TextData, encode_corpus, open_text, prepare_text
from ifog.data.sentences import SentenceBatch, SentenceBatches
from ifog.data.streams import IGNORED, StreamBatch, Streams, one_pass
from ifog.data.tokenizers import ByteTokenizer, CharTokenizer, Decoder, Ids, Tokenizer, id_dtype, load_tokenizer

__all__ = [
    "IGNORED",
    "ByteTokenizer",
    "CharTokenizer",
    "Corpus",
    "Decoder",
    "Ids",
    "SentenceBatch",
    "SentenceBatches",
    "StreamBatch",
    "Streams",
    "TextData",
    "Tokenizer",
    "encode_corpus",
    "id_dtype",
    "load_tokenizer",
    "one_pass",
    "open_text",
    "prepare_text",
]
