import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.catalog import EmbeddingSpec
from core.errors import Unavailable
from core.study.embedders import (
    Embedder,
    Given,
    RareWords,
    SentenceTransformers,
    WordLlama,
    load_embedder,
    pack,
    unpack,
)

ROOT = Path(__file__).parents[3]
REMOTE = "Remote work should be the default: people concentrate better at home and save the way to the office."
PARAPHRASE = "Working remotely ought to be standard, since at home people focus better and need no way to the office."
CELLS = "The mitochondria turn sugar and oxygen into the energy that keeps a living cell going."


@pytest.mark.parametrize(("backend", "kind"), [("auto", WordLlama), ("wordllama", WordLlama), ("tfidf", RareWords)])
def test_a_backend_by_its_name(backend: Any, kind: type) -> None:
    assert isinstance(load_embedder(EmbeddingSpec(backend=backend)), kind)


def test_an_endpoint_is_not_asked_from_here() -> None:
    with pytest.raises(ValueError, match="endpoint"):
        load_embedder(EmbeddingSpec(backend="endpoint", provider="here", name="m"))


ABSENT = """
from core.catalog import EmbeddingSpec
from core.study.embedders import load_embedder
from core.errors import Unavailable
print(load_embedder().name)
for backend in ("wordllama", "tfidf"):
    try:
        print(load_embedder(EmbeddingSpec(backend=backend)).name)
    except Unavailable as error:
        print(error)
"""


def test_only_auto_falls_back_where_files_are_absent(tmp_path: Path) -> None:
    (tmp_path / "wordllama").mkdir()
    (tmp_path / "wordllama" / "__init__.py").touch()  # found before the one that is installed, and empty
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", ABSENT], env=environment, capture_output=True, text=True, check=True)
    auto, named, other = done.stdout.splitlines()
    assert auto == other == "TF-IDF, fixed idf"
    assert named.startswith("The answers could not be analysed: WordLlama's files cannot be read (")
    assert named.endswith("; install wordllama again, or choose another embeddings.backend.")


def test_vectors_are_the_same_after_they_were_packed() -> None:
    texts = [REMOTE, "", CELLS]
    embedder = WordLlama()
    packed = pack(embedder.name, embedder.embed(texts))
    assert (packed.dimensions, len(packed.data)) == (256, 3 * 256 * 4)
    assert (unpack(packed) == embedder.embed(texts)).all()
    given = Given(packed)
    assert given.name == embedder.name
    assert (given.embed(texts) == unpack(packed)).all()
    with pytest.raises(ValueError, match="3 vectors for 1 texts"):
        given.embed([REMOTE])


def test_a_library_that_is_absent_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [PathFinder])  # an editable installation would look elsewhere
    monkeypatch.delitem(sys.modules, "sentence_transformers", raising=False)
    with pytest.raises(Unavailable, match=r"pip install consortium-bot\[sentence-transformers\]"):
        load_embedder(EmbeddingSpec(backend="sentence-transformers", name="all-MiniLM-L6-v2"))


STAND_IN = """
import os, numpy

class SentenceTransformer:
    made = []

    def __init__(self, name, **options):
        self.made.append((name, options))
        if options.get("local_files_only") and not os.path.exists(os.path.join(name, "modules.json")):
            raise OSError(f"{name} is not on this machine")

    def encode(self, texts, **options):
        self.options = options
        return numpy.array([[3.0, 4.0 * ("cat" in text)] for text in texts])
"""
"""Takes what the real library takes, and finds a model only where its folder has a list of modules."""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package that stands in for sentence-transformers, whether that is installed or not."""
    (tmp_path / "library" / "sentence_transformers").mkdir(parents=True)
    (tmp_path / "library" / "sentence_transformers" / "__init__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    monkeypatch.delitem(sys.modules, "sentence_transformers", raising=False)
    yield import_module("sentence_transformers").SentenceTransformer
    del sys.modules["sentence_transformers"]


def test_a_stand_in_for_the_library_is_asked_for_a_folder_without_any_network(stand_in: Any, tmp_path: Path) -> None:
    folder = tmp_path / "little"
    folder.mkdir()
    (folder / "modules.json").touch()
    embedder = load_embedder(EmbeddingSpec(backend="sentence-transformers", name=str(folder)))
    assert embedder.name == "sentence-transformers little"
    assert embedder.embed(["a cat", "", "a dog"]) == pytest.approx(np.array([[0.6, 0.8], [0, 0], [1, 0]]))
    assert not embedder.embed(["", " "]).any()
    assert stand_in.made == [(str(folder), {"device": "cpu", "local_files_only": True})]
    (folder / "modules.json").unlink()
    with pytest.raises(Unavailable, match=r"cannot be loaded \(.*embeddings.name"):
        SentenceTransformers(str(folder))
    assert len(stand_in.made) == 2, "nobody looks for a folder in the network"


def test_a_stand_in_for_the_library_is_asked_to_download_a_model_that_is_not_here(stand_in: Any) -> None:
    embedder = load_embedder(EmbeddingSpec(backend="sentence-transformers", name="all-MiniLM-L6-v2"))
    assert embedder.name == "sentence-transformers all-MiniLM-L6-v2"
    assert stand_in.made == [
        ("all-MiniLM-L6-v2", {"device": "cpu", "local_files_only": True}),
        ("all-MiniLM-L6-v2", {"device": "cpu"}),
    ]


def test_vectors_of_a_stand_in_for_the_library_that_are_none_are_not_taken(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = SentenceTransformers("all-MiniLM-L6-v2")
    monkeypatch.setattr(stand_in, "encode", lambda self, texts, **options: [[float("nan"), 1.0] for _ in texts])
    with pytest.raises(Unavailable, match="gave vectors that are none"):
        embedder.embed(["a cat"])


@pytest.mark.parametrize("kind", [WordLlama, RareWords])
def test_each_embedder_gives_unit_rows_and_zero_for_nothing(kind: type[WordLlama] | type[RareWords]) -> None:
    embedder: Embedder = kind()
    vectors = embedder.embed([REMOTE, "", CELLS, PARAPHRASE])
    lengths = np.sqrt((vectors**2).sum(axis=1))
    assert lengths == pytest.approx([1, 0, 1, 1], abs=1e-5)
    assert vectors[0] @ vectors[3] > vectors[0] @ vectors[2] + 0.1
    assert not embedder.embed(["", " "]).any()


def test_the_fallback_weighs_rare_words_whatever_else_is_asked() -> None:
    embedder = RareWords()
    pair = ["the mitochondria", "the ribosome"]
    alone = embedder.embed(pair)
    among = embedder.embed([*pair, "the house", "mitochondria everywhere"])
    assert float(alone[0] @ alone[1]) == pytest.approx(float(among[0] @ among[1]), abs=1e-5)
    assert alone[0] @ alone[1] < 0.2


RECORDED = Path(__file__).parents[4] / "shared" / "data" / "gsm8k_members.jsonl"


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not here")
@pytest.mark.parametrize("kind", [WordLlama, RareWords])
def test_answers_to_the_same_question_are_more_alike(kind: type[WordLlama] | type[RareWords]) -> None:
    with RECORDED.open(encoding="utf-8") as file:
        rows = [json.loads(line)["members"] for _, line in zip(range(30), file, strict=False)]
    texts = [[m["text"] for m in (row.values() if isinstance(row, dict) else row)][:3] for row in rows]
    vectors = kind().embed([text for group in texts for text in group])
    question = np.repeat(np.arange(len(texts)), [len(group) for group in texts])
    first, second = np.triu_indices(len(vectors), 1)
    cosines = (vectors[first] * vectors[second]).sum(axis=1)
    same = question[first] == question[second]
    wins = (cosines[same][:, None] > cosines[~same][None, :]).mean()
    assert wins > 0.99
