from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from adapters.history import SqlHistory
from adapters.state.state import State
from core.asks import Ask, Platform, ThreadRef
from core.attachments import MOST_CHARACTERS
from core.catalog import Catalog
from core.errors import ModelError, Unavailable
from core.events import Answered, ChartsDrawn, MemberEnded, RoundEnded, RunEnded, RunEvent, RunStarted, TextDelta
from core.journal import Journal
from core.runner import Runner
from core.types import Agreement, FailureKind, Response, Round, Run, RunStatus, Study, Verdict, VerdictSource
from core.votes.trust import Experience
from tests.core.fakes import (
    HANG,
    START,
    FakeAnalyst,
    FakeModel,
    Step,
    catalog,
    make_ask,
    make_engine,
    make_run,
    office,
    panel_models,
    picture,
    text_file,
    verdict,
)
from tests.databases import new_database

DOWN = Step(ModelError(FailureKind.REFUSED, "no such model"))


DOUBTED = Step(verdict("Hm.", stances="disagree"))


class Works:
    """A runner on real history and events."""

    def __init__(self, state: State, history: SqlHistory, models: dict[str, FakeModel] | None = None) -> None:
        self.state, self.history = state, history
        self.catalog: Catalog = catalog()
        self.models = models or panel_models()
        self.analyst = FakeAnalyst()

    def runner(self, **parts: Any) -> Runner:
        engine = make_engine(self.catalog, parts.pop("models", self.models), analyst=self.analyst)
        shared = office(self.catalog, self.state, self.history, **{"analyst": self.analyst, **parts})
        return Runner(engine, shared)

    async def run(self, ask: Ask | None = None, **parts: Any) -> Run:
        """Run an ask to its end and return it as stored."""
        ask = ask or make_ask()
        await self.history.open_run(make_run(self.catalog, ask))
        await self.runner(**parts).run(ask)
        return await self.stored(ask.id)

    async def stored(self, run_id: str = "r1") -> Run:
        run = await self.history.run(run_id)
        assert run
        return run

    async def events(self, run_id: str = "r1") -> list[RunEvent]:
        """All that was announced; ends because the run has ended."""
        async with asyncio.timeout(10):
            return [event async for event in self.state.events.follow(run_id)]

    def calls(self, *keys: str) -> list[int]:
        return [len(self.models[key].prompts) for key in keys]


@pytest.fixture
def works(state: State, history: SqlHistory) -> Works:
    return Works(state, history)


async def test_a_run_is_stored_and_announced_from_start_to_end(works: Works) -> None:
    works.models["b"].steps = [DOWN]
    run = await works.run()
    assert run.status is RunStatus.DONE
    assert run.verdict
    assert run.verdict.synthesis == "Yes."
    assert [(o.member.id, o.type) for o in run.rounds[0].outcomes] == [
        ("a", "response"),
        ("b", "failure"),
        ("c", "response"),
    ]
    assert run.analysis
    assert run.answered_at
    assert run.ended_at
    assert [c.png for c in await works.history.charts("r1")] == [b"png of a says yes."]
    events = await works.events()
    kinds = [e.type for e in events if not isinstance(e, TextDelta)]
    assert kinds == [
        *("run_started", "member_ended", "member_ended", "member_ended", "arbiter_started"),
        *("round_ended", "answered", "charts_drawn", "run_ended"),
    ]
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Yes."


class Watched(SqlHistory):
    """Keeps what was stored whenever the status became final."""

    seen: Run | None = None

    async def update_run(self, run: Run) -> None:
        if run.status in (RunStatus.DONE, RunStatus.FAILED):
            self.seen = await self.run(run.id)
        await super().update_run(run)


async def test_history_is_complete_before_the_run_is_marked_as_done(state: State, tmp_path: Any) -> None:
    async with (watched := Watched(new_database(tmp_path / "watched.db"))):
        done = await Works(state, watched).run()
    seen = watched.seen
    assert seen
    assert seen.status is RunStatus.RUNNING
    assert (seen.rounds, seen.analysis, seen.bill) == (done.rounds, done.analysis, done.bill)
    assert seen.answered_at == done.answered_at


async def test_what_is_stored_is_what_was_answered_in_the_order_of_the_panel(works: Works) -> None:
    works.catalog = catalog(max_iterations=2)
    works.models.update(
        panel_models(
            a=Step("A", after=0.2),
            b=Step("B", after=0.1),
            c=[Step("C"), DOWN],
            j=[DOUBTED, Step(verdict())],
        )
    )
    run = await works.run()
    answered = next(e for e in await works.events() if isinstance(e, Answered))
    assert run.rounds == answered.run.rounds
    assert [[o.member.id for o in r.outcomes] for r in run.rounds] == [["a", "b", "c"]] * 2


async def test_all_members_down_is_a_failed_run_with_reasons(works: Works) -> None:
    works.models.update(panel_models(a=DOWN, b=DOWN, c=DOWN))
    run = await works.run()
    assert run.status is RunStatus.FAILED
    assert (run.error or "").count("no such model") == 3
    assert len(run.rounds[0].failures) == 3
    last = (await works.events())[-1]
    assert last == RunEnded(status=RunStatus.FAILED, error=run.error)


async def test_a_run_that_has_ended_is_not_run_again(works: Works) -> None:
    await works.run()
    await works.runner().run(make_ask())
    assert works.calls("a", "j") == [1, 1]
    assert [e.type for e in await works.events()].count("run_ended") == 1


async def test_roles_that_a_strategy_deals_are_stored_with_the_panel(works: Works) -> None:
    works.catalog = catalog(strategy="role", params={"roles": ["Rawlsian"]})
    run = await works.run()
    assert [m.role for m in run.panel] == ["Rawlsian", "Generator", "Devil's Advocate"]
    assert [o.member for o in run.rounds[0].outcomes] == list(run.panel)


async def test_what_earlier_runs_taught_weighs_the_votes(works: Works) -> None:
    works.catalog = catalog(strategy="voting")
    says = {"a": "4", "b": "5", "c": "5"}
    works.models.update({key: FakeModel(key, [Step(f"Final answer: {answer}")]) for key, answer in says.items()})
    assert (await works.run()).synthesis == "**5**"
    for n in range(12):
        ask = make_ask(id=f"before{n}")
        await works.history.open_run(make_run(works.catalog, ask))
        await works.runner().run(ask)
        await works.history.lessons.label(ask.id, answer="4")
    run = await works.run(make_ask(id="after"))
    assert run.synthesis == "**4**"
    assert run.verdict
    assert run.verdict.agreement == Agreement(agree=1, total=3), "confidence goes by heads"


async def test_without_lessons_a_run_goes_on(works: Works) -> None:
    class Away:
        async def experience(self, consortium: str) -> Experience:
            raise Unavailable("The database does not answer.")

    assert (await works.run(lessons=Away())).status is RunStatus.DONE


# --- charts ---------------------------------------------------------------------------------------------


async def test_without_charts_nothing_is_analysed(works: Works) -> None:
    run = await works.run(make_ask(charts=False))
    assert run.analysis is None
    assert works.analyst.drawn == 0
    answered = next(e for e in await works.events() if isinstance(e, Answered))
    assert not answered.charts_follow


async def test_one_answer_has_a_sentence_in_place_of_charts(works: Works) -> None:
    works.models.update(panel_models(b=DOWN, c=DOWN))
    await works.run()
    drawn = next(e for e in await works.events() if isinstance(e, ChartsDrawn))
    assert (drawn.kinds, drawn.note) == ((), "Only a answered: there is nothing to compare.")


@pytest.mark.parametrize("error", [Unavailable("no processes"), ValueError("secret insides")], ids=repr)
async def test_an_analysis_that_breaks_costs_the_charts_and_not_the_answer(works: Works, error: Exception) -> None:
    works.analyst.error = error
    run = await works.run()
    assert (run.status, run.error) == (RunStatus.DONE, None)
    assert run.verdict
    assert run.analysis is None
    drawn = next(e for e in await works.events() if isinstance(e, ChartsDrawn))
    assert (drawn.note or "").startswith("No charts: ")
    assert "secret" not in str(await works.events())


# --- a thread's conversation ----------------------------------------------------------------------------


async def test_a_follow_up_knows_its_thread_and_nothing_else(works: Works) -> None:
    thread = ThreadRef(platform=Platform.WEB, workspace="w", channel="c", thread="t1")
    for n, where in enumerate([thread, thread.model_copy(update={"thread": "t2"}), thread]):
        ask = make_ask(f"word{n}", id=f"r{n}", where=where)
        run = make_run(works.catalog, ask).model_copy(update={"created_at": START + timedelta(seconds=n)})
        await works.history.open_run(run)
        await works.runner().run(ask)
    _, asked, said, then = works.models["a"].prompts[-1].messages
    assert [(m.role, m.content) for m in (asked, said)] == [("user", "word0"), ("assistant", "a says yes.")]
    assert then.content.startswith("This is the answer that the whole panel then gave. What stands between marks")
    assert then.content.endswith("<<EARLIER answer f00d>>\nYes.\n<<END answer f00d>>\n\nword2")
    assert "Asked: word0\nAnswered: Yes." in works.models["j"].prompts[-1].messages[-1].content


async def test_what_came_with_the_question_reaches_who_can_read_it(works: Works) -> None:
    seeing = works.catalog.models["b"].model_copy(update={"vision": True})
    works.catalog = works.catalog.model_copy(update={"models": {**works.catalog.models, "b": seeing}})
    materials = (text_file(), picture())
    ask = make_ask(attachments=tuple(m.attachment for m in materials))
    await works.history.open_run(make_run(works.catalog, ask))
    await works.history.keep_materials(ask.id, materials)
    await works.runner().run(ask)
    shown = {key: works.models[key].prompts[0].messages[-1] for key in "abcj"}
    assert all("Bern is the capital." in shown[key].content for key in "abc")
    assert "Bern" not in shown["j"].content
    assert "[Attached, and shown to the members alone: notes.txt, photo.png]\n<<END QUESTION" in shown["j"].content
    assert [bool(shown[key].pictures) for key in "abcj"] == [False, True, False, False]
    assert (await works.stored()).notes == ("Only b can see photo.png.",)


async def test_files_of_earlier_questions_are_shown_again_as_far_as_there_is_room(works: Works) -> None:
    thread = ThreadRef(platform=Platform.WEB, workspace="w", channel="c", thread="t1")
    bern, tome = text_file(), text_file()
    tome = tome.model_copy(
        update={"text": "x" * MOST_CHARACTERS, "attachment": tome.attachment.model_copy(update={"name": "tome.txt"})}
    )
    for n, (where, materials) in enumerate(
        [(thread, (tome,)), (thread.model_copy(update={"thread": "t2"}), (picture(),)), (thread, (bern,)), (thread, ())]
    ):
        ask = make_ask(id=f"r{n}", where=where, attachments=tuple(m.attachment for m in materials))
        run = make_run(works.catalog, ask).model_copy(update={"created_at": START + timedelta(seconds=n)})
        await works.history.open_run(run)
        await works.history.keep_materials(ask.id, materials)
        await works.runner().run(ask)
    shown = works.models["a"].prompts[-1].messages[-1].content
    assert "This file came with the question or earlier ones." in shown
    assert "notes.txt, of an earlier question:\nBern is the capital." in shown
    assert "xxx" not in shown
    assert "photo" not in shown
    stored = await works.history.run("r3")
    assert stored
    assert stored.notes == (
        "The members were shown files of earlier questions too: notes.txt.",
        "Of earlier questions, not shown again for want of room: tome.txt. Attach what matters anew.",
    )


async def test_one_member_alone_is_asked_without_an_arbiter_or_a_vote(works: Works) -> None:
    works.catalog = catalog(strategy="voting", min_iterations=2, max_iterations=3)
    works.models["b"].steps = [Step("Because. Final answer: 4")]
    run = await works.run(make_ask(addressed="b"))
    assert works.calls("a", "b", "c", "j") == [0, 1, 0, 0]
    assert run.verdict
    assert (run.verdict.source, run.synthesis) == (VerdictSource.ONLY, "Because. Final answer: 4")
    assert (run.verdict.agreement, run.verdict.ballot, run.verdict.confidence) == (None, None, None)
    assert not await works.history.lessons.standings()
    drawn = next(e for e in await works.events() if isinstance(e, ChartsDrawn))
    assert (drawn.kinds, drawn.note) == ((), "b alone was asked: there is nothing to compare.")


# --- taking over ----------------------------------------------------------------------------------------


async def recorded(works: Works, count: int) -> None:
    """Wait until so many outcomes are stored."""
    for _ in range(1000):
        stored = await works.history.run("r1")
        if stored and sum(len(r.outcomes) for r in stored.rounds) >= count:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_a_run_that_is_cut_off_goes_on_from_what_is_paid_for(works: Works) -> None:
    works.catalog = catalog(quorum=1)
    works.models["c"].steps = [HANG, Step("c at last.")]
    task = asyncio.create_task(works.run())
    await recorded(works, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cut = await works.stored()
    assert cut.status is not RunStatus.FAILED, "it is handed over"
    assert works.models["c"].cancelled == 1

    await works.runner().run(make_ask())
    run = await works.stored()
    assert works.calls("a", "b", "c", "j") == [1, 1, 2, 1]
    assert [r.text for r in run.rounds[0].responses] == ["a says yes.", "b says yes.", "c at last."]
    assert run.status is RunStatus.DONE
    shown = works.models["j"].prompts[0].messages[-1].content
    assert all(text in shown for text in ("a says yes.", "b says yes.", "c at last."))


async def test_a_run_cut_off_in_a_later_round_keeps_the_rounds_before(works: Works) -> None:
    works.catalog = catalog(quorum=1, max_iterations=2)
    works.models.update(
        panel_models(
            a=[Step("a first."), HANG, Step("a again.")],
            j=[DOUBTED, Step(verdict("Sure."))],
        )
    )
    task = asyncio.create_task(works.run())
    await recorded(works, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await works.runner().run(make_ask())
    run = await works.stored()
    assert works.calls("a", "b", "c", "j") == [3, 2, 2, 2]
    assert [r.verdict.synthesis for r in run.rounds if r.verdict] == ["Hm.", "Sure."]


async def test_a_run_cut_off_behind_its_answer_only_lacks_the_charts(works: Works) -> None:
    class Stuck(FakeAnalyst):
        async def study(self, *args: Any, **kwargs: Any) -> Study:
            await asyncio.Event().wait()
            raise AssertionError

    task = asyncio.create_task(works.run(analyst=Stuck()))
    async with asyncio.timeout(10):
        async for event in works.state.events.follow("r1"):
            if isinstance(event, Answered):
                break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await works.runner().run(make_ask())
    run = await works.stored()
    assert works.calls("a", "b", "c", "j") == [1, 1, 1, 1]
    assert run.status is RunStatus.DONE
    assert run.analysis
    first, second = (e for e in await works.events() if isinstance(e, Answered))
    assert first.run == second.run.model_copy(update={"status": first.run.status})


# --- when our own parts break ---------------------------------------------------------------------------


async def test_a_run_that_breaks_says_so_without_its_insides(works: Works) -> None:
    works.catalog = catalog()
    ask = make_ask()
    run = make_run(works.catalog, ask)
    await works.history.open_run(run)
    gone = run.panel[0].model_copy(update={"model": "gone"})
    await works.history.update_run(run.model_copy(update={"panel": (gone,)}))
    await works.runner().run(ask)
    stored = await works.stored()
    assert stored.status is RunStatus.FAILED
    assert "r1" in (stored.error or "")
    assert not any(word in (stored.error or "") for word in ("gone", "KeyError", "Traceback", ".py"))
    assert (await works.events())[-1] == RunEnded(status=RunStatus.FAILED, error=stored.error)


async def test_a_round_that_is_told_twice_keeps_its_last_verdict(state: State, tmp_path: Any) -> None:
    class Late(SqlHistory):
        async def record_round(self, run_id: str, round_: Round) -> None:
            if round_.verdict is None:
                await asyncio.sleep(0.1)
            await super().record_round(run_id, round_)

    async with Late(new_database(tmp_path / "late.db")) as history:
        run = make_run(catalog())
        await history.open_run(run)
        outcome = Response(member=run.panel[0], text="Yes.", seconds=1)
        verdict = Verdict(source=VerdictSource.VOTE, judge=run.panel[0], synthesis="Yes.")
        async with Journal(run, history, state.events) as journal:
            journal.emit(MemberEnded(round=1, outcome=outcome))
            journal.emit(RoundEnded(round=1, verdict=None))
            journal.emit(RoundEnded(round=1, verdict=verdict))
        stored = await history.run(run.id)
    assert stored
    assert stored.synthesis == "Yes."


class Flaky:
    """Events whose channel is away when the answer is to be announced, once."""

    def __init__(self, state: State) -> None:
        self._events, self.away = state.events, True

    async def publish(self, run_id: str, *events: RunEvent) -> None:
        if self.away and any(isinstance(e, Answered) for e in events):
            self.away = False
            raise Unavailable("Redis does not answer")
        await self._events.publish(run_id, *events)

    def follow(self, run_id: str) -> Any:
        return self._events.follow(run_id)


async def test_an_answer_that_stands_survives_a_broken_announcement(works: Works) -> None:
    run = await works.run(events=Flaky(works.state))
    assert (run.status, run.error) == (RunStatus.DONE, None)
    assert run.verdict
    assert run.bill.calls == 4
    assert [e.type for e in await works.events()][-3:] == ["answered", "charts_drawn", "run_ended"]


async def test_a_run_that_nobody_can_be_told_of_is_answered_all_the_same(works: Works) -> None:
    class Away(Flaky):
        async def publish(self, run_id: str, *events: RunEvent) -> None:
            raise Unavailable("Redis does not answer")

    run = await works.run(events=Away(works.state))
    assert (run.status, run.error) == (RunStatus.DONE, None)
    assert run.synthesis == "Yes."
    assert run.ended_at
    assert [chart.png for chart in await works.history.charts("r1")] == [b"png of a says yes."]


async def test_what_came_is_stored_while_nobody_can_be_told(works: Works) -> None:
    silent, stored = asyncio.Event(), asyncio.Event()

    class Silent(Flaky):
        async def publish(self, run_id: str, *events: RunEvent) -> None:
            silent.set()
            await stored.wait()

    run = make_run(works.catalog, make_ask())
    await works.history.open_run(run)
    async with Journal(run, works.history, Silent(works.state)) as journal:
        journal.emit(RunStarted(round=1, max_rounds=1, panel=run.panel))
        await silent.wait()
        for member in run.panel:
            journal.emit(MemberEnded(round=1, outcome=Response(member=member, text="Yes.", seconds=1.0)))
        async with asyncio.timeout(5):
            while sum(len(r.outcomes) for r in (await works.stored()).rounds) < 3:  # noqa: ASYNC110 - tells nobody
                await asyncio.sleep(0.01)
        stored.set()


async def test_a_run_whose_turn_comes_while_the_database_is_away_waits_for_it(
    state: State, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.runner.TURN_PAUSE", 0.01)

    class Away(SqlHistory):
        left = 3

        async def run(self, run_id: str) -> Run | None:
            self.left -= 1
            if self.left >= 0:
                raise Unavailable("The database does not answer.")
            return await super().run(run_id)

    async with Away(new_database(tmp_path / "away.db")) as history:
        run = await Works(state, history).run()
    assert (run.status, run.synthesis) == (RunStatus.DONE, "Yes.")


async def test_a_history_that_is_away_is_told_to_those_who_watch(state: State, tmp_path: Any) -> None:
    class Away(SqlHistory):
        away = False

        async def update_run(self, run: Run) -> None:
            raise Unavailable("The database does not answer.")

    async with Away(new_database(tmp_path / "away.db")) as history:
        works = Works(state, history)
        await works.run()
        last = (await works.events())[-1]
    assert last == RunEnded(status=RunStatus.FAILED, error="The database does not answer.")


async def test_outcomes_are_stored_before_they_are_announced(state: State, tmp_path: Any) -> None:
    async with SqlHistory(new_database(tmp_path / "x.db")) as history:
        known: list[tuple[RunEvent, Sequence[Round]]] = []

        class Checked(Flaky):
            async def publish(self, run_id: str, *events: RunEvent) -> None:
                stored = await history.run(run_id)
                assert stored
                known.extend((event, stored.rounds) for event in events)
                await super().publish(run_id, *events)

        events = Checked(state)
        events.away = False
        await Works(state, history).run(events=events)
    told = [(event.outcome, rounds[0].outcomes) for event, rounds in known if isinstance(event, MemberEnded)]
    assert len(told) == 3
    assert all(outcome in stored for outcome, stored in told)
