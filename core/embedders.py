"""Vectors for texts, made on this machine without a network.

:func:`load_embedder` gives WordLlama's token vectors, whose weights lie inside its wheel, and where these are
absent words weighed by how rare they are in English.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_WORD = r"[^\W_]+"


class Embedder(Protocol):
    """Turns texts into vectors. ``name`` is what :attr:`core.types.Analysis.embedder` shows."""

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text, of length 1, or all zero where a text holds nothing that can be compared."""
        ...


def load_embedder() -> Embedder:
    """The best embedder whose files are installed."""
    try:
        return WordLlama()
    except (ImportError, OSError):
        return RareWords()


class WordLlama:
    """The mean of WordLlama's 256 numbers of each token.

    The package is not imported: it would bring an HTTP client and its own way to look for files in the network.
    Raises ImportError or FileNotFoundError where its files are absent.
    """

    name = "WordLlama 256"

    def __init__(self) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        root = _folder("wordllama")
        # The weights stay in half precision, as stored: 16 MB, of which a text touches a few rows.
        self._rows = load_file(root / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
        self._tokenizer = Tokenizer.from_file(str(root / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text; see :class:`Embedder`."""
        vectors = np.zeros((len(texts), self._rows.shape[1]), dtype=np.float32)
        for row, text in enumerate(texts):
            if text.strip():
                ids = self._tokenizer.encode(text, add_special_tokens=False).ids
                vectors[row] = self._rows[np.minimum(ids, len(self._rows) - 1)].mean(axis=0, dtype=np.float32)
        return _unit(vectors)


class RareWords:
    """TF-IDF with a fixed idf: how rare a word is in English, not in the few answers at hand.

    Fitted on the answers themselves, idf would weigh down what they share and so the very thing that is
    measured. The counts are those of the million-word list that TextBlob ships for its spelling check.
    Raises FileNotFoundError where TextBlob is absent.
    """

    name = "TF-IDF, fixed idf"

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        lines = (_folder("textblob") / "en" / "en-spelling.txt").read_text(encoding="utf-8").splitlines()
        for line in lines:
            word, _, count = line.partition(" ")
            if count.strip().isdecimal():
                self._counts[word] = int(count)
        self._total = sum(self._counts.values())

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row a text; see :class:`Embedder`."""
        from sklearn.feature_extraction.text import CountVectorizer

        vectorizer = CountVectorizer(token_pattern=_WORD)
        if not any(map(vectorizer.build_analyzer(), texts)):
            return np.zeros((len(texts), 1), dtype=np.float32)
        counts: Any = vectorizer.fit_transform(texts).toarray()
        idf = [math.log(self._total / (1 + self._counts.get(word, 0))) for word in vectorizer.get_feature_names_out()]
        return _unit(np.asarray(np.log1p(counts) * idf, dtype=np.float32))


def _folder(package: str) -> Path:
    """Where an installed package lies, found without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0])


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    unit: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit
