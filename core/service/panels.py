"""Consortia and models: listing, saving, removing, a channel's default; breakers; who has done how well."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from core import convening, strategies
from core.cards import Button, Form, Option, Reply
from core.commands.actions import encode
from core.commands.grammar import COMMANDS, USAGES
from core.commands.values import (
    ChannelDefault,
    LeaderboardCommand,
    ListConsortia,
    ModelsCommand,
    RemoveConsortium,
    Reopen,
    ResetModel,
    SaveConsortium,
    ShowCommand,
    UseConsortium,
)
from core.errors import NotAllowed, NotFound
from core.governance import Right, may
from core.ports import RunSummary, Standing
from core.present.lists import (
    breaker_text,
    consortia_text,
    consortium_options,
    consortium_text,
    leaderboard_text,
    model_options,
    models_text,
    option,
    written,
)
from core.service.inbound import Inbound
from core.service.office import Chosen, Handlers, Office, required
from core.service.saving import form_for, setup_from
from core.setup import ConsortiumSpec
from core.stores import Draft, SavedConsortium, home
from core.votes.ranking import ranked

MOST = 25
"""Suggestions at the most; platforms show no more."""

LATELY = timedelta(days=7)
"""How far back it is looked how long models took."""

Rows = tuple[tuple[Button, ...], ...]


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
            ListConsortia: self.consortia,
            SaveConsortium: self.save,
            RemoveConsortium: self.remove,
            ChannelDefault: self.channel_default,
            LeaderboardCommand: self.leaderboard,
        }

    # --- models -------------------------------------------------------------------------------------

    async def models(self, command: ModelsCommand, inbound: Inbound) -> Reply:
        """The models with their state; administrators can have one that rests tried again at once."""
        office = self._office
        states = {key: await office.breakers.state(key) for key in office.catalog.models}
        latencies = await office.lessons.latencies(office.clock() - LATELY)
        resting = [key for key, state in states.items() if state.state != "closed"]
        if resting and not await self._may(inbound, "admin"):
            resting = []
        resets = [Button(label=f"Try {key} again"[:40], action=encode(ResetModel(model=key))) for key in resting[:15]]
        return Reply(text=models_text(office.catalog, states, latencies), buttons=(*_rows(resets), (LIST, LEADERBOARD)))

    async def reset(self, command: ResetModel, inbound: Inbound) -> Reply:
        """Close a breaker (administrators). Raises NotAllowed or NotFound."""
        office = self._office
        await office.check(inbound, "admin")
        model = required("model", command.model, office.catalog.models)
        before = await office.breakers.state(model)
        await office.breakers.reset(model)
        await office.governance.note(inbound.where, inbound.asker, "reset", f"model {model}, which was {before.state}")
        return Reply(text=f"**{model}** is asked again from now on. Before, it was {breaker_text(before)}.")

    # --- consortia ----------------------------------------------------------------------------------

    async def consortia(self, command: ListConsortia, inbound: Inbound) -> Reply:
        """The consortia there are, with buttons that show each."""
        office = self._office
        saved = {consortium.name for consortium in await office.consortia.all(inbound.where)}
        all_ = await office.all_consortia(inbound.where)
        mine, _, notes = await self._chosen(inbound)
        shows = [
            Button(label=name[:40], action=encode(ShowCommand(what=name)), style="primary" if name == mine else "plain")
            for name in sorted(all_, key=lambda name: name != mine)[:15]
        ]
        save = (NEW,) if await self._may(inbound, "save") else ()
        return Reply(
            text="\n\n".join([consortia_text(all_, saved, mine, office.catalog), *notes]),
            buttons=(*_rows(shows), (*save, MODELS, LEADERBOARD)),
        )

    async def show(self, name: str, inbound: Inbound) -> Reply | None:
        """One consortium with what can be done with it; None when there is none of that name."""
        office = self._office
        try:
            found, setup = await office.setup(name, inbound.where)
        except NotFound:
            return None
        saved = await office.consortia.get(found, inbound.where)
        problems = convening.problems(office.catalog, setup)
        notes = ["It cannot be asked as it is:\n" + "\n".join(f"- {line}" for line in problems)] if problems else []
        if found == (await self._chosen(inbound)).name:
            notes.append("You ask it in this channel.")
        if saved and not saved.own:
            notes.append("The operator saved it, for everybody.")
        text = consortium_text(found, setup, office.catalog, saved_at=saved.saved_at if saved else None, notes=notes)
        return Reply(text=text, buttons=await self._doing(found, inbound, own=saved is not None and saved.own))

    async def save(self, command: SaveConsortium, inbound: Inbound) -> Reply | Form:
        """The form, or what came of it. Raises NotAllowed or BadForm."""
        office = self._office
        await office.check(inbound, "save")
        base = await self._base(command.name, inbound)
        if not (command.members or command.arbiter or command.strategy or command.limits):
            return form_for(office.catalog, command, base)
        name, setup = setup_from(office.catalog, command, base)
        hidden = await office.consortia.get(name, inbound.where)
        had = await office.consortia.save(name, setup, inbound.where)
        detail = f"consortium {name}: {', '.join(setup.members)}; arbiter {setup.arbiter}; strategy {setup.strategy}"
        await office.governance.note(inbound.where, inbound.asker, "save", detail)
        notes = []
        if had:
            notes.append("It takes the place of the one of that name; runs that go on are not touched.")
        elif hidden:
            notes.append("It goes before the one of that name that the operator saved, until it is removed.")
        elif any(name.lower() == of_file.lower() for of_file in office.catalog.consortia):
            notes.append("It goes before the one of that name in the models file, until it is removed.")
        notes.append(
            f"Everybody here can ask it: {written(inbound.prefix, f'ask --consortium {name}')} and a question."
        )
        text = consortium_text(name, setup, office.catalog, saved_at=office.clock(), notes=notes)
        return Reply(text=f"Saved.\n\n{text}", buttons=await self._doing(name, inbound, own=True))

    async def remove(self, command: RemoveConsortium, inbound: Inbound) -> Reply:
        """Forget an own saved consortium, once that is confirmed; a button has the form that saves it again.

        Raises NotAllowed or NotFound.
        """
        office, where = self._office, inbound.where
        await office.check(inbound, "save")
        saved = await self._removable(command.name, inbound)
        name = saved.name
        if not command.confirmed:
            remove = Button(
                label="Remove it", action=encode(RemoveConsortium(name=name, confirmed=True)), style="danger"
            )
            text = f"Remove **{name}**, for everybody here? What was asked of it stays on record."
            return Reply(text=text, buttons=((remove,),))
        if not await office.consortia.remove(name, where):
            raise NotFound(f"`{name}` was removed by somebody else just now.")
        await office.governance.note(where, inbound.asker, "remove", f"consortium {name}")
        form = form_for(office.catalog, SaveConsortium(name=name), saved.setup)
        draft = await office.drafts.keep(Draft(person=inbound.asker.id, body=form.model_dump_json()))
        again = Button(label="Save it again", action=encode(Reopen(draft=draft)))
        left = ""
        if await office.consortia.get(name, where):
            left = "; the one of that name that the operator saved is asked again"
        elif name.lower() in {of_file.lower() for of_file in office.catalog.consortia}:
            left = "; the one of that name in the models file is asked again"
        return Reply(
            text=f"**{name}** is removed{left}. What was asked of it stays on record.", buttons=((again, LIST),)
        )

    async def channel_default(self, command: ChannelDefault, inbound: Inbound) -> Reply:
        """What this channel asks by default. Raises NotAllowed or NotFound."""
        office = self._office
        await office.check(inbound, "moderate")
        name = None if command.name is None else (await office.setup(command.name, inbound.where))[0]
        await office.governance.set_channel_default(inbound.where, name, inbound.asker)
        if name is None:
            fallback = (await office.default(inbound.where)).name
            return Reply(text=f"This channel has no default of its own any more; **{fallback}** is asked.")
        undo = written(inbound.prefix, "channel-default none")
        show = Button(label=f"What is {name}?"[:40], action=encode(ShowCommand(what=name)))
        text = f"In this channel **{name}** is asked by all who have chosen nothing themselves. Undo: {undo}"
        return Reply(text=text, buttons=((show,),))

    # --- who has done how well ----------------------------------------------------------------------

    async def leaderboard(self, command: LeaderboardCommand, inbound: Inbound) -> Reply:
        """How the models have done."""
        office = self._office
        standings, opinions = await self._record(inbound)
        ranks = ranked(standings)
        recorded = list(dict.fromkeys([*(rank.standing.consortium for rank in ranks), *opinions]))
        name = command.consortium
        if name is not None:  # one that is gone may still have a record
            name = required("consortium", name, dict.fromkeys([*recorded, *await office.all_consortia(inbound.where)]))
        text = leaderboard_text(ranks, opinions, office.catalog, name)
        singles = recorded if name is None and len(recorded) > 1 else []
        buttons = [
            Button(label=single[:40], action=encode(LeaderboardCommand(consortium=single))) for single in singles[:15]
        ]
        return Reply(text=text, buttons=(*_rows(buttons), (MODELS, LIST)))

    # --- what fits ----------------------------------------------------------------------------------

    async def suggest(self, kind: str, typed: str, inbound: Inbound) -> list[Option]:
        """What fits what is being typed, best first, at most 25. ``kind`` is consortium, saved, model, arbiter, role,
        domain, strategy, run or command; of another kind there is nothing."""
        office, catalog = self._office, self._office.catalog
        match kind:
            case "consortium":
                there = consortium_options(await office.all_consortia(inbound.where), catalog)
            case "saved":
                saved = [consortium for consortium in await office.consortia.all(inbound.where) if consortium.own]
                there = consortium_options({consortium.name: consortium.setup for consortium in saved}, catalog)
            case "model" | "arbiter":
                there = model_options(catalog)
            case "role":
                there = [option(name, text) for name, text in catalog.all_roles.items()]
            case "domain":
                there = [option(name, text) for name, text in catalog.all_domains.items()]
            case "strategy":
                there = [option(strategy.name, strategy.summary) for strategy in strategies.describe()]
            case "command":
                about = {usage.name: usage.does for usage in reversed(USAGES)}
                there = [option(name, about[name]) for name in COMMANDS]
            case "run":
                rows = await office.history.page(inbound.asker, inbound.where, MOST, 0, typed.strip())
                return [_run_option(row) for row in rows]
            case _:
                return []
        return _fitting(typed, there)

    # --- inside -------------------------------------------------------------------------------------

    async def _may(self, inbound: Inbound, right: Right) -> bool:
        return may(await self._office.governance.policy(inbound.where), inbound.who, right)

    async def _chosen(self, inbound: Inbound) -> Chosen:
        """What the person asks here when they name nothing."""
        return await self._office.chosen(inbound, await self._office.session(inbound))

    async def _removable(self, wanted: str, inbound: Inbound) -> SavedConsortium:
        """An own saved consortium. Raises NotFound, or NotAllowed for one that is the operator's."""
        office = self._office
        there = await office.consortia.all(inbound.where)
        own = {consortium.name: consortium for consortium in there if consortium.own}
        theirs = [consortium.name for consortium in there if not consortium.own]
        key = wanted.strip("`").lower()
        if key not in {name.lower() for name in own}:
            for names, what in ((theirs, "is for everybody"), (office.catalog.consortia, "stands in the models file")):
                if name := next((name for name in names if name.lower() == key), None):
                    raise NotAllowed(f"`{name}` {what}: only the operator of this service can remove it.")
        if not own:
            raise NotFound("Nobody has saved a consortium here, so there is none to remove.")
        return own[required("saved consortium", wanted, own)]

    async def _record(self, inbound: Inbound) -> tuple[list[Standing], dict[str, tuple[int, int]]]:
        """Records and opinions by consortium, all of them for the operator.

        A workspace gets those of what is there for everybody; of its own ones, and of those that are gone or were put
        together for one ask, no more than was asked there: elsewhere others may have the same name.
        """
        office, lessons = self._office, self._office.lessons
        standings, opinions = await lessons.standings(), await lessons.opinions_of()
        if home(inbound.where) is None:
            return standings, opinions
        own = {consortium.name for consortium in await office.consortia.all(inbound.where) if consortium.own}
        everybodys = {name for name in await office.all_consortia(inbound.where) if name not in own}
        standings = [standing for standing in standings if standing.consortium in everybodys] + [
            standing
            for standing in await lessons.standings(where=inbound.where)
            if standing.consortium not in everybodys
        ]
        here = await lessons.opinions_of(where=inbound.where)
        return standings, {name: opinions[name] for name in opinions if name in everybodys} | {
            name: found for name, found in here.items() if name not in everybodys
        }

    async def _base(self, name: str | None, inbound: Inbound) -> ConsortiumSpec | None:
        """The consortium that is saved anew, if there is one of that name."""
        if name is None:
            return None
        if saved := await self._office.consortia.get(name.strip("`"), inbound.where):
            return saved.setup
        of_file = self._office.catalog.consortia
        return next((setup for known, setup in of_file.items() if known.lower() == name.strip("`").lower()), None)

    async def _doing(self, name: str, inbound: Inbound, *, own: bool) -> Rows:
        """What can be done with a consortium."""
        row = []
        if name != (await self._chosen(inbound)).name:
            row.append(Button(label="Use it here", action=encode(UseConsortium(name=name)), style="primary"))
        if await self._may(inbound, "save"):
            row.append(Button(label="Edit", action=encode(SaveConsortium(name=name))))
            if own:
                row.append(Button(label="Remove", action=encode(RemoveConsortium(name=name))))
        return ((*row, Button(label="Leaderboard", action=encode(LeaderboardCommand(consortium=name)))),)


LIST = Button(label="Consortia", action=encode(ListConsortia()))
MODELS = Button(label="Models", action=encode(ModelsCommand()))
LEADERBOARD = Button(label="Leaderboard", action=encode(LeaderboardCommand()))
NEW = Button(label="Save a new one", action=encode(SaveConsortium()))


def _rows(buttons: list[Button]) -> Rows:
    return tuple(tuple(buttons[start : start + 5]) for start in range(0, len(buttons), 5))


def _run_option(row: RunSummary) -> Option:
    label = f"{row.created_at:%Y-%m-%d} {row.question}"
    return option(row.id, row.consortium, label=label, simulated=row.simulated)


def _fitting(typed: str, options: Iterable[Option]) -> list[Option]:
    """Those whose name begins with what is typed, then those that have it elsewhere, then in what they are about."""
    wanted = typed.strip().lower()

    def place(option: Option) -> int:
        texts = (option.value.lower(), option.label.lower(), option.about.lower())
        if texts[0].startswith(wanted):
            return 0
        return next((place for place, text in enumerate(texts, 1) if wanted in text), 4)

    found = [(place(option), option) for option in options]
    return [option for rank, option in sorted(found, key=lambda pair: pair[0]) if rank < 4][:MOST]
