"""Vectors for texts, made in a drawing process; :mod:`adapters.embeddings` asks a server for them instead.

:func:`load_embedder` gives what the settings name: WordLlama's token vectors, whose weights lie inside its wheel; words
weighed by how rare they are in English; or any model of the sentence-transformers library. Only the last ever uses the
network, and only for a model whose files are not on this machine yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.catalog import EmbeddingSpec
from core.errors import Unavailable
from core.types import Vectors

Rows = NDArray[np.float32]

_WORD = r"[^\W_]+"
_QUOTE = 160


class Embedder(Protocol):
    """Turns texts into vectors. ``name`` is what :attr:`core.types.Analysis.embedder` shows."""

    name: str

    def embed(self, texts: Sequence[str]) -> Rows:
        """One row a text, of length 1, or all zero where a text holds nothing that can be compared.

        Raises :class:`core.errors.Unavailable` when the vectors cannot be made.
        """
        ...


def load_embedder(spec: EmbeddingSpec | None = None) -> Embedder:
    """The embedder that ``spec`` names; "auto", which is the default, takes the first that is installed.

    Raises :class:`core.errors.Unavailable`, which says what to do, when one that is named is not there; ValueError for
    "endpoint", whose vectors are made elsewhere (:class:`Given`).
    """
    spec = spec or EmbeddingSpec()
    match spec.backend:
        case "auto":
            try:
                return WordLlama()
            except Unavailable:
                return RareWords()
        case "wordllama":
            return WordLlama()
        case "tfidf":
            return RareWords()
        case "sentence-transformers":
            return SentenceTransformers(spec.name or "")
    raise ValueError("the vectors of an endpoint are not made in this process")


def pack(name: str, rows: Rows) -> Vectors:
    """Rows as they are stored and sent between processes."""
    return Vectors(embedder=name, dimensions=rows.shape[1], data=rows.astype("<f4").tobytes())


def unpack(vectors: Vectors) -> Rows:
    """The rows that were packed; they cannot be written to."""
    rows: Rows = np.frombuffer(vectors.data, dtype="<f4").reshape(-1, vectors.dimensions)
    return rows


class Given:
    """Vectors that were made elsewhere for just the texts that it will be asked for, in their order."""

    def __init__(self, vectors: Vectors) -> None:
        self.name = vectors.embedder
        self._rows = unpack(vectors)

    def embed(self, texts: Sequence[str]) -> Rows:
        """One row a text; see :class:`Embedder`. Raises ValueError for another number of texts."""
        if len(texts) != len(self._rows):
            raise ValueError(f"there are {len(self._rows)} vectors for {len(texts)} texts")
        return self._rows


class WordLlama:
    """The mean of WordLlama's 256 numbers of each token.

    The package is not imported: it would bring an HTTP client and its own way to look for files in the network.
    Raises :class:`core.errors.Unavailable` where its files are absent or broken.
    """

    name = "WordLlama 256"

    def __init__(self) -> None:
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer

            root = _folder("wordllama")
            # The weights stay in half precision, as stored: 16 MB, of which a text touches a few rows.
            self._rows = load_file(root / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
            self._tokenizer = Tokenizer.from_file(str(root / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        except Exception as error:  # the libraries have no common error for a broken file
            raise _unavailable("WordLlama's files cannot be read", "install wordllama again", error) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def embed(self, texts: Sequence[str]) -> Rows:
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
    A column is a word of the texts at hand: vectors of different calls cannot be compared.
    Raises :class:`core.errors.Unavailable` where TextBlob's list is absent.
    """

    name = "TF-IDF, fixed idf"

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        try:
            lines = (_folder("textblob") / "en" / "en-spelling.txt").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise _unavailable("TextBlob's list of words cannot be read", "install textblob again", error) from error
        for line in lines:
            word, _, count = line.partition(" ")
            if count.strip().isdecimal():
                self._counts[word] = int(count)
        self._total = sum(self._counts.values())

    def embed(self, texts: Sequence[str]) -> Rows:
        """One row a text; see :class:`Embedder`."""
        from sklearn.feature_extraction.text import CountVectorizer

        vectorizer = CountVectorizer(token_pattern=_WORD)
        if not any(map(vectorizer.build_analyzer(), texts)):
            return np.zeros((len(texts), 1), dtype=np.float32)
        counts: Any = vectorizer.fit_transform(texts).toarray()
        idf = [math.log(self._total / (1 + self._counts.get(word, 0))) for word in vectorizer.get_feature_names_out()]
        return _unit(np.asarray(np.log1p(counts) * idf, dtype=np.float32))


class SentenceTransformers:
    """A model of the sentence-transformers library, on the processor; ``name`` is a model's or the path of its folder.

    A folder, or a model that was downloaded before, is read without any network. Any other name is looked for at the
    Hugging Face hub, from which its files are downloaded once, as the drawing processes start, into the cache of that
    library. Texts beyond a model's context are cut by the library.
    Raises :class:`core.errors.Unavailable` when the library or the model is not there.
    """

    def __init__(self, name: str) -> None:
        if find_spec("sentence_transformers") is None:
            fix = "pip install consortium-bot[sentence-transformers]"
            raise _unavailable("the sentence-transformers library is not installed", fix)
        self.name = f"sentence-transformers {Path(name).name if Path(name).is_dir() else name}"
        try:
            self._model = _sentence_model(name)
        except Exception as error:  # of the hub, the network, torch and more
            fix = "write the name of a model or the path of its folder as embeddings.name"
            raise _unavailable(f"the sentence-transformers model {name!r} cannot be loaded", fix, error) from error

    def embed(self, texts: Sequence[str]) -> Rows:
        """One row a text; see :class:`Embedder`."""
        said = [row for row, text in enumerate(texts) if text.strip()]
        if not said:
            return np.zeros((len(texts), 1), dtype=np.float32)
        try:
            made: Any = self._model.encode([texts[row] for row in said], convert_to_numpy=True, show_progress_bar=False)
        except Exception as error:
            raise _unavailable(f"{self.name} failed", "try another model", error) from error
        made = np.asarray(made, dtype=np.float32)
        if made.shape[:1] != (len(said),) or not np.isfinite(made).all() or not made.any(axis=1).all():
            raise _unavailable(f"{self.name} gave vectors that are none", "try another model")
        vectors = np.zeros((len(texts), made.shape[1]), dtype=np.float32)
        vectors[said] = _unit(made)
        return vectors


def _sentence_model(name: str) -> Any:
    """The model from this machine where it is here, else downloaded."""
    make = import_module("sentence_transformers").SentenceTransformer
    try:
        return make(name, device="cpu", local_files_only=True)
    except (OSError, ValueError):
        if Path(name).exists():
            raise
        return make(name, device="cpu")


def _unavailable(what: str, fix: str, error: Exception | None = None) -> Unavailable:
    """In one sentence; of the error only the beginning, for the libraries write whole paragraphs."""
    said = " ".join(str(error or "").split())
    why = f" ({said if len(said) <= _QUOTE else said[: _QUOTE - 1] + '…'})" if said else ""
    return Unavailable(f"The answers could not be analysed: {what}{why}; {fix}, or choose another embeddings.backend.")


def _folder(package: str) -> Path:
    """Where an installed package lies, found without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{package} is not installed")
    return Path(spec.submodule_search_locations[0])


def _unit(vectors: Rows) -> Rows:
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    unit: Rows = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit
