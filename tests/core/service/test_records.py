"""What is on record."""

from __future__ import annotations

from core.commands.values import (
    HistoryCommand,
)
from core.service.records import PAGE
from tests.core.service.conftest import ANN, BOB, CHANNEL, Desk


async def test_history_has_pages_and_is_ones_own(desk: Desk) -> None:
    assert "You have not asked anything yet. Write `/consortium ask`" in await desk.say(HistoryCommand())
    for n in range(PAGE + 1):
        await desk.ask(text=f"Question {n}?")
    first, second = await desk.say(HistoryCommand()), await desk.say(HistoryCommand(page=2))
    assert first.count("Question") == PAGE
    assert "Older ones: `/consortium history 2`" in first
    assert second.count("Question") == 1
    assert "Older" not in second
    assert await desk.say(HistoryCommand(page=3)) == "There is no page 3 in your history."
    assert "not asked anything" in await desk.say(HistoryCommand(), BOB)


async def test_what_was_asked_in_private_is_not_listed_in_public(desk: Desk) -> None:
    direct = CHANNEL.model_copy(update={"channel": "D1", "private": True})
    await desk.ask(where=direct, text="Secret?")
    assert "Secret" not in await desk.say(HistoryCommand())
    assert "Secret" in await desk.say(HistoryCommand(), ANN, direct)
