"""The provider that counts, a process of its own: ``python -m tests.bench.counting SECONDS``.

Members take about so many seconds; every fifth question needs a second round. A line on its standard input is answered
with the calls so far, as JSON: by question's mark, model and round how many began, and how many of them their caller
left before they were answered.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.bench.crowd import FINAL
from tests.bench.provider import WORDS
from tests.emulators.provider import Behaviour, ProviderEmulator
from tests.emulators.provider_rules import Refusal, text_of

SECOND_ROUND = 5
"""Every so many-th question's first verdict is unsure."""

_MARK = re.compile(r"mark-(\d+)x\d+")
_ROUND = re.compile(r"^Round (\d+)\.")
_LETTER = re.compile(r"^<<CANDIDATE ([A-Z]) \w+>>$", re.MULTILINE)


class CountingProvider(ProviderEmulator):
    """Members answer with seeded words, the arbiter names the mark of the question."""

    def __init__(self, seconds: float) -> None:
        super().__init__(default=Behaviour(), record=False)
        self._seconds = seconds
        self.begun: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.judged: Counter[str] = Counter()

    async def _serve(
        self,
        request: web.BaseRequest,
        check: Callable[[Any], Refusal | None],
        answer: Callable[[web.BaseRequest, dict[str, Any]], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        async def counted(request: web.BaseRequest, body: dict[str, Any]) -> web.StreamResponse:
            about = _about(body)
            self.begun[about] += 1
            try:
                await asyncio.sleep(self._seconds * random.Random(about).uniform(0.6, 1.4))
                return await answer(request, body)
            except (asyncio.CancelledError, ConnectionError):
                self.left[about] += 1
                raise

        return await super()._serve(request, check, counted)

    def _text(self, body: dict[str, Any], behaviour: Behaviour) -> str:
        mark, letters = _mark(body), _LETTER.findall(text_of(body["messages"][-1]))
        if letters:
            shown = "\n".join(map(text_of, body["messages"]))
            return json.dumps({k: v for k, v in self._verdict(mark, letters).items() if f'"{k}":' in shown})
        chance = random.Random(_about(body))
        sentences = [" ".join(chance.choices(WORDS, k=12)).capitalize() + "." for _ in range(6)]
        return f"{' '.join(sentences)}\n\nFinal answer: {chance.choice(['yes', 'no'])}"

    def _verdict(self, mark: str, letters: list[str]) -> dict[str, Any]:
        self.judged[mark] += 1
        number = _MARK.match(mark)
        unsure = self.judged[mark] == 1 and number is not None and int(number[1]) % SECOND_ROUND == 0
        stances = [
            {"letter": letter, "stance": "disagree" if unsure and letter != letters[0] else "agree", "point": "So."}
            for letter in letters
        ]
        return {
            "pick": letters[0],
            "ranking": stances,
            "synthesis": f"**Yes.** {FINAL} {mark} as a whole.",
            "confidence": 40 if unsure else 90,
            "members": stances,
            "refine": ["What of its cost?"] if unsure else [],
        }

    def report(self) -> dict[str, Any]:
        """The calls so far."""
        return {"begun": self.begun, "left": self.left, "peak": self.peak}


def _mark(body: dict[str, Any]) -> str:
    """The mark of the question that is asked: the last one that is shown."""
    marks = [found for message in body["messages"] for found in _MARK.finditer(text_of(message))]
    return marks[-1][0] if marks else "mark-none"


def _about(body: dict[str, Any]) -> str:
    last = text_of(body["messages"][-1])
    number = found[1] if (found := _ROUND.match(last)) else "1"
    return f"{_mark(body)} {body['model']} {number}"


async def main() -> None:
    """Serve until standard input ends; the first line of output is the address."""
    async with CountingProvider(float(sys.argv[1])) as provider:
        print(json.dumps({"url": provider.base_url}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(provider.report()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
