"""Models and consortia."""

from __future__ import annotations

from core.cards import Reply
from core.commands.values import (
    HelpCommand,
    ModelsCommand,
)
from core.service import Inbound
from tests.core.service.conftest import ANN, CHANNEL, Desk


async def test_models_and_help_answer_at_once(desk: Desk) -> None:
    models = await desk.say(ModelsCommand())
    assert "- a (a at here): ready (not called lately)" in models
    assert "- default (in use here): a:2, b, c; arbiter j" in models
    reply = await desk.service.handle(HelpCommand(), Inbound(asker=ANN, where=CHANNEL, prefix="/panel"))
    assert isinstance(reply, Reply)
    assert "`/panel history [page]`" in reply.text
    assert desk.queue.asks == []
