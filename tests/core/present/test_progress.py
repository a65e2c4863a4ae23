from __future__ import annotations

from core.cards import Tone
from core.commands.actions import decode
from core.commands.values import StopCommand
from core.delivery import RunView
from core.events import ArbiterStarted, MemberEnded, MembersAsked, RunEnded, RunStarted, TextDelta
from core.present.progress import progress_card
from core.types import Failure, FailureKind, Member, Response, RunStatus

A, B, C, D = (Member(id=key, model=key) for key in "abcd")
JUDGE = Member(id="j", model="j", simulated=True)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_shows_each_member_how_long_it_takes_and_the_text_so_far() -> None:
    clock = Clock()
    view = RunView(run_id="r1", clock=clock)
    view.apply(RunStarted(round=2, max_rounds=3, panel=(A, B, C.model_copy(update={"role": "Rawlsian"}))))
    clock.now += 4
    view.apply(MembersAsked(round=2, members=(D,)))
    view.apply(MemberEnded(round=2, outcome=Response(member=A, text="Yes.", seconds=1.25)))
    view.apply(MemberEnded(round=2, outcome=Failure(member=B, kind=FailureKind.TIMEOUT, detail="slow")))
    clock.now += 8.4
    view.apply(ArbiterStarted(round=2, judge=JUDGE))
    view.apply(TextDelta(text="Half a senten"))
    card = progress_card(view, clock() + 2)
    assert card.tone is Tone.RUNNING
    assert card.status == "Asking 4 members · 2 done · round 2 of at most 3"
    assert card.body == "Half a senten"
    assert card.sections[0].lines == (
        "✅ a: answered in 1.2 s",
        "❌ b: timed out",
        "⏳ c as Rawlsian: thinking, 14 s",
        "⏳ d: thinking, 10 s",
        "✍️ j (simulated) is weighing the answers, 2 s",
    )
    (button,) = card.buttons[0]
    assert decode(button.action) == StopCommand(run="r1")


def test_a_run_that_was_stopped_has_nobody_thinking() -> None:
    view = RunView(run_id="r1", clock=Clock())
    view.apply(RunStarted(round=1, max_rounds=1, panel=(A, B)))
    view.apply(MemberEnded(round=1, outcome=Response(member=A, text="Yes.", seconds=1.25)))
    view.apply(ArbiterStarted(round=1, judge=JUDGE))
    view.apply(RunEnded(status=RunStatus.CANCELLED, error="Stopped by Ana."))
    card = progress_card(view, 130.0)
    assert card.sections[0].lines == (
        "✅ a: answered in 1.2 s",
        "⏹️ b: stopped",
        "⏹️ j (simulated), weighing the answers: stopped",
    )
    assert card.buttons == ()
    assert not view.waiting


def test_a_round_begins_with_nobody_done() -> None:
    view = RunView(clock=Clock())
    view.apply(RunStarted(round=1, max_rounds=2, panel=(A,)))
    view.apply(ArbiterStarted(round=1, judge=JUDGE))
    view.apply(TextDelta(text="Old."))
    view.apply(RunStarted(round=2, max_rounds=2, panel=(A,), kind="reviews"))
    card = progress_card(view, 103.0)
    assert card.status == "1 member ranks each other's answers · 0 done · round 2 of at most 2"
    assert (card.body, card.sections[0].lines) == ("", ("⏳ a: thinking, 3 s",))
    assert card.buttons == (), "nothing to stop while nobody knows which run it is"


def test_a_member_whose_asking_nobody_saw_is_thinking_all_the_same() -> None:
    card = progress_card(RunView(run_id="r1", panel=(A,)), 5.0)
    assert card.sections[0].lines == ("⏳ a: thinking",)
    assert progress_card(RunView(run_id="r1"), 5.0).sections == ()


def test_progress_keeps_a_long_role_short() -> None:
    view = RunView(panel=(A.model_copy(update={"role": "a very careful person " * 20}),))
    (line,) = progress_card(view, 0.0).sections[0].lines
    assert line.startswith("⏳ a as a very careful person")
    assert line.endswith("…: thinking")
    assert len(line) < 90
