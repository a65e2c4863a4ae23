"""What the model provider replies to a request for embeddings, whole or faulty."""

from __future__ import annotations

import math
import re
from zlib import crc32

from tests.emulators.provider_rules import JSON

_WORD = re.compile(r"\w+")


def vectors_of(texts: list[str], dimensions: int) -> list[list[float]]:
    """A vector a text, the same for the same text, not of length 1: how often words fall to each place."""
    rows = []
    for text in texts:
        row = [0.0] * dimensions
        for word in _WORD.findall(text.lower()) or [text]:
            row[crc32(word.encode()) % dimensions] += 1.0
        rows.append(row)
    return rows


def vectors_reply(body: JSON, dimensions: int, fault: str | None) -> JSON:
    """The document; the last text's vector comes first, for only ``index`` tells whose it is."""
    rows = vectors_of(body["input"], dimensions)
    match fault:
        case "few":
            rows.pop()
        case "empty":
            rows.clear()
        case "uneven":
            rows[-1].pop()
        case "not_finite":
            rows[-1][0] = math.nan
        case "zeros":
            rows[-1] = [0.0] * dimensions
        case "huge":
            rows[-1] *= 9_000_000 // dimensions
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)][::-1]
    if fault == "twice":
        data[-1]["index"] = data[0]["index"]
    tokens = sum(len(text.split()) for text in body["input"])
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": body["model"], "data": data, "usage": usage}
