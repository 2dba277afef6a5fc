"""An n-gram model in back-off form: ask it for probabilities, let it write, keep it.

Owns the numbers of an ARPA file: for each n-gram its log-probability, for each context the weight of what shorter
contexts say. Takes streams of ids, gives natural logarithms in float64. Never estimates.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError, RunError
from ifog.ngrams.trie import Ids, Indices, Sentences, Trie, checked_ids, with_starts
from ifog.ngrams.vocabulary import Vocabulary

if TYPE_CHECKING:
    from typing import Self

__all__ = ["NgramModel"]

_Floats = NDArray[np.float64]
_FORMAT = "ifog n-grams 1"


class NgramModel:
    """p(w | context): the n-gram's own value where it is known, else the context's back-off times the shorter one's.

    Attributes:
        trie: which n-grams are known.
        log_probs: for each order, their natural log-probabilities, shape (number of n-grams,).
        backoffs: for each order but the last, the natural logarithms of their back-off weights as contexts.
        sentences: the ids of `<s>` and `</s>`, where each line is a sentence; None where a text is one stream.
        vocabulary: the words; None where the model knows ids only.
    """

    def __init__(
        self,
        trie: Trie,
        log_probs: Sequence[_Floats],
        backoffs: Sequence[_Floats],
        *,
        sentences: Sentences | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if vocabulary is not None and len(vocabulary) != trie.vocabulary_size:
            raise DataError(
                f"n-grams: the vocabulary has {len(vocabulary)} words, the model {trie.vocabulary_size}; give the one "
                "that the text was encoded with."
            )
        self.trie = trie
        self.log_probs = tuple(log_probs)
        self.backoffs = tuple(backoffs)
        self.sentences = sentences
        self.vocabulary = vocabulary

    @property
    def order(self) -> int:
        """N, the words of the longest n-grams."""
        return self.trie.order

    @property
    def vocabulary_size(self) -> int:
        """V, `<s>` included where there are sentences."""
        return self.trie.vocabulary_size

    def log_prob(self, ids: Ids) -> _Floats:
        """The natural log-probability of every token, given those before it in its sentence or stream.

        Args:
            ids: shape (T,), any whole-number type; with sentences, each ends with `</s>`, and `<s>` is not given.

        Returns:
            Shape (T,).

        Raises:
            DataError: ids that don't fit the vocabulary.
        """
        checked_ids(ids, self.vocabulary_size, self.sentences)
        tokens, _, given = with_starts(ids, self.sentences)
        scores = np.zeros(len(tokens))
        contexts = np.full(len(tokens), -1, np.int64)
        for order, ending in enumerate(self.trie.along(tokens), start=1):
            known = np.flatnonzero(ending >= 0)
            weighed = np.flatnonzero((contexts >= 0) & (ending < 0))
            if len(weighed):  # where the n-gram is unknown, its context's weight multiplies what was found so far
                scores[weighed] += self.backoffs[order - 2][contexts[weighed]]
            scores[known] = self.log_probs[order - 1][ending[known]]
            contexts = np.full(len(tokens), -1, np.int64)
            contexts[1:] = ending[:-1]
        return scores[given]

    def perplexity(self, ids: Ids) -> float:
        """exp of minus the mean log-probability of a token, `</s>` counted.

        Raises:
            DataError: no ids, or ids that don't fit the vocabulary.
        """
        if not len(ids):
            raise DataError("n-grams: the perplexity of no tokens was asked for; give at least one.")
        return float(np.exp(-self.log_prob(ids).mean()))

    def next_distribution(self, context: Sequence[int] | Ids = ()) -> _Floats:
        """The probabilities of every word after a context, shape (V,), summing to 1; `<s>` has 0.

        Args:
            context: the ids before it, as many as there are; with sentences, only those after the last `</s>` count,
                and `<s>` before them.

        Raises:
            DataError: ids that don't fit the vocabulary.
        """
        before = np.asarray(context, np.int64) if len(context) else np.empty(0, np.int64)
        checked_ids(before, self.vocabulary_size, self.sentences)
        if self.sentences is not None:
            ends = np.flatnonzero(before == self.sentences.end)
            before = before[ends[-1] + 1 :] if len(ends) else before
            before = np.concatenate([np.array([self.sentences.start]), before])
        probabilities = np.exp(self.log_probs[0])
        for order in range(2, min(self.order, len(before) + 1) + 1):
            at = int(self.trie.find(before[None, len(before) - order + 1 :])[0])
            if at < 0:
                continue  # an unknown context says nothing, and has no weight
            probabilities *= np.exp(self.backoffs[order - 2][at])
            extended = self.trie.extensions(order, at)
            words = (self.trie.keys[order - 2][extended] % np.uint64(self.vocabulary_size)).astype(np.int64)
            probabilities[words] = np.exp(self.log_probs[order - 1][extended])
        return probabilities

    def generate(
        self, length: int, prime: Sequence[int] | Ids = (), *, temperature: float = 1.0, seed: int | None = None
    ) -> Indices:
        """Draw `length` ids, each from the distribution after the prime and those already drawn.

        After `</s>` another sentence begins.

        Args:
            length: tokens to draw.
            prime: ids read first; they are not returned.
            temperature: the probabilities are raised to its inverse: below 1 likelier words, above 1 rarer ones.
            seed: the same seed draws the same ids; None draws new ones.

        Raises:
            ConfigError: a negative length, or a temperature that is not above 0.
            DataError: a prime that doesn't fit the vocabulary.
        """
        if length < 0 or not 0.0 < temperature < np.inf:
            raise ConfigError(
                f"n-grams: {length} tokens at temperature {temperature} were asked for; the number can't be negative, "
                "and the temperature must be above 0 (1 is what the model believes)."
            )
        random = np.random.default_rng(seed)
        written = [int(token) for token in prime]
        for _ in range(length):
            weights = self.next_distribution(written[-max(self.order - 1, 1) :] if self.sentences is None else written)
            weights = (weights / weights.max()) ** (1.0 / temperature)
            written.append(int(random.choice(len(weights), p=weights / weights.sum())))
        return np.array(written[len(prime) :], np.int64)

    def save(self, path: str | Path) -> None:
        """Write the model to one .npz file, whole or not at all.

        Raises:
            RunError: the file can't be written.
        """
        words = None if self.vocabulary is None else list(self.vocabulary.words)
        header = {"format": _FORMAT, "vocabulary_size": self.vocabulary_size, "order": self.order,
                  "sentences": self.sentences, "words": words}  # fmt: skip
        arrays: dict[str, NDArray[Any]] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
        for n in range(1, self.order + 1):
            arrays[f"log_probs{n}"] = self.log_probs[n - 1]
            if n > 1:
                arrays[f"keys{n}"] = self.trie.keys[n - 2]
                arrays[f"backoffs{n - 1}"] = self.backoffs[n - 2]
        target = Path(path)
        temporary = target.with_name(target.name + ".temporary")
        try:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)  # pyright: ignore[reportArgumentType] - no array is called allow_pickle
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise RunError(f"{target} can't be written: {error.strerror or error}. Free some space.") from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            RunError: the file is missing, damaged, or something else.
        """
        try:
            with Path(path).open("rb") as file, np.load(file) as arrays:
                header = json.loads(arrays["header"].tobytes())
                if header["format"] != _FORMAT:
                    raise ValueError(f"its format is {header['format']!r}")
                orders = range(1, header["order"] + 1)
                trie = Trie(header["vocabulary_size"], [arrays[f"keys{n}"] for n in orders[1:]])
                log_probs = [arrays[f"log_probs{n}"] for n in orders]
                backoffs = [arrays[f"backoffs{n}"] for n in orders[:-1]]
        except FileNotFoundError:
            raise RunError(f"{path} doesn't exist (looked in {Path.cwd()}); check the name.") from None
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(
                f"{path} is no n-gram model or is damaged ({error}); it should be a file that NgramModel.save wrote. "
                "Restore it, or estimate the model anew."
            ) from error
        sentences = None if header["sentences"] is None else Sentences(*header["sentences"])
        vocabulary = None if header["words"] is None else Vocabulary(header["words"])
        return cls(trie, log_probs, backoffs, sentences=sentences, vocabulary=vocabulary)
