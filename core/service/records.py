"""What is on record of runs: history, one run and its parts, feedback; deleting, exporting and forgetting."""

from __future__ import annotations

from core.cards import Form, Redraw, Reply
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
    ShowDissent,
)
from core.present.lists import history_text
from core.service.inbound import Inbound
from core.service.office import Handlers, Office

PAGE = 10
"""Lines on a page of history."""


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

    async def history(self, command: HistoryCommand, inbound: Inbound) -> Reply:
        """A page of the person's own questions."""
        page = command.page
        rows = await self._office.history.page(
            inbound.asker, inbound.where, PAGE + 1, (page - 1) * PAGE, command.search
        )
        return Reply(text=history_text(rows[:PAGE], page, more=len(rows) > PAGE, prefix=inbound.prefix))

    async def show(self, run_id: str, inbound: Inbound) -> Reply | None:
        """A run as it was answered; None when there is none of that id that this person may see here."""
        raise NotImplementedError

    async def answers(self, command: ShowAnswers, inbound: Inbound) -> Reply:
        """Every member's own answer."""
        raise NotImplementedError

    async def dissent(self, command: ShowDissent, inbound: Inbound) -> Reply:
        """Who holds what, ranking, the arbiter's reasons."""
        raise NotImplementedError

    async def charts(self, command: ShowCharts, inbound: Inbound) -> Reply:
        """Every chart of a run, polarity and radar included; drawn now where they are not on record."""
        raise NotImplementedError

    async def resize(self, command: Resize, inbound: Inbound) -> Redraw:
        """The answer short or long, in place."""
        raise NotImplementedError

    async def feedback(self, command: Feedback, inbound: Inbound) -> Reply | Form:
        """Store what the person thinks; of a bad answer ask why."""
        raise NotImplementedError

    async def reason(self, command: FeedbackReason, inbound: Inbound) -> Reply:
        """Store why an answer was bad."""
        raise NotImplementedError

    async def delete(self, command: DeleteRun, inbound: Inbound) -> Reply:
        """Delete a run of the person's own, once it is confirmed."""
        raise NotImplementedError

    async def export(self, command: ExportCommand, inbound: Inbound) -> Reply:
        """All of the person's runs as a file."""
        raise NotImplementedError

    async def forget(self, command: ForgetMe, inbound: Inbound) -> Reply:
        """Delete everything of the person's, once it is confirmed."""
        raise NotImplementedError
