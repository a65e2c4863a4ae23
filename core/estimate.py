"""What a run may use, told before it is asked.

It is an upper bound of one usual run: every member and the arbiter write as much as they are allowed to, and each is
called once a round. What is left out: attempts that are repeated, stand-ins of the arbiter, and the further rounds that
open points may bring; :attr:`core.governance.Estimate.rounds` says how many are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from core import strategies
from core.asks import Ask
from core.attachments import Material
from core.catalog import Catalog
from core.governance import Estimate, dollars_text
from core.judging import LONGEST, instructions
from core.prompts import estimate_tokens
from core.setup import ConsortiumSpec

INSTRUCTIONS = 400
"""Tokens of what a member is told beyond the question: the panel's rules, its domain and its role."""

UNLIMITED = 4_000
"""Tokens that a model without ``max_tokens`` is taken to write."""

PICTURE = 1_500
"""Tokens of one picture, for a model that is shown it."""


class _Sum:
    """Calls, added up."""

    def __init__(self, catalog: Catalog) -> None:
        self._models, self.calls, self.tokens = catalog.models, 0, 0
        self.dollars: float | None = 0.0

    def writes(self, model: str) -> int:
        """Tokens that a model writes at the most."""
        return self._models[model].max_tokens or UNLIMITED

    def add(self, model: str, reads: int) -> None:
        """One call that reads so many tokens."""
        spec, writes = self._models[model], self.writes(model)
        self.calls += 1
        self.tokens += reads + writes
        if spec.provider == "simulated":
            return
        if spec.input_price is None or spec.output_price is None or self.dollars is None:
            self.dollars = None
        else:
            self.dollars += (reads * spec.input_price + writes * spec.output_price) / 1_000_000


def estimate(
    catalog: Catalog,
    setup: ConsortiumSpec,
    ask: Ask,
    conversation_tokens: int = 0,
    materials: Sequence[Material] = (),
) -> Estimate:
    """What an ask may use with that set-up; ``conversation_tokens`` is what a follow-up carries of its thread.

    Raises BadInput where its strategy is not there.
    """
    passes = strategies.create(setup.strategy, setup.params).passes
    rounds = passes if passes > 1 else setup.min_iterations
    panel = [m.model for m in catalog.panel(setup) if ask.addressed in (None, m.id)]
    total = _Sum(catalog)
    texts = [ask.text, ask.system or setup.system or "", *(m.text for m in materials if m.text)]
    question = conversation_tokens + sum(map(estimate_tokens, texts))
    pictures = PICTURE * sum(m.image is not None for m in materials)
    answers = sum(min(total.writes(model), LONGEST // 4) for model in panel)
    for number in range(rounds):
        for model in panel:
            seen = pictures if catalog.models[model].vision else 0
            total.add(model, INSTRUCTIONS + question + seen + (answers if number else 0))
    if len(panel) > 1:  # an answer that is alone goes out as it is
        reads = estimate_tokens(instructions(setup.judging)) + question + answers
        verdicts = 1 if passes > 1 else rounds
        for _ in range(verdicts * (2 if setup.both_orders else 1)):
            total.add(setup.arbiter, reads)
    return Estimate(calls=total.calls, tokens=total.tokens, dollars=total.dollars, rounds=rounds)


def estimate_text(estimated: Estimate) -> str:
    """An estimate for people, with what it assumes."""
    dollars = "an unknown price" if estimated.dollars is None else dollars_text(estimated.dollars)
    rounds = "one round" if estimated.rounds == 1 else f"{estimated.rounds} rounds"
    return (
        f"up to {estimated.tokens:,} tokens and {dollars}, in {estimated.calls} "
        f"call{'s' * (estimated.calls != 1)}. That is {rounds} in which all write as much as they may; further rounds "
        "and repeated calls would come on top."
    )
