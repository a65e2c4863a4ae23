"""Asking: what is checked before a run is queued, follow-ups, asking again, confirming what may be dear."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress

from core import attachments, convening, examples, governance
from core.asks import Ask, Value
from core.attachments import MOST_FILES, Material, Upload
from core.cards import Button, Form, Input, Option, Reply
from core.commands import actions
from core.commands.values import AskAgain, AskCommand, AskExample, Confirm, Discard
from core.earlier import earlier_files
from core.errors import BadInput, ConsortiumError, Duplicate, NotFound, Unavailable
from core.estimate import estimate, estimate_text
from core.governance import Estimate, Policy
from core.present.figures import listed, short
from core.present.lists import FIELDS
from core.service.convener import Convener
from core.service.handover import ADOPTING, showing
from core.service.inbound import Inbound
from core.service.office import Handlers, Office, known
from core.stores import Draft
from core.strategies import describe
from core.telemetry import get_logger
from core.types import Bill, Run, RunStatus

log = get_logger(__name__)

MAX_QUESTION = 12_000
"""Characters of a question: more is refused rather than cut."""

MOST_OPTIONS = 100
"""How many options a choice of a form has."""


class Held(Value):
    """An ask that waits to be confirmed, with what came along; ``notes`` are for its run."""

    ask: Ask
    notes: tuple[str, ...] = ()
    materials: tuple[Material, ...] = ()


class AskDesk:
    """Takes questions in. Nothing here waits for a model."""

    def __init__(self, office: Office) -> None:
        self._office, self._convener = office, Convener(office)

    @property
    def handlers(self) -> Handlers:
        """Which command is for whom."""
        return {
            AskCommand: self.ask,
            AskExample: self.example,
            AskAgain: self.again,
            Confirm: self.confirm,
            Discard: self.discard,
        }

    # --- asking -------------------------------------------------------------------------------------

    async def ask(self, command: AskCommand, inbound: Inbound) -> Run | Reply:
        """Store a run as pending and queue it.

        In a thread with earlier runs it goes on with the panel there, or with the one member of it that the text is
        addressed to, unless the command names another panel. A Reply asks for confirmation, where the run may be dear.
        Raises NotAllowed, OverBudget, RateLimited, BadInput, NotFound, Refused or Unavailable; nothing is stored then.
        """
        await self._office.check(inbound, "ask")
        text = _question(command.text)
        session = await self._office.session(inbound)
        names_panel = command.consortium or command.models
        earlier = None if names_panel else await self._convener.of_thread(inbound.where)
        if earlier:
            panel, text = self._convener.addressed(earlier, text, session.roles)
        else:
            panel = await self._convener.named(command, session, inbound)
        panel = self._convener.changed(panel, command, None if earlier else session.strategy)
        ask = Ask(
            id=inbound.run_id or self._office.new_id(),
            text=text,
            asked_at=self._office.clock(),
            asker=inbound.asker,
            where=inbound.where,
            consortium=panel.name,
            setup=panel.setup,
            domain=known("domain", command.domain or session.domain, self._office.catalog.all_domains),
            question_type=command.question_type or session.question_type,
            system=command.system,
            roles={**session.roles, **self._convener.roles(command)},
            addressed=panel.addressed,
            charts=session.charts if command.charts is None else command.charts,
            event_ids=inbound.event_ids,
        )
        return await self._take(ask, inbound, notes=panel.notes)

    async def example(self, command: AskExample, inbound: Inbound) -> Run | Reply:
        """Ask an example question."""
        text = examples.example(self._office.catalog, command.domain, command.number)
        domain, _ = examples.questions(self._office.catalog, command.domain)
        return await self.ask(AskCommand(text=text, domain=None if domain == examples.GENERAL else domain), inbound)

    async def again(self, command: AskAgain, inbound: Inbound) -> Run | Reply | Form:
        """The form that asks with what to ask again; once that is chosen, the run that comes of it, in the same thread.

        What came with the question comes along. Raises like :meth:`ask`.
        """
        office = self._office
        await office.check(inbound, "ask")
        run = await office.history.visible(command.run, inbound.asker, inbound.where)
        if run is None:
            raise NotFound("That question is not on record any more, or not for you to see here.")
        if not command.chosen:
            return await self._again_form(run, inbound)
        panel = await self._convener.of_run(run, command.consortium, inbound.where)
        changes = AskCommand(text=run.ask.text, arbiter=command.arbiter, strategy=command.strategy)
        panel = self._convener.changed(panel, changes, None)
        there = run.ask.where.model_copy(update={"thread": None}) == inbound.where.model_copy(update={"thread": None})
        ask = run.ask.model_copy(
            update={
                "id": inbound.run_id or office.new_id(),
                "asked_at": office.clock(),
                "asker": inbound.asker,
                "where": run.ask.where if there else inbound.where,
                "consortium": panel.name,
                "setup": panel.setup,
                "addressed": panel.addressed,
                "event_ids": inbound.event_ids,
            }
        )
        return await self._take(ask, inbound, await office.history.materials(run.id) if run.ask.attachments else ())

    async def confirm(self, command: Confirm, inbound: Inbound) -> Run | Reply:
        """Ask what was held back. Raises like :meth:`ask`; a refusal leaves it to be confirmed later."""
        office = self._office
        await office.check(inbound, "ask")
        body = await office.drafts.take(command.draft, inbound.asker, again=True, event=inbound.run_id)
        if body is None:
            raise NotFound(_GONE)
        try:
            held = Held.model_validate_json(body)
        except ValueError:  # a form, or of another version
            raise NotFound(_GONE) from None
        there, here = held.ask.where, inbound.where
        if (there.platform, there.workspace) != (here.platform, here.workspace):
            raise NotFound(_GONE)
        await office.check(inbound.model_copy(update={"where": there}), "ask")  # wherever the button was tapped
        if held.ask.setup and (problems := convening.problems(office.catalog, held.ask.setup)):
            raise BadInput("This cannot be asked any more: " + "; ".join(problems))
        await self._checked_budgets(held.ask, inbound)
        if await office.drafts.take(command.draft, inbound.asker, event=inbound.run_id) is None:
            raise NotFound(_GONE)
        # Another id than last time: a run that could not be queued keeps its own.
        run_id = inbound.run_id or office.new_id()
        new = {"id": run_id, "asked_at": office.clock(), "event_ids": inbound.event_ids}
        ask = held.ask.model_copy(update=new)
        held = held.model_copy(update={"ask": ask})
        try:
            return await self._begin(held, await self._estimate(ask, held.materials), inbound)
        except ConsortiumError:
            with suppress(Unavailable):
                await office.drafts.keep(Draft(person=inbound.asker.id, body=body), command.draft)
            raise

    async def discard(self, command: Discard, inbound: Inbound) -> Reply:
        """Forget what was held back. Raises NotFound."""
        if await self._office.drafts.take(command.draft, inbound.asker, event=inbound.run_id) is None:
            raise NotFound(_GONE)
        return Reply(text="It was not asked, and nothing was used.")

    # --- what is queued -----------------------------------------------------------------------------

    def pending_run(self, ask: Ask) -> Run:
        """The run that an ask begins as; of an ask to one member, that member is all of its panel."""
        name = ask.consortium or "default"
        catalog = self._office.catalog
        panel = catalog.panel(ask.setup or catalog.consortia[name], ask.roles)
        return Run(
            id=ask.id,
            ask=ask,
            consortium=name,
            panel=tuple(m for m in panel if ask.addressed in (None, m.id)),
            created_at=ask.asked_at,
        )

    async def begun(self, inbound: Inbound) -> Run | None:
        """The run that an event has begun before, with all that came with its question; this process shows it from now
        on. Raises Duplicate where another one does."""
        history = self._office.history
        run = await history.run(inbound.run_id) if inbound.run_id else None
        if run is None or (run.ask.attachments and not await history.materials(run.id)):
            return None
        await self._claim(run.ask)
        return run

    # --- inside -------------------------------------------------------------------------------------

    async def _take(
        self, ask: Ask, inbound: Inbound, materials: tuple[Material, ...] = (), notes: tuple[str, ...] = ()
    ) -> Run | Reply:
        """The checks that everything to be asked goes through: it is begun, or held back until it is confirmed."""
        office = self._office
        policy = await self._checked_budgets(ask, inbound)
        await office.limits.spend(inbound.asker, inbound.where)
        materials = (*materials, *await _fetched(inbound.files))
        ask = ask.model_copy(update={"attachments": tuple(m.attachment for m in materials)})
        estimated = await self._estimate(ask, materials)
        held = Held(ask=ask, notes=notes, materials=materials)
        if not governance.asks_twice(policy, estimated):
            return await self._begin(held, estimated, inbound)
        draft = await office.drafts.keep(Draft(person=inbound.asker.id, body=held.model_dump_json()))
        return self._to_confirm(held, estimated, draft)

    async def _checked_budgets(self, ask: Ask, inbound: Inbound) -> Policy:
        """The rules here. Raises OverBudget."""
        policy = await self._office.governance.policy(ask.where)
        await self._warnings(policy, ask, inbound)
        return policy

    async def _warnings(self, policy: Policy, ask: Ask, inbound: Inbound) -> list[str]:
        """What is to be said of the budgets. Raises OverBudget."""
        if not policy.budgets:
            return []
        now, who = self._office.clock(), inbound.who.model_copy(update={"channel": ask.where.channel})
        spending = await self._office.governance.spending(ask.where, ask.asker, now)
        return governance.check(policy, spending, who, now)

    async def _estimate(self, ask: Ask, materials: tuple[Material, ...]) -> Estimate:
        catalog = self._office.catalog
        setup = ask.setup or catalog.consortia["default"]
        goes_on = ask.where.thread is not None and await self._office.history.thread_runs(ask.where, limit=1)
        if not goes_on:
            return estimate(catalog, setup, ask, 0, materials)
        earlier = await earlier_files(self._office.history, ask, ask.asked_at, materials)
        return estimate(catalog, setup, ask, setup.context_tokens, (*materials, *earlier.materials))

    async def _begin(self, held: Held, estimated: Estimate, inbound: Inbound) -> Run:
        """Reserve what a run may use, store and queue it. Raises OverBudget, Unavailable."""
        async with self._to_be_shown(held.ask):
            return await self._store(held, estimated, inbound)

    @asynccontextmanager
    async def _to_be_shown(self, ask: Ask) -> AsyncIterator[None]:
        """This process shows the run that the block begins. Raises Duplicate where another one does."""
        await self._claim(ask)
        try:
            yield
        except BaseException:
            with suppress(Unavailable):
                await self._office.claims.drop(showing(ask.id))
            raise

    async def _claim(self, ask: Ask) -> None:
        if ask.where.platform in ADOPTING and not await self._office.claims.take(showing(ask.id)):
            raise Duplicate("Another process has this event in hand.")

    async def _store(self, held: Held, estimated: Estimate, inbound: Inbound) -> Run:
        office, ask = self._office, held.ask
        policy = await office.governance.policy(ask.where)
        # Asks at the same moment would all find the same budget whole.
        async with (
            office.turn(f"budget:{ask.where.platform}:{ask.where.workspace}") if policy.budgets else nullcontext()
        ):
            warnings = await self._warnings(policy, ask, inbound)
            run = self.pending_run(ask).model_copy(update={"notes": (*held.notes, *warnings)})
            await office.governance.reserve(run, estimated)
        try:
            await office.history.open_run(run)
            if held.materials:
                await office.history.keep_materials(run.id, held.materials)
        except Unavailable:
            with suppress(Unavailable):
                await office.governance.settle(run.id, Bill())
            raise
        try:
            await office.jobs.submit(ask)
        except Unavailable as error:
            if ask.where.platform in ADOPTING:  # whoever shows it sees to it that it is queued
                log.warning("run not queued yet", run=run.id, error=str(error))
                return run
            # Nobody will work on it, so nobody must wait for it.
            ended = {"status": RunStatus.FAILED, "error": str(error), "ended_at": office.clock()}
            with suppress(Unavailable):
                await office.governance.settle(run.id, Bill())
                await office.history.update_run(run.model_copy(update=ended))
                await office.history.mark_delivered(run.id)  # the asker is told now
            raise
        return run

    def _to_confirm(self, held: Held, estimated: Estimate, draft: str) -> Reply:
        """Who would be asked, what that may use, and the two ways to go on."""
        ask = held.ask
        panel = self.pending_run(ask).panel
        catalog, setup = self._office.catalog, ask.setup
        arbiter = f", arbiter {catalog.judges(setup)[0].label}" if setup and len(panel) > 1 else ""
        text = (
            f"**Please confirm:** “{short(ask.text, 300)}”\n\nIt may use {estimate_text(estimated)}\n\n"
            f"Would be asked: {listed([m.label for m in panel])}{arbiter}. Nothing has been asked yet; the question is "
            "kept for an hour."
        )
        text = "\n\n".join([text, *held.notes])
        confirm = Button(label="Confirm", action=actions.encode(Confirm(draft=draft)), style="primary")
        cancel = Button(label="Cancel", action=actions.encode(Discard(draft=draft)))
        return Reply(text=text, buttons=((confirm, cancel),))

    async def _again_form(self, run: Run, inbound: Inbound) -> Form:
        """What to change; an empty value changes nothing."""
        office, setup = self._office, run.ask.setup
        names = await office.all_consortia(inbound.where)
        strategies = [Option(value=d.name, label=d.name, about=short(d.summary, 75)) for d in describe()]

        def choice(name: str, now: str, options: list[Option]) -> Input:
            label, hint = FIELDS[name]
            as_before = Option(value="", label=short(f"As before ({now})", 75))
            return Input(
                name=name,
                label=label,
                hint=hint,
                kind="choice",
                value=("",),
                options=(as_before, *options[: MOST_OPTIONS - 1]),
            )

        return Form(
            action=actions.encode(AskAgain(run=run.id)),
            title="Ask again",
            intro=f"“{short(run.ask.text, 300)}”",
            inputs=(
                choice("consortium", run.consortium, [Option(value=n, label=n) for n in names]),
                choice(
                    "arbiter",
                    setup.arbiter if setup else "that of the consortium",
                    [Option(value=key, label=key) for key in office.catalog.models],
                ),
                choice("strategy", setup.strategy if setup else "that of the consortium", strategies),
            ),
            submit="Ask",
        )


_GONE = (
    "There is nothing to confirm any more: a question is kept for an hour, for whoever asked it, and asked once. "
    "If it has not been asked yet, please write it anew."
)


def _question(text: str) -> str:
    """The question without space around it, and without what nobody can store. Raises BadInput."""
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "").strip()
    if not text:
        raise BadInput("There is no question. Write e.g. `ask Should remote work be the default?`")
    if len(text) > MAX_QUESTION:
        raise BadInput(f"A question has at most {MAX_QUESTION:,} characters; this one has {len(text):,}.")
    return text


async def _fetched(files: Sequence[Upload]) -> list[Material]:
    """What came along, read. Raises Refused, naming the file, or Unavailable."""
    if len(files) > MOST_FILES:
        raise BadInput(f"A question may have {MOST_FILES} files; this one has {len(files)}. Leave some out.")
    return [await attachments.read(file) for file in files]
