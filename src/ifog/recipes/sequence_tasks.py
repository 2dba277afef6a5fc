"""Published results on sequences to labels, tags, numbers and other sequences.

Owns `SEQUENCE_TASKS`; a new one is one entry. Takes nothing, gives descriptions. Never trains.
"""

from __future__ import annotations

from typing import Any

from ifog.recipes.learning import learned
from ifog.recipes.recipe import Corpora, Recipe
from ifog.recipes.splits import added, copied, labelled, music, names, pairs, pixels, series, spoken_digits, tagged

__all__ = ["SEQUENCE_TASKS"]

TREC = Corpora("trec/TREC.train.all.txt", test="trec/TREC.test.all.txt")
SST2 = Corpora("sst/sst_binary.train.txt", "sst/sst_binary.dev.txt", "sst/sst_binary.test.txt")
NAMES = Corpora("names")
DIGITS = Corpora("fsdd/recordings")
MNIST = Corpora("mnist/train-images-idx3-ubyte.gz", test="mnist/t10k-images-idx3-ubyte.gz")
EWT = Corpora("ud_english_ewt/en_ewt-ud-train.conllu.gz", "ud_english_ewt/en_ewt-ud-dev.conllu",
              "ud_english_ewt/en_ewt-ud-test.conllu")  # fmt: skip
CONLL = Corpora("conll2003/eng.train", "conll2003/eng.testa", "conll2003/eng.testb")
FLICKR = Corpora("multi30k/train.en", "multi30k/val.en", "multi30k/test_2016_flickr.en")
ETT = Corpora("ett/ETTh1.csv")
SUNSPOTS = Corpora("classic_series/monthly-sunspots.csv")
TEMPERATURES = Corpora("classic_series/daily-min-temperatures.csv")
CHORALES = Corpora("jsb_chorales/jsb-chorales-quarter.json")
MADE = Corpora()

# One state for the whole sequence, read forwards: what the papers on long memories use.
READING: dict[str, Any] = {"bidirectional": False, "pooling": "last", "dropout": 0.0}

# Gates that keep most of the state over 100 steps and let little in, so that hundreds of steps don't fill it: with
# forget gates that start at 1 and input gates at 0 an LSTM took several times as long to find what matters.
LONG: dict[str, Any] = {"forget_bias": 5.0, "input_bias": -3.0}

# Months 1 to 12, 13 to 16 and 17 to 20, as the papers on it divide it.
HOURLY = series("[:8640]", "[8640:11520]", "[11520:14400]")
ELECTRIC: dict[str, Any] = {
    "cell": "gru", "hidden_size": 64, "dropout": 0.2, "batch_size": 16, "learning_rate": 1e-3, "apart": True,
    "segment": 24, "context": 336, "reference": "last", "linear": True, "stride": 24,
}  # fmt: skip
# Additive attention finds the words much sooner than general attention: see docs/results.md.
TRANSLATOR: dict[str, Any] = {
    "cell": "gru", "attention": "additive", "embedding_size": 192, "vocabulary_size": 4000, "dropout": 0.25,
    "batch_size": 48, "learning_rate": 2e-3, "warmup": 0.05, "epochs": 6, "average": 0.999, "evaluate_every": 1000,
}  # fmt: skip

SEQUENCE_TASKS = (
    Recipe(
        "trec-6", "classes of questions, bidirectional LSTM", "Zhou et al. (2015), C-LSTM: LSTM, pretrained vectors",
        0.932, "accuracy", (0.90, 0.94), 6, TREC,
        learned("classify", labelled("latin-1"), "accuracy", epochs=8, learning_rate=2e-3, dropout=0.5, hidden_size=200,
                embedding_size=300, lower=False, word_dropout=0.1, label_smoothing=0.1, average=0.99),
    ),
    Recipe(
        "sst-2", "sentiment of sentences, bidirectional LSTM, no phrases", "Tai et al. (2015): LSTM, with phrases",
        0.849, "accuracy", (0.81, 0.85), 10, SST2,
        learned("classify", labelled(), "accuracy", epochs=5, learning_rate=1e-3, dropout=0.5, hidden_size=128,
                embedding_size=200, minimum_count=2, word_dropout=0.3, average=0.99),
    ),
    Recipe(
        "names", "the language of a surname, letter by letter", "Robertson, PyTorch tutorial: about 0.6",
        None, "accuracy", (0.78, 0.86), 8, NAMES,
        learned("classify", names, "accuracy", epochs=12, learning_rate=2e-3, dropout=0.3, hidden_size=128,
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
        None, "rmse", (0.0, 0.0316), 18, MADE,
        learned("regress", added(20_000, 600), "rmse", cell="lstm", cell_options=LONG, epochs=4, learning_rate=2e-3,
                hidden_size=128, batch_size=50, **READING),
    ),
    Recipe(
        "adding-gru", "two marked numbers among 600, GRU of 128", "Hochreiter and Schmidhuber (1997)",
        # its gates begin half open, which forgets in a few steps: it takes twice as long to find out as the LSTM
        None, "rmse", (0.0, 0.0316), 24, MADE,
        learned("regress", added(20_000, 600), "rmse", cell="gru", epochs=8, learning_rate=2e-3, hidden_size=128,
                batch_size=50, **READING),
    ),
    Recipe(
        "copying", "ten symbols over 500 steps, expRNN of 190", "Lezcano-Casado and Martínez-Rubio (2019)",
        None, "accuracy", (0.9999, 1.0), 8, MADE,
        learned("tag", copied(10_000, 500), "accuracy", cell="exprnn", epochs=3, learning_rate=1e-3,
                hidden_size=190, batch_size=32, bidirectional=False, dropout=0.0, word_dropout=0.0, output="softmax",
                embedding_size=10, character_hidden_size=0),
    ),
    Recipe(
        "ewt-tags", "universal parts of speech, words with characters", "Zeman et al. (2018), about 0.95",
        0.95, "accuracy", (0.94, 0.96), 18, EWT,
        learned("tag", tagged, "accuracy", epochs=10, learning_rate=3e-3, dropout=0.4, hidden_size=160,
                character_hidden_size=48, average=0.995),
    ),
    Recipe(
        "conll-names", "names in news, characters and CRF, no pretrained vectors", "Lample et al. (2016): 90.94 with",
        0.9094, "f1", (0.835, 0.88), 33, CONLL,
        learned("tag", tagged, "f1", epochs=15, learning_rate=2e-3, dropout=0.5, hidden_size=200,
                character_hidden_size=50, average=0.998),
    ),
    Recipe(
        "multi30k-en-de", "captions from English to German, attention", "Caglayan et al. (2017), about 38",
        38, "bleu", (34, 40), 60, FLICKR, learned("translate", pairs("en", "de"), "bleu", **TRANSLATOR),
    ),
    Recipe(
        "multi30k-de-en", "captions from German to English, attention", "Elliott et al. (2016)",
        None, "bleu", (37, 44), 60, FLICKR, learned("translate", pairs("de", "en"), "bleu", **TRANSLATOR),
    ),
    Recipe(
        "ett-24", "electricity, 24 hours ahead", "Zhou et al. (2021), Informer: LSTMa",
        None, "relative_error", (0.5, 0.99), 3, ETT,
        learned("forecast", HOURLY, "relative_error", **ELECTRIC, horizon=24, steps=800, evaluate_every=100),
    ),
    Recipe(
        "ett-48", "electricity, 48 hours ahead", "Zhou et al. (2021), Informer: LSTMa",
        None, "relative_error", (0.5, 0.99), 3, ETT,
        learned("forecast", HOURLY, "relative_error", **ELECTRIC, horizon=48, steps=800, evaluate_every=100),
    ),
    Recipe(
        "ett-168", "electricity, a week ahead", "Zhou et al. (2021), Informer: LSTMa",
        None, "relative_error", (0.5, 0.99), 4, ETT,
        learned("forecast", HOURLY, "relative_error", **ELECTRIC, horizon=168, steps=800, evaluate_every=100),
    ),
    Recipe(
        "sunspots", "sunspots, two years ahead; the baseline repeats 11 years", "a classic; no figure known",
        None, "relative_error", (0.4, 0.95), 3, SUNSPOTS,
        learned("forecast", series("[:1974]", "[1974:2397]", "[2397:]"), "relative_error", cell="gru", hidden_size=32,
                dropout=0.2, context=264, segment=12, horizon=24, season=132, reference="training", steps=600,
                evaluate_every=50),
    ),
    Recipe(
        "temperatures", "daily minima, four weeks ahead; the baseline repeats a year", "a classic; no figure known",
        None, "relative_error", (0.4, 0.95), 3, TEMPERATURES,
        learned("forecast", series("[:2555]", "[2555:2920]", "[2920:]"), "relative_error", cell="gru", hidden_size=32,
                dropout=0.2, context=56, horizon=28, season=365, reference="training", steps=500, evaluate_every=50),
    ),
    Recipe(
        "chorales", "Bach's chorales note by note, LSTM of 200", "Bai et al. (2018): LSTM",
        8.45, "nll", (8.0, 8.5), 5, CHORALES,
        learned("forecast", music, "nll", cell="lstm", hidden_size=200, dropout=0.4, context=0, horizon=1,
                head="bernoulli", decoding="recursive", reference="training", batch_size=2, learning_rate=5e-3,
                clip=0.5, epochs=26, evaluate_every=345),
    ),
)  # fmt: skip
