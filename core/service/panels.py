"""Consortia and models: listing, saving, removing, a channel's default; breakers; who has done how well."""

from __future__ import annotations

from core.cards import Form, Option, Reply
from core.commands.values import (
    ChannelDefault,
    LeaderboardCommand,
    ListConsortia,
    ModelsCommand,
    RemoveConsortium,
    ResetModel,
    SaveConsortium,
)
from core.present.lists import models_text
from core.service.inbound import Inbound
from core.service.office import Handlers, Office


class PanelDesk:
    """Knows the models and the consortia."""

    def __init__(self, office: Office) -> None:
        self._office = office

    @property
    def handlers(self) -> Handlers:
        """Which command is for whom."""
        return {
            ModelsCommand: self.models,
            ResetModel: self.reset,
            ListConsortia: self.list,
            SaveConsortium: self.save,
            RemoveConsortium: self.remove,
            ChannelDefault: self.channel_default,
            LeaderboardCommand: self.leaderboard,
        }

    async def models(self, command: ModelsCommand, inbound: Inbound) -> Reply:
        """The models with their state."""
        office = self._office
        states = {key: await office.breakers.state(key) for key in office.catalog.models}
        mine, _ = await office.chosen(inbound, await office.session(inbound))
        saved = {s.name: s.setup for s in await office.consortia.all()}
        return Reply(text=models_text(office.catalog, states, mine, saved))

    async def reset(self, command: ResetModel, inbound: Inbound) -> Reply:
        """Close a breaker (administrators)."""
        raise NotImplementedError

    async def list(self, command: ListConsortia, inbound: Inbound) -> Reply:
        """The consortia there are."""
        raise NotImplementedError

    async def show(self, name: str, inbound: Inbound) -> Reply | None:
        """One consortium; None when there is none of that name."""
        raise NotImplementedError

    async def save(self, command: SaveConsortium, inbound: Inbound) -> Reply | Form:
        """The form, or what came of it. Raises BadForm."""
        raise NotImplementedError

    async def remove(self, command: RemoveConsortium, inbound: Inbound) -> Reply:
        """Forget a saved consortium."""
        raise NotImplementedError

    async def channel_default(self, command: ChannelDefault, inbound: Inbound) -> Reply:
        """What this channel asks by default."""
        raise NotImplementedError

    async def leaderboard(self, command: LeaderboardCommand, inbound: Inbound) -> Reply:
        """How the models have done."""
        raise NotImplementedError

    async def suggest(self, kind: str, typed: str, inbound: Inbound) -> list[Option]:
        """What fits what is being typed, best first, at most 25. ``kind`` is consortium, saved, model, arbiter, role,
        domain, strategy, run or command."""
        raise NotImplementedError
