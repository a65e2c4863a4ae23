"""Stores in memory, for what only has to remember."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from core.asks import Person, Platform, ThreadRef
from core.governance import Budget, Change, Estimate, Policy, Rule, Spending, Spent
from core.types import Bill, Run


class MemoryGovernance:
    """Rules of one workspace, and what was reserved in it."""

    def __init__(self) -> None:
        self.rules, self.defaults = Policy(), dict[str, str]()
        self.log: list[Change] = []
        self.reserved: dict[str, tuple[Run, Estimate]] = {}
        self.settled: dict[str, Bill] = {}

    def change(self, **fields: object) -> None:
        """What administrators have set."""
        self.rules = self.rules.model_copy(update=fields)

    async def policy(self, where: ThreadRef) -> Policy:
        return self.rules

    async def add_rule(self, where: ThreadRef, rule: Rule, by: Person) -> int:
        number = 1 + max((r.number for r in self.rules.rules), default=0)
        self.change(rules=(*self.rules.rules, rule.model_copy(update={"number": number})))
        return number

    async def lift_rule(self, where: ThreadRef, number: int, by: Person) -> Rule | None:
        found = next((rule for rule in self.rules.rules if rule.number == number), None)
        self.change(rules=tuple(rule for rule in self.rules.rules if rule.number != number))
        return found

    async def set_budget(self, where: ThreadRef, budget: Budget, by: Person) -> None:
        key = (budget.scope, budget.period, budget.subject)
        others = tuple(b for b in self.rules.budgets if (b.scope, b.period, b.subject) != key)
        keeps = budget.tokens is not None or budget.dollars is not None
        self.change(budgets=(*others, budget) if keeps else others)

    async def set_confirmation(
        self, where: ThreadRef, by: Person, *, dollars: float | None, tokens: int | None
    ) -> None:
        self.change(confirm_dollars=dollars, confirm_tokens=tokens)

    async def set_retention(self, where: ThreadRef, by: Person, days: int | None) -> None:
        self.change(retention_days=days)

    async def retentions(self) -> list[tuple[Platform, str, int]]:
        days = self.rules.retention_days
        return [(Platform.SLACK, "T1", days)] if days else []

    async def note(self, where: ThreadRef, by: Person, action: str, detail: str) -> None:
        at = datetime.fromtimestamp(0).astimezone()
        self.log.insert(0, Change(at=at, by=by.id, name=by.name, action=action, detail=detail))

    async def audit(self, where: ThreadRef, limit: int, offset: int) -> list[Change]:
        return self.log[offset : offset + limit]

    async def channel_default(self, where: ThreadRef) -> str | None:
        return self.defaults.get(where.channel)

    async def set_channel_default(self, where: ThreadRef, name: str | None, by: Person) -> None:
        self.defaults.pop(where.channel, None)
        if name is not None:
            self.defaults[where.channel] = name

    async def spending(self, where: ThreadRef, asker: Person, now: datetime) -> Spending:
        used = defaultdict[str, Spent](Spent)
        for run, estimate in self.reserved.values():
            tokens, dollars, unpriced = estimate.tokens, estimate.dollars or 0.0, int(estimate.dollars is None)
            if bill := self.settled.get(run.id):
                tokens, dollars = bill.prompt_tokens + bill.completion_tokens, bill.cost
                unpriced = bill.unpriced
            scopes = {
                "workspace": run.ask.where.workspace == where.workspace,
                "channel": run.ask.where.channel == where.channel,
                "user": run.ask.asker.id == asker.id,
            }
            for scope in (name for name, meant in scopes.items() if meant):
                for period in ("day", "month"):
                    sum_ = used[f"{scope}/{period}"]
                    used[f"{scope}/{period}"] = Spent(
                        runs=sum_.runs + 1,
                        tokens=sum_.tokens + tokens,
                        dollars=sum_.dollars + dollars,
                        unpriced=sum_.unpriced + unpriced,
                    )
        return Spending(of=dict(used))

    async def reserve(self, run: Run, estimate: Estimate) -> None:
        self.reserved[run.id] = (run, estimate)

    async def settle(self, run_id: str, bill: Bill) -> None:
        self.settled[run_id] = bill
