"""What is on record of runs: history, one run and its parts, feedback; deleting, exporting and forgetting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from core.cards import Button, Form, Input, Redraw, Reply
from core.commands.actions import encode
from core.commands.values import (
    DeleteRun,
    ExportCommand,
    Feedback,
    FeedbackReason,
    ForgetMe,
    HistoryCommand,
    Resize,
    ShowAnswers,
    ShowCharts,
    ShowCommand,
    ShowDissent,
    StopCommand,
)
from core.errors import BadInput, NotFound
from core.governance import may
from core.ports import RunSummary
from core.present.answers import answer_card, answers_reply, dissent_reply, failed_card
from core.present.figures import listed, short
from core.present.lists import history_text
from core.service.exports import export_of
from core.service.inbound import Inbound
from core.service.office import Handlers, Office
from core.types import TITLES, Chart, Run

PAGE = 10
"""Lines on a page of history."""

LOOKS, PAUSE = 20, 0.1
"""How often it is looked whether a run that is to be deleted has ended, and how many seconds apart."""

Rows = tuple[tuple[Button, ...], ...]


class RecordDesk:
    """Shows what there is. Whoever may not see a run is told that there is none."""

    def __init__(self, office: Office) -> None:
        self._office = office

    @property
    def handlers(self) -> Handlers:
        """Which command is for whom."""
        return {
            HistoryCommand: self.history,
            ShowAnswers: self.answers,
            ShowDissent: self.dissent,
            ShowCharts: self.charts,
            Resize: self.resize,
            Feedback: self.feedback,
            FeedbackReason: self.reason,
            DeleteRun: self.delete,
            ExportCommand: self.export,
            ForgetMe: self.forget,
        }

    # --- looking ------------------------------------------------------------------------------------

    async def history(self, command: HistoryCommand, inbound: Inbound) -> Reply:
        """A page of the person's own questions, with buttons that open them."""
        page, first = command.page, (command.page - 1) * PAGE
        rows = await self._office.history.page(inbound.asker, inbound.where, PAGE + 1, first, command.search)
        more, rows = len(rows) > PAGE, rows[:PAGE]
        text = history_text(rows, page, more=more, prefix=inbound.prefix, search=command.search, first=first + 1)
        return Reply(text=text, buttons=_opening(rows, first + 1) + _paging(command, more))

    async def show(self, run_id: str, inbound: Inbound) -> Reply | None:
        """A run as it was answered; None when there is none of that id that this person may see here."""
        run = await self._office.history.visible(_id(run_id), inbound.asker, inbound.where)
        if run is None:
            return None
        head = f"> {short(run.ask.text, 500)}"
        if not _answered(run) and not run.status.over:
            stop = Button(label="Stop", action=encode(StopCommand(run=run.id)), style="danger")
            return Reply(text=f"{head}\n\nThis one is still running.", buttons=((stop,),))
        card = answer_card(run, long=True) if _answered(run) else failed_card(run, run.error or "There is no answer.")
        # What is shown here is whole, and no answer in a thread that could be drawn anew.
        rows = [[b for b in row if not b.action.startswith("resize:")] for row in card.buttons]
        opinion = [button for button in (card.good, card.bad) if button]
        own = [_delete_button(run)] if _own(run, inbound) else []
        return Reply(
            text=f"{head}\n\n{card.markdown()}",
            buttons=tuple(tuple(row) for row in (*rows, [*opinion, *own]) if row),
        )

    async def answers(self, command: ShowAnswers, inbound: Inbound) -> Reply:
        """Every member's own answer."""
        return answers_reply(await self._visible(command.run, inbound), command.page)

    async def dissent(self, command: ShowDissent, inbound: Inbound) -> Reply:
        """Who holds what, ranking, the arbiter's reasons."""
        run = await self._visible(command.run, inbound)
        if not _answered(run):
            raise NotFound(_no_answer(run))
        return dissent_reply(run)

    async def charts(self, command: ShowCharts, inbound: Inbound) -> Reply:
        """Every chart of a run, polarity and radar included; drawn now where they are not on record."""
        run = await self._visible(command.run, inbound)
        if not _answered(run):
            raise NotFound(_no_answer(run))
        if len(run.answers) < 2:
            return Reply(text="Only one member answered: there is nothing to compare, so there are no charts.")
        pictures = await self._pictures(run)
        titles = listed([chart.title[0].lower() + chart.title[1:] for chart in pictures])
        return Reply(text=f"**Charts** of `{run.id}`: {titles}.", pictures=pictures, key=f"charts-{run.id}")

    async def resize(self, command: Resize, inbound: Inbound) -> Redraw:
        """The answer short or long, in place."""
        run = await self._visible(command.run, inbound)
        if not _answered(run):
            raise NotFound(_no_answer(run))
        return Redraw(run=run, long=command.long)

    # --- feedback -----------------------------------------------------------------------------------

    async def feedback(self, command: Feedback, inbound: Inbound) -> Reply | Form:
        """Store what the person thinks; of a bad answer ask why."""
        run = await self._visible(command.run, inbound)
        if not _answered(run):
            raise BadInput(_no_answer(run))
        await self._office.lessons.feedback(run.id, inbound.asker, command.good)
        if command.good:
            return Reply(text=f"Thank you. {await self._opinions(run.id)}")
        why = Input(
            name="reason",
            label="What is wrong with it?",
            kind="lines",
            hint="e.g. a mistake, something that is missing, too long",
            max_length=1000,
        )
        return Form(
            action=encode(FeedbackReason(run=run.id)),
            title="Not a good answer",
            inputs=(why,),
            submit="Send",
            intro="It is noted that you found this answer bad. To say why is up to you.",
        )

    async def reason(self, command: FeedbackReason, inbound: Inbound) -> Reply:
        """Store why an answer was bad."""
        run = await self._visible(command.run, inbound)
        reason = command.reason.strip() or None
        await self._office.lessons.feedback(run.id, inbound.asker, False, reason)
        thanks = "Thank you, your reason is stored." if reason else "Thank you, it is noted."
        return Reply(text=f"{thanks} {await self._opinions(run.id)}")

    async def _opinions(self, run_id: str) -> str:
        opinions = await self._office.lessons.opinions(run_id)
        good = sum(opinion.good for opinion in opinions)
        if len(opinions) == 1:
            return f"So far you alone have said something: {'good' if good else 'bad'}."
        return f"{good} of the {len(opinions)} who said something found this answer good."

    # --- deleting -----------------------------------------------------------------------------------

    async def delete(self, command: DeleteRun, inbound: Inbound) -> Reply:
        """Delete a run of the person's own, once it is confirmed; administrators may delete any of their workspace."""
        office = self._office
        run = await self._deletable(command.run, inbound)
        if not command.confirmed:
            question = f": “{short(run.ask.text, 200)}”" if _own(run, inbound) else f" of {_name(run)}"
            text = (
                f"Delete run `{run.id}`{question}? Its answers, charts, files and what people thought of it go with "
                "it. This cannot be undone."
            )
            return Reply(text=text, buttons=((_delete_button(run, confirmed=True),),))
        await self._end([run], f"Deleted by {inbound.asker.name or inbound.asker.id}.")
        await office.history.delete(run.id)
        if not _own(run, inbound):
            await office.governance.note(inbound.where, inbound.asker, "delete", f"run {run.id} of {_name(run)}")
        return Reply(text=f"Run `{run.id}` is deleted. What stands in a thread stays there until you delete it there.")

    async def export(self, command: ExportCommand, inbound: Inbound) -> Reply:
        """All of the person's runs as a file."""
        runs = await self._office.history.own(inbound.asker, inbound.where)
        if not runs:
            return Reply(text="There is nothing of yours on record here.")
        now = self._office.clock()
        download = await asyncio.to_thread(export_of, runs, inbound.asker, inbound.where, now)
        return Reply(
            text=f"Your {len(runs)} {'runs' if len(runs) > 1 else 'run'} of this workspace, as JSON, private ones "
            "included. Charts and files that you sent along are not in it.",
            download=download,
        )

    async def forget(self, command: ForgetMe, inbound: Inbound) -> Reply:
        """Delete everything of the person's, once it is confirmed."""
        office = self._office
        runs = await office.history.own(inbound.asker, inbound.where)
        many = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
        if not command.confirmed:
            confirm = Button(label="Delete it all", action=encode(ForgetMe(confirmed=True)), style="danger")
            first = Button(label="Export it first", action=encode(ExportCommand()))
            text = (
                f"Delete everything of yours in this workspace? That is {many} with answers, charts and files, what "
                f"you thought of answers, and your settings in all channels. {REMAINS} This cannot be undone."
            )
            return Reply(text=text, buttons=((confirm, first),))
        await self._end(runs, "Its asker has everything deleted.")
        await office.history.delete(*(run.id for run in runs))
        await office.lessons.withdraw(inbound.asker, inbound.where)
        await office.sessions.forget(inbound.asker, inbound.where)
        return Reply(text=f"Everything of yours in this workspace is deleted: {many}, and your settings. {REMAINS}")

    # --- inside -------------------------------------------------------------------------------------

    async def _visible(self, run_id: str, inbound: Inbound) -> Run:
        run = await self._office.history.visible(_id(run_id), inbound.asker, inbound.where)
        if run is None:
            raise NotFound(f"There is no run `{_id(run_id)}` that you can see here. `history` lists yours.")
        return run

    async def _deletable(self, run_id: str, inbound: Inbound) -> Run:
        """Raises NotFound or NotAllowed."""
        office, where = self._office, inbound.where
        run = await office.history.visible(_id(run_id), inbound.asker, where)
        if run and _own(run, inbound):
            return run
        policy = await office.governance.policy(where)
        if run is None and may(policy, inbound.who, "admin"):
            run = await office.history.run(_id(run_id))
            here = run and (run.ask.where.platform, run.ask.where.workspace) == (where.platform, where.workspace)
            run = run if here else None
        if run is None:
            raise NotFound(f"There is no run `{_id(run_id)}` of yours that can be deleted from here.")
        await office.check(inbound, "admin")
        return run

    async def _end(self, runs: Sequence[Run], reason: str) -> None:
        """Have runs end that still go on, and wait until their threads can be told so, but not for long: a run that is
        deleted while it goes on stays deleted."""
        going = [run.id for run in runs if not run.status.over]
        for run_id in going:
            await self._office.stops.request(run_id, reason)
        for _ in range(LOOKS):
            stored = [await self._office.history.run(run_id) for run_id in going]
            going = [run.id for run in stored if run and not run.status.over]
            if not going:
                return
            await asyncio.sleep(PAUSE)

    async def _pictures(self, run: Run) -> tuple[Chart, ...]:
        """All kinds of charts, those on record before those drawn now. Raises Unavailable."""
        found = {chart.kind: chart for chart in await self._office.history.charts(run.id)}
        if set(found) != set(TITLES):
            analyst, analysis = self._office.analyst, run.analysis
            if analysis is None:
                analysis = (await analyst.study(run.answers, run.panel, charts=False)).analysis
            drawn = await analyst.draw(run.rounds, analysis, run.panel)
            found = {chart.kind: chart for chart in drawn} | found
        return tuple(found[kind] for kind in TITLES if kind in found)


REMAINS = (
    "What remains: how much was used, without any text, until the month is over, so that budgets hold; what "
    "administrators have changed, in the audit log; what was on its way between processes, for a day at the most; and "
    "messages in your threads, which you can delete there."
)


def _id(run_id: str) -> str:
    return run_id[:40].replace("`", "")


def _own(run: Run, inbound: Inbound) -> bool:
    asker, where, now_at = run.ask.asker, run.ask.where, inbound.where
    return (asker.id, where.platform, where.workspace) == (inbound.asker.id, now_at.platform, now_at.workspace)


def _answered(run: Run) -> bool:
    """Whether its answer stands: one that was stopped in a later round has a verdict, but of a round before."""
    return run.answered_at is not None and run.verdict is not None


def _name(run: Run) -> str:
    return run.ask.asker.name or f"`{run.ask.asker.id}`"


def _no_answer(run: Run) -> str:
    return f"Run `{run.id}` {'has no answer' if run.status.over else 'is still running'}."


def _delete_button(run: Run, *, confirmed: bool = False) -> Button:
    action = encode(DeleteRun(run=run.id, confirmed=confirmed))
    return (
        Button(label="Delete it", action=action, style="danger") if confirmed else Button(label="Delete", action=action)
    )


def _opening(rows: Sequence[RunSummary], first: int) -> Rows:
    """A numbered button a run, in rows of five."""
    buttons = [
        Button(label=str(number), action=encode(ShowCommand(what=row.id))) for number, row in enumerate(rows, first)
    ]
    return tuple(tuple(buttons[start : start + 5]) for start in range(0, len(buttons), 5))


def _paging(command: HistoryCommand, more: bool) -> Rows:
    """Newer and older; none where the search has too many words for a button: the text tells how to write it."""
    wanted = [("Newer", command.page - 1)] if command.page > 1 else []
    wanted += [("Older", command.page + 1)] if more else []
    try:
        row = tuple(
            Button(label=label, action=encode(HistoryCommand(page=page, search=command.search)))
            for label, page in wanted
        )
    except ValueError:
        return ()
    return (row,) if row else ()
