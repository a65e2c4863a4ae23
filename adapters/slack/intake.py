"""What comes from Slack: kept before it is acknowledged, then carried out, whatever becomes of this process.

Events that cannot be kept are not acknowledged, so Slack sends them again, perhaps to another process. Slack never
repeats commands, taps and forms: who sent one is told that it was lost. What was kept outlives this process: another
one carries it out, as ``replayed``.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

from slack_bolt.response import BoltResponse

from adapters.slack.blocks import input_names
from adapters.slack.conversation import Answer, close
from adapters.slack.inbound import Payload, Said, home_of
from adapters.slack.limits import VIEW_ANSWER, Timing
from adapters.slack.standing import Spawn
from adapters.slack.telling import NOT_KEPT
from adapters.slack.workspaces import Kind, Workspace, Workspaces
from core.asks import Platform
from core.errors import Unavailable
from core.service import Inbound, Service
from core.stores import Kept
from core.telemetry import get_logger

log = get_logger(__name__)

_LOOK = 0.8
"""Seconds to find out whose event it is, and whether it concerns us: with the time to keep it (2 s), Slack waits for
three."""

_STALE = 3_600.0
"""Seconds after which what was left behind is not carried out any more."""

_LONG = 30.0
"""Seconds between two looks for a workspace, once it has not been found for a minute."""

_MALFORMED = (ValueError, KeyError, TypeError, IndexError, AttributeError)
"""What reading something raises that is not as Slack describes it."""

_INTERACTIONS: dict[str, Kind] = {
    "block_actions": "click",
    "message_action": "shortcut",
    "view_submission": "submission",
}


class Intake:
    """Takes in what comes for any workspace. ``beginning`` are the ids of runs that may come of what is in hand."""

    def __init__(self, service: Service, workspaces: Workspaces, spawn: Spawn, timing: Timing) -> None:
        self._service, self._workspaces, self._spawn, self._timing = service, workspaces, spawn, timing
        self.beginning: set[str] = set()

    async def take(self, body: Mapping[str, Any]) -> BoltResponse:
        """Keep what came, have it carried out, and acknowledge it."""
        kind, until = _kind(body), asyncio.get_running_loop().time() + VIEW_ANSWER
        if kind is None:
            return _ack()
        workspace: Workspace | None = None
        said: Said | None = None
        try:
            async with asyncio.timeout(_LOOK):
                workspace = await self._workspace(body)
                if workspace is None:
                    return _ack()
                try:
                    said = workspace.read(kind, body)
                except _MALFORMED as error:
                    log.warning("event not readable, left out", kind=kind, why=type(error).__name__)
                    return _ack()
                if not await workspace.concerns(kind, body, said):
                    return _ack()
            kept = _kept(kind, body, said)
            if not await self._keep(kept, kind):
                log.info("event is here already", kind=kind)
                return _ack()
        except (Unavailable, TimeoutError) as error:
            log.warning("event not kept", kind=kind, why=str(error) or "it takes too long")
            return self._not_kept(kind, body, workspace, said)
        answer: Answer = asyncio.get_running_loop().create_future()
        work = self._spawn(self._carry_out(kept, kind, body, workspace, said, answer))
        if kind != "submission":
            return _ack()
        work.add_done_callback(lambda _: close(answer))
        await asyncio.wait({answer}, timeout=until - asyncio.get_running_loop().time())
        close(answer)
        return _ack(answer.result())

    async def resume(self) -> None:
        """Carry out what processes that are gone have left. Raises Unavailable."""
        for kept in await self._service.orphans(Platform.SLACK):
            self._spawn(self._replay(kept))

    # --- keeping ------------------------------------------------------------------------------------

    async def _workspace(self, body: Payload) -> Workspace | None:
        enterprise, team = home_of(body)
        workspace = await self._workspaces.find(enterprise, team)
        if workspace is None:
            log.warning("not installed there", team=team, enterprise=enterprise)
        return workspace

    async def _keep(self, kept: Kept, kind: Kind) -> bool:
        try:
            return await self._service.keep(kept)
        except Unavailable:
            if kind != "event":  # it may be stored all the same, and its person is told that it was not
                self._spawn(self._service.done(kept))
            raise

    def _not_kept(self, kind: Kind, body: Payload, workspace: Workspace | None, said: Said | None) -> BoltResponse:
        """The answer to what cannot be kept, as its sender notices it best."""
        if kind == "event":
            return BoltResponse(status=503, body="")
        if kind == "command":
            return _ack({"response_type": "ephemeral", "text": NOT_KEPT})
        if kind == "submission" and (name := next(iter(input_names(body["view"])), None)):
            return _ack({"response_action": "errors", "errors": {name: NOT_KEPT}})
        if workspace is not None and said is not None:
            self._spawn(workspace.conversation.refuse(said))
        return _ack()

    # --- carrying out -------------------------------------------------------------------------------

    async def _carry_out(
        self, kept: Kept, kind: Kind, body: Payload, workspace: Workspace, said: Said | None, answer: Answer
    ) -> None:
        """Do what is wanted; again, for a while, where something that we need does not answer."""
        soothed = said is None

        async def attempt(*, replayed: bool, last: bool) -> None:
            now = said
            if said is not None:
                now = replace(again(said) if replayed else said, again=not last)
            await workspace.carry_out(kind, body, now, answer)

        def soothe() -> None:
            nonlocal soothed
            if said is not None and not soothed:
                soothed = True
                self._spawn(workspace.conversation.soothe(replace(again(said), again=True)))

        run = None if said is None else Inbound(asker=said.asker, where=said.where, event_ids=said.event_ids).run_id
        with self._beginning(run):
            await self._service.see_through(kept, attempt, self._timing.again, put_off=soothe)

    @contextmanager
    def _beginning(self, run: str | None) -> Iterator[None]:
        """A run may begin that will be shown here: nobody has left it behind."""
        begun = set() if run is None else {run}
        self.beginning |= begun
        try:
            yield
        finally:
            self.beginning -= begun

    async def _replay(self, kept: Kept) -> None:
        """Carry out what another process has kept. By now nobody waits for an answer, and no form can be opened."""
        try:
            stored = json.loads(kept.body)
            body, late = stored["body"], time.time() - float(stored["at"])
            kind = _kind(body)
            workspace = await self._found(body)
            said = None if workspace is None or kind is None else workspace.read(kind, body)
        except _MALFORMED as error:
            log.warning("event not readable, left out", id=kept.id, why=type(error).__name__)
            workspace = None
        if workspace is None or kind is None:
            await self._service.done(kept)
            return
        log.info("event taken over", kind=kind, id=kept.id, seconds=round(late, 1))
        if said is not None:
            said = again(said)
        if late > _STALE:
            if said is not None:
                await workspace.conversation.late(said)
            await self._service.done(kept)
            return
        answer: Answer = asyncio.get_running_loop().create_future()
        close(answer)
        await self._carry_out(kept, kind, body, workspace, said, answer)

    async def _found(self, body: Payload) -> Workspace | None:
        """The workspace that something came from, however long it takes to know."""
        for pause in chain(self._timing.again, repeat(_LONG)):
            try:
                return await self._workspace(body)
            except Unavailable as error:
                log.warning("workspace not known yet", why=str(error))
            await asyncio.sleep(pause)
        return None


def again(said: Said) -> Said:
    """The same for another attempt: no form can be opened any more."""
    return replace(said, replayed=True, trigger=None)


def _kind(body: Payload) -> Kind | None:
    """What has come; None for what nobody here cares for."""
    if body.get("type") == "event_callback":
        return "event"
    return "command" if "command" in body else _INTERACTIONS.get(str(body.get("type")))


def _kept(kind: Kind, body: Payload, said: Said | None) -> Kept:
    """As it is stored: with the address for answers to its sender alone, without the token by which Slack once proved
    who it was."""
    ids = said.event_ids if said is not None else ()
    name = ids[0] if ids else f"slack:{kind}:{body.get('event_id') or uuid.uuid4().hex}"
    plain = {key: value for key, value in body.items() if key != "token"}
    stored = json.dumps({"at": time.time(), "body": plain}, ensure_ascii=False)
    return Kept(id=name, platform=Platform.SLACK, kind=kind, body=stored)


def _ack(answer: Mapping[str, Any] | None = None) -> BoltResponse:
    return BoltResponse(status=200, body=dict(answer) if answer else "")
