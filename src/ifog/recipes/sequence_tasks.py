"""Published results on sequences to labels, tags, numbers and other sequences.

Owns `SEQUENCE_TASKS`; a new one is one entry. Takes nothing, gives descriptions. Never trains.
"""

from __future__ import annotations

from typing import Any

from ifog.recipes.learning import learned
from ifog.recipes.recipe import Corpora, Recipe
from ifog.recipes.splits import added, labelled, names, pixels, spoken_digits

__all__ = ["SEQUENCE_TASKS"]

TREC = Corpora("trec/TREC.train.all.txt", test="trec/TREC.test.all.txt")
SST2 = Corpora("sst/sst_binary.train.txt", "sst/sst_binary.dev.txt", "sst/sst_binary.test.txt")
NAMES = Corpora("names")
DIGITS = Corpora("fsdd/recordings")
MNIST = Corpora("mnist/train-images-idx3-ubyte.gz", test="mnist/t10k-images-idx3-ubyte.gz")
MADE = Corpora()

# One state for the whole sequence, read forwards: what the papers on long memories use.
READING: dict[str, Any] = {"bidirectional": False, "pooling": "last", "dropout": 0.0}

SEQUENCE_TASKS = (
    Recipe(
        "trec-6", "classes of questions, bidirectional LSTM", "Zhou et al. (2015), C-LSTM: LSTM, pretrained vectors",
        0.932, "accuracy", (0.90, 0.94), 6, TREC,
        learned("classify", labelled("latin-1"), "accuracy", epochs=20, learning_rate=2e-3, dropout=0.5,
                hidden_size=128, embedding_size=128, word_dropout=0.1, average=0.995),
    ),
    Recipe(
        "sst-2", "sentiment of sentences, bidirectional LSTM, no phrases", "Tai et al. (2015): LSTM, with phrases",
        0.849, "accuracy", (0.81, 0.85), 10, SST2,
        learned("classify", labelled(), "accuracy", epochs=12, learning_rate=1e-3, dropout=0.5, hidden_size=128,
                embedding_size=128, word_dropout=0.2, average=0.995),
    ),
    Recipe(
        "names", "the language of a surname, letter by letter", "Robertson, PyTorch tutorial: about 0.6",
        None, "accuracy", (0.78, 0.86), 8, NAMES,
        learned("classify", names, "accuracy", epochs=25, learning_rate=2e-3, dropout=0.3, hidden_size=128,
                embedding_size=48, tokenizer="char", lower=False, average=0.995),
    ),
    Recipe(
        "spoken-digits", "spoken digits from 420 recordings", "Jakobovski et al., Free Spoken Digit Dataset",
        None, "accuracy", (0.95, 1.0), 4, DIGITS,
        learned("classify", spoken_digits, "accuracy", epochs=60, learning_rate=3e-3, dropout=0.4, hidden_size=96,
                average=0.99),
    ),
    Recipe(
        "mnist-irnn", "digits pixel by pixel, IRNN of 100", "Le, Jaitly and Hinton (2015)",
        0.97, "accuracy", (0.97, 0.985), 120, MNIST,
        learned("classify", pixels(), "accuracy", cell="irnn", epochs=20, learning_rate=3e-4, hidden_size=100,
                batch_size=64, clip=1.0, **READING),
    ),
    Recipe(
        "mnist-lstm", "digits pixel by pixel, LSTM of 128", "Arjovsky et al. (2016); Cooijmans et al. (2017): 0.989",
        0.989, "accuracy", (0.985, 0.992), 180, MNIST,
        learned("classify", pixels(), "accuracy", cell="lstm", epochs=20, learning_rate=2e-3, hidden_size=128,
                batch_size=128, **READING),
    ),
    Recipe(
        "mnist-permuted", "digits pixel by pixel in one drawn order, LSTM of 128", "Cooijmans et al. (2017)",
        0.902, "accuracy", (0.90, 0.93), 180, MNIST,
        learned("classify", pixels(permuted=True), "accuracy", cell="lstm", epochs=20, learning_rate=2e-3,
                hidden_size=128, batch_size=128, **READING),
    ),
    Recipe(
        "adding-lstm", "two marked numbers among 600, LSTM of 128", "Hochreiter and Schmidhuber (1997)",
        None, "rmse", (0.0, 0.0316), 30, MADE,
        learned("regress", added(20_000, 600), "rmse", cell="lstm", epochs=12, learning_rate=2e-3, hidden_size=128,
                batch_size=50, **READING),
    ),
    Recipe(
        "adding-gru", "two marked numbers among 600, GRU of 128", "Hochreiter and Schmidhuber (1997)",
        None, "rmse", (0.0, 0.0316), 30, MADE,
        learned("regress", added(20_000, 600), "rmse", cell="gru", epochs=12, learning_rate=2e-3, hidden_size=128,
                batch_size=50, **READING),
    ),
)  # fmt: skip
