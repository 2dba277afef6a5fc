"""All published results that ifog reproduces, by name.

Owns `RECIPES`; a new one is one entry. Takes nothing, gives descriptions. Never trains.
"""

from __future__ import annotations

import difflib

from ifog.errors import ConfigError
from ifog.recipes.recipe import Corpora, Recipe
from ifog.recipes.sequence_tasks import SEQUENCE_TASKS
from ifog.recipes.working import counted, judged_gpt2, trained

__all__ = ["RECIPES", "find"]

PTB = Corpora("ptb_word/ptb.train.txt", "ptb_word/ptb.valid.txt", "ptb_word/ptb.test.txt")
GPT2 = Corpora("gpt2/model.safetensors", test="ptb_word/ptb.test.txt")  # the weights take the place of a text
PTB_CHAR = Corpora("ptb_char/ptb.char.train.txt.gz", "ptb_char/ptb.char.valid.txt", "ptb_char/ptb.char.test.txt")
WIKITEXT2 = Corpora("wikitext2/wiki.train.tokens", "wikitext2/wiki.valid.tokens", "wikitext2/wiki.test.tokens")
SHAKESPEARE = Corpora("tinyshakespeare/input.txt")

# Plain gradient descent on the mean over a chunk of T steps; the papers sum over them: their rate times T, their
# threshold over T.
PLAIN = {"tokenizer": "word", "optimizer": "sgd", "momentum": 0.0, "schedule": "exponential"}
SMALL = PLAIN | {"model": "regularised", "batch_size": 20, "sequence": 20, "learning_rate": 20.0, "clip": 0.25}
# A word that is absent for hundreds of updates must not be forgotten in them: hence the long memory.
ADAM = {"tokenizer": "word", "model": "regularised", "optimizer": "adamw", "beta2": 0.999}
# In a given time more updates with an adaptive softmax do better than fewer with a full one.
QUICK = SMALL | {"hold": 0.4, "floor": 0.005}
MAXENT = {"order": 3, "table_bits": 21, "cell": "lstm", "hidden_size": 128, "embedding_size": 128, "dropout": 0.1,
          "cutoffs": [1000, 4000], "feature_dropout": 0.5, "feature_rate": 4.0}  # fmt: skip

_ALL = (
    Recipe(
        "ptb-kn5", "interpolated modified Kneser-Ney 5-gram", "Mikolov (2012), thesis; Chen and Goodman (1998)",
        141.2, "perplexity", (140.2, 142.2), 0.1, PTB, counted(5, "modified"),
    ),
    Recipe(
        "ptb-ffnn", "feed-forward model over 4 words", "Bengio et al. (2003); Mikolov (2012)",
        140.2, "perplexity", (125, 140), 5, PTB,
        trained("perplexity", **QUICK | {"model": "window"}, budget="4m30s",
                model_options={"order": 5, "embedding_size": 150, "hidden_size": 300, "softmax": "adaptive",
                               "dropout": 0.1}),
    ),
    Recipe(
        "ptb-rnnme", "LSTM of 128 with maximum-entropy n-gram features", "Mikolov et al. (2011)",
        None, "perplexity", (105, 117), 7, PTB,
        trained("perplexity", **QUICK | {"model": "maxent"}, epochs=4, evaluate_every=929, model_options=MAXENT),
    ),
    Recipe(
        "ptb-rnnme-alone", "the LSTM of ptb-rnnme without the features", "Mikolov et al. (2011)",
        None, "perplexity", (112, 125), 4, PTB,
        trained("perplexity", **QUICK | {"model": "maxent"}, epochs=4, evaluate_every=929,
                model_options=MAXENT | {"order": 1}),
    ),
    Recipe(
        "ptb-zaremba-small", "2-layer LSTM of 200; adaptive softmax and dropout 0.1 for speed", "Zaremba et al. (2014)",
        114.5, "perplexity", (100, 114.5), 10, PTB,
        trained("perplexity", **QUICK, budget="9m20s",
                model_options={"embedding_size": 200, "sizes": [200, 200], "bound": 0.1, "softmax": "adaptive",
                               "input_dropout": 0.1, "layer_dropout": 0.1, "output_dropout": 0.1}),
    ),
    Recipe(
        # ends above its range: see docs/results.md
        "ptb-zaremba-medium", "2-layer LSTM of 650, dropout 0.5; adaptive softmax for speed", "Zaremba et al. (2014)",
        82.7, "perplexity", (76, 82.7), 85, PTB,
        trained("perplexity", **ADAM, epochs=20, batch_size=32, sequence=35, learning_rate=2e-3, clip=0.5,
                model_options={"embedding_size": 650, "sizes": [650, 650], "bound": 0.05, "softmax": "adaptive",
                               "input_dropout": 0.5, "layer_dropout": 0.5, "output_dropout": 0.5}),
    ),
    Recipe(
        "ptb-awd", "AWD-LSTM made for two cores: 2 layers of 700 and 400, AdamW", "Merity et al. (2018)",
        57.3, "perplexity", (60, 70), 150, PTB,
        trained("perplexity", **ADAM, epochs=36, batch_size=40, sequence=50, learning_rate=3e-3, clip=0.25,
                weight_decay=0.01,
                model_options={"embedding_size": 400, "sizes": [700, 400], "tied": True, "locked": True,
                               "word_dropout": 0.05, "input_dropout": 0.3, "layer_dropout": 0.2, "output_dropout": 0.35,
                               "weight_dropout": 0.4, "activation": 1.0, "temporal_activation": 1.0}),
    ),
    Recipe(
        "ptb-awd-full", "AWD-LSTM as published, for one GPU: 3 layers of 1150, NT-ASGD", "Merity et al. (2018)",
        57.3, "perplexity", (56.5, 59), 600, PTB,
        trained("perplexity", **PLAIN | {"schedule": "constant"}, model="regularised", epochs=500, batch_size=20,
                sequence=70, learning_rate=30.0, clip=0.25, weight_decay=1.2e-6, average_patience=5, evaluate_every=663,
                model_options={"embedding_size": 400, "sizes": [1150, 1150, 400], "tied": True, "locked": True,
                               "word_dropout": 0.1, "input_dropout": 0.4, "layer_dropout": 0.25, "output_dropout": 0.4,
                               "weight_dropout": 0.5, "activation": 2.0, "temporal_activation": 1.0}),
    ),
    Recipe(
        "ptb-transformer", "Transformer with adaptive inputs, 3 layers of 200", "Baevski and Auli (2019)",
        None, "perplexity", (90, 140), 19, PTB,
        trained("perplexity", tokenizer="word", model="transformer", budget="19m", batch_size=16, sequence=64,
                optimizer="adamw", learning_rate=2e-3, warmup=0.05, weight_decay=0.01, clip=0.5,
                model_options={"size": 200, "num_layers": 3, "heads": 4, "feed_forward": 600, "context": 64,
                               "dropout": 0.2}),
    ),
    Recipe(
        "ptb-gpt2", "GPT-2 of 124 million numbers, never trained on it; per word", "Radford et al. (2019)",
        65.85, "perplexity", (55, 120), 30, GPT2, judged_gpt2(124_439_808),
    ),
    Recipe(
        "ptb-char", "LSTM of 1024 on characters, weight dropout", "Merity et al. (2018), An analysis",
        1.175, "bits_per_token", (1.17, 1.30), 120, PTB_CHAR,
        # the corpus is written with a blank after each character and "_" for a blank: its words are characters
        trained("bits_per_token", tokenizer="word", model="regularised", epochs=11, batch_size=32, sequence=100,
                optimizer="adamw", learning_rate=4e-3, clip=1.0,
                model_options={"embedding_size": 64, "sizes": [1024], "locked": True, "output_dropout": 0.15,
                               "weight_dropout": 0.2}),
    ),
    Recipe(
        "wt2-awd", "2-layer LSTM of 650, locked dropout, adaptive softmax", "plain LSTM: Grave et al. (2017)",
        99.3, "perplexity", (80, 99.3), 85, WIKITEXT2,
        trained("perplexity", **ADAM, epochs=8, batch_size=40, sequence=50, learning_rate=3e-3, clip=0.5,
                model_options={"embedding_size": 400, "sizes": [650, 650], "locked": True, "softmax": "adaptive",
                               "word_dropout": 0.05, "input_dropout": 0.25, "layer_dropout": 0.2,
                               "output_dropout": 0.3, "weight_dropout": 0.2}),
    ),
    Recipe(
        "tinyshakespeare", "LSTM on Shakespeare's characters, 90 seconds", "Karpathy (2022), nanoGPT: its CPU recipe",
        1.88, "loss", (1.4, 1.55), 1.6, SHAKESPEARE, trained("loss", budget="90s"),
    ),
    Recipe(
        "min-char-rnn", "the lectures' program on Shakespeare", "Karpathy (2015), min-char-rnn",
        None, "loss", (1.7, 2.2), 5, SHAKESPEARE,
        trained("loss", min_char_rnn=True, steps=100_000, validation_fraction=0.1, evaluate_every=10_000),
    ),
)  # fmt: skip

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*_ALL, *SEQUENCE_TASKS)}


def find(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        ConfigError: There is none; the nearest known one is offered.
    """
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(RECIPES)}."
    raise ConfigError(f"there is no recipe {name!r}; {hint}")
