"""The provider of the benchmark, a process of its own: members answer in some 120 words that depend on who is asked
what, so that no two runs have the same charts."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

from tests.emulators.provider import Behaviour, ProviderEmulator

_TEXT = (
    "remote work office team people time focus trust money health travel family city rent energy "
    "meeting manager culture office mentor junior senior fair risk cost benefit evidence survey "
    "hybrid choice default policy quality speed noise quiet lonely happy worried glad doubt hope "
    "fear angry calm"
)
WORDS = _TEXT.split()


class WordyProvider(ProviderEmulator):
    """Answers with seeded words in place of markers."""

    def _text(self, body: dict[str, Any], behaviour: Behaviour) -> str:
        question = body["messages"][-1]["content"]
        if "<<CANDIDATE" in question:
            return super()._text(body, behaviour)
        chance = random.Random(f"{body['model']}/{question}")
        sentences = [" ".join(chance.choices(WORDS, k=12)).capitalize() + "." for _ in range(10)]
        return f"{' '.join(sentences)}\n\nFinal answer: {chance.choice(['yes', 'no'])}"


async def main() -> None:
    """Serve until standard input ends; print the address first."""
    latency = float(sys.argv[1])
    async with WordyProvider(default=Behaviour(latency=latency), record=False) as provider:
        provider.model("hanging", always="hang")
        print(provider.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
