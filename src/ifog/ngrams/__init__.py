"""n-gram language models with Kneser-Ney smoothing: counted, estimated, asked, and exchanged as ARPA files."""

from __future__ import annotations

from ifog.ngrams.arpa import read_arpa, write_arpa
from ifog.ngrams.counting import NgramCounts, count_ngrams
from ifog.ngrams.disk import DiskCounts, count_on_disk
from ifog.ngrams.fitting import Fit, fit_ids, fit_text
from ifog.ngrams.mapped import estimate_on_disk, open_mapped
from ifog.ngrams.model import NgramModel
from ifog.ngrams.smoothing import Discounts, discounts, estimate
from ifog.ngrams.trie import Sentences, Trie
from ifog.ngrams.vocabulary import Vocabulary

__all__ = [
    "Discounts",
    "DiskCounts",
    "Fit",
    "NgramCounts",
    "NgramModel",
    "Sentences",
    "Trie",
    "Vocabulary",
    "count_ngrams",
    "count_on_disk",
    "discounts",
    "estimate",
    "estimate_on_disk",
    "fit_ids",
    "fit_text",
    "open_mapped",
    "read_arpa",
    "write_arpa",
]
