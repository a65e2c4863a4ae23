"""An arbiter at work: real everything, but for the models that judge."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from core.arbiter import Arbiter, Case, Watcher
from core.asks import Turn
from core.resilience import Caller, Deadline, SystemClock
from core.types import Member, Response, Verdict
from tests.core.fakes import FakeAnalyst, FakeBreakers, make_ask, panel_models


class Court:
    """An arbiter with judges j and k, the texts to be judged, and what was shown meanwhile."""

    def __init__(self, *texts: str, nonce: Callable[[], str] = lambda: "f00d", **steps: Any) -> None:
        self.models = panel_models(**steps)
        self.breakers = FakeBreakers()
        self.analyst = FakeAnalyst()
        self.clock = SystemClock()
        caller = Caller(self.breakers, self.clock, random.Random(1))
        self.arbiter = Arbiter(caller, self.models, dict.fromkeys("jk", 60.0), self.analyst, nonce)
        self.responses = tuple(
            Response(member=Member(id=f"member {n}", model=f"model-{n}"), text=text, seconds=1)
            for n, text in enumerate(texts or ("Yes, it is.", "It is.", "No, it is not."))
        )
        self.shown: list[str] = []

    async def decide(self, *, deadline: float = 120, run: str = "r1", **how: Any) -> Verdict:
        turns = (Turn(question="And before?", answer="Before."),)
        case = Case(make_ask(id=run), turns, self.responses, 1, 3, **how)
        watcher = Watcher(started=lambda judge: self.shown.append(f"<{judge.id}>"), text=self.shown.append)
        judges = [Member(id="j", model="j"), Member(id="k", model="k")]
        return await self.arbiter.decide(case, judges, Deadline.after(deadline, self.clock), watcher)

    def case(self, key: str = "j", call: int = 0) -> str:
        return self.models[key].prompts[call].messages[-1].content

    def calls(self) -> tuple[int, int]:
        return len(self.models["j"].prompts), len(self.models["k"].prompts)
