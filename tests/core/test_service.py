from __future__ import annotations

import random
import re
from typing import Any

import pytest

from adapters.history import SqlHistory
from adapters.state.state import State
from core.asks import Ask, Person, Platform, ThreadRef
from core.cards import Reply
from core.catalog import LimitSpec
from core.commands.values import (
    AskCommand,
    AssignRole,
    ClearRoles,
    Command,
    HelpCommand,
    HistoryCommand,
    ModelsCommand,
    RolesCommand,
    ShuffleRoles,
)
from core.errors import BadInput, Duplicate, NotFound, RateLimited, Unavailable
from core.service import MAX_QUESTION, PAGE, Inbound, Service
from core.types import Run, RunStatus, VerdictSource
from tests.core.fakes import START, Step, catalog, make_engine, panel_models

CHANNEL = ThreadRef(platform=Platform.SLACK, workspace="T1", channel="C1")
ANN, BOB = Person(id="U1", name="Ann"), Person(id="U2", name="Bob")


class Queue:
    """Jobs that stay where they are put."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []

    async def submit(self, ask: Ask) -> None:
        self.asks.append(ask)


class Desk:
    """A service on the real state and history, with a queue that nobody works on."""

    def __init__(self, state: State, history: SqlHistory, limits: LimitSpec) -> None:
        self.history, self.sessions = history, state.sessions
        self.queue, self.ids = Queue(), iter(range(1000))
        self.service = Service(
            catalog(members=["a:2", "b", "c"]).model_copy(update={"domains": {"law": "Think of the law."}}),
            history=history,
            consortia=history.consortia,
            sessions=state.sessions,
            limits=state.limits(limits),
            duplicates=state.duplicates,
            breakers=state.breakers(),
            jobs=self.queue,
            clock=lambda: START,
            new_id=lambda: f"run{next(self.ids)}",
            rng=random.Random(1),
        )

    async def do(self, command: Command, by: Person = ANN, where: ThreadRef = CHANNEL, *events: str) -> Reply | Run:
        return await self.service.handle(command, Inbound(asker=by, where=where, event_ids=events))

    async def say(self, command: Command, by: Person = ANN, where: ThreadRef = CHANNEL) -> str:
        reply = await self.do(command, by, where)
        assert isinstance(reply, Reply)
        return reply.text

    async def ask(self, by: Person = ANN, where: ThreadRef = CHANNEL, **fields: Any) -> Run:
        run = await self.do(AskCommand(**{"text": "Is it so?", **fields}), by, where)
        assert isinstance(run, Run)
        return run


@pytest.fixture
def desk(state: State, history: SqlHistory) -> Desk:
    return Desk(state, history, LimitSpec(user="100/minute"))


async def test_an_ask_is_stored_as_pending_and_queued(desk: Desk) -> None:
    run = await desk.ask(text="  Is it so?  ", domain="LAW", charts=False)
    assert run.status is RunStatus.PENDING
    assert await desk.history.run(run.id) == run
    assert desk.queue.asks == [run.ask]
    assert (run.ask.text, run.ask.consortium, run.ask.domain, run.ask.charts) == ("Is it so?", "default", "law", False)
    assert [m.id for m in run.panel] == ["a 1", "a 2", "b", "c"]


async def test_a_question_has_words_and_an_end(desk: Desk) -> None:
    for text, hint in [(" \n ", "There is no question"), ("x" * (MAX_QUESTION + 1), "at most 12,000 characters")]:
        with pytest.raises(BadInput, match=hint):
            await desk.ask(text=text)
    assert (await desk.ask(text="x" * MAX_QUESTION)).id
    assert len(desk.queue.asks) == 1


async def test_names_that_do_not_exist_are_told_with_the_nearest(desk: Desk) -> None:
    with pytest.raises(NotFound, match=r"There is no consortium `defalt`. Did you mean `default`\?"):
        await desk.ask(consortium="defalt")
    with pytest.raises(NotFound, match=r"There is no domain `zzz`\. There are: education, .*law"):
        await desk.ask(domain="zzz")
    assert desk.queue.asks == []


# --- set-ups --------------------------------------------------------------------------------------------


MINE = catalog(members=["b", "k"], strategy="voting").consortia["default"]


async def test_the_ask_carries_its_set_up(desk: Desk) -> None:
    ask = (await desk.ask()).ask
    assert ask.setup == desk.service.catalog.consortia["default"]


async def test_a_saved_consortium_is_asked_by_its_name_whatever_its_case(desk: Desk) -> None:
    await desk.history.consortia.save("Mine", MINE)
    for name in ("Mine", "mIne", "`mine`"):
        run = await desk.ask(consortium=name)
        assert (run.consortium, run.ask.setup, [m.id for m in run.panel]) == ("Mine", MINE, ["b", "k"])
    assert "- Mine: b, k; arbiter j; strategy voting" in (await desk.say(ModelsCommand())).splitlines()
    with pytest.raises(NotFound, match=r"There is no consortium `min`. Did you mean `Mine`\?"):
        await desk.ask(consortium="min")


async def test_a_saved_consortium_goes_before_one_of_the_file(desk: Desk) -> None:
    await desk.history.consortia.save("default", MINE)
    assert (await desk.ask()).ask.setup == MINE


async def test_the_default_is_asked_when_none_is_named(desk: Desk) -> None:
    await desk.history.consortia.save("mine", MINE)
    await desk.history.consortia.set_default("mine")
    assert (await desk.ask()).consortium == "mine"
    assert (await desk.ask(consortium="default")).consortium == "default"
    assert "- mine (in use here): b, k; arbiter j; strategy voting" in await desk.say(ModelsCommand())
    assert "- k: no role" in await desk.say(RolesCommand())
    await desk.history.consortia.remove("mine")
    assert (await desk.ask()).consortium == "default"


async def test_what_becomes_of_a_saved_consortium_changes_no_run_that_was_asked(desk: Desk) -> None:
    await desk.history.consortia.save("mine", MINE)
    runs = [await desk.ask(consortium="mine") for _ in range(2)]
    await desk.history.consortia.save("mine", desk.service.catalog.consortia["default"])
    engine = make_engine(desk.service.catalog, panel_models(b=Step("Final answer: 4"), k=Step("Final answer: 4")))
    first = await engine.run(runs[0], (), lambda _: None)
    await desk.history.consortia.remove("mine")
    stored = await desk.history.run(runs[1].id)
    assert stored
    for ended in (first, await engine.run(stored, (), lambda _: None)):
        assert ended.verdict
        assert (ended.verdict.source, [m.id for m in ended.panel]) == (VerdictSource.VOTE, ["b", "k"])


async def test_an_ask_changes_what_it_names_and_nothing_else(desk: Desk) -> None:
    default = desk.service.catalog.consortia["default"]
    run = await desk.ask(strategy="elimination", params={"keep_minimum": 3}, judging="rank", both_orders=True)
    changes = {"strategy": "elimination", "params": {"keep_minimum": 3}, "judging": "rank", "both_orders": True}
    assert (run.consortium, run.ask.setup) == ("default", default.model_copy(update=changes))
    run = await desk.ask(arbiter="K")
    assert (run.consortium, run.ask.setup) == ("default", default.model_copy(update={"arbiter": "k"}))


async def test_a_panel_of_ones_own_is_no_consortium(desk: Desk) -> None:
    run = await desk.ask(models=("c", "j:2"), roles={"C": "rawlsian"}, question_type="number", system="Be brief.")
    assert run.consortium == "custom"
    assert run.ask.setup
    assert run.ask.setup.arbiter == "a", "not the one that now sits on the panel"
    assert [(m.id, m.role) for m in run.panel] == [("c", "Rawlsian"), ("j 1", None), ("j 2", None)]
    assert (run.ask.question_type, run.ask.system) == ("number", "Be brief.")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"models": ("ghost",)}, "members: no model 'ghost'"),
        ({"models": ("a:13",)}, "a panel has 1 to 12 members, this one has 13"),
        ({"models": ("a b",)}, "'a b' is not a member"),
        ({"arbiter": "ghost"}, "There is no model `ghost`"),
        ({"strategy": "votnig"}, "no strategy 'votnig'; did you mean voting?"),
        ({"params": {"lead": 2}}, "params.lead: strategy 'default' has no such parameter"),
        ({"strategy": "voting", "params": {"lead": "x"}}, "params.lead: input should be a valid integer"),
        ({"roles": {"ghost": "x"}}, "There is no model `ghost`"),
    ],
)
async def test_changes_that_make_no_sense_are_told_and_cost_nothing(
    desk: Desk, fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises((BadInput, NotFound), match=re.escape(complaint)):
        await desk.ask(**fields)
    assert desk.queue.asks == []


async def test_a_follow_up_keeps_the_panel_of_the_run_before(desk: Desk) -> None:
    await desk.history.consortia.save("mine", MINE)
    asks: list[dict[str, Any]] = [{"consortium": "mine"}, {"models": ("b", "c")}]
    for n, fields in enumerate(asks):
        asked = await desk.service.thread_opened(await desk.ask(**fields), f"1.{n}")
        follow = await desk.service.follow_up("And then?", Inbound(asker=BOB, where=asked.ask.where))
        assert follow
        assert (follow.consortium, follow.ask.setup) == (asked.consortium, asked.ask.setup)
    await desk.history.consortia.remove("mine")
    where = CHANNEL.model_copy(update={"thread": "1.0"})
    follow = await desk.service.follow_up("And then?", Inbound(asker=BOB, where=where))
    assert follow
    assert [m.id for m in follow.panel] == ["b", "k"], "as it was when it was asked"


async def test_an_event_that_is_delivered_twice_is_asked_once(desk: Desk) -> None:
    await desk.do(AskCommand(text="So?"), ANN, CHANNEL, "event 1", "message 1")
    for again in (("event 1",), ("event 2", "message 1")):
        with pytest.raises(Duplicate):
            await desk.do(AskCommand(text="So?"), ANN, CHANNEL, *again)
    assert len(desk.queue.asks) == 1


async def test_a_refusal_says_when_to_try_again_and_holds_for_one_person(state: State, history: SqlHistory) -> None:
    desk = Desk(state, history, LimitSpec(user="2/minute"))
    await desk.ask()
    await desk.ask()
    with pytest.raises(RateLimited, match=r"You asked too often just now. Try again in \d+ s.") as refusal:
        await desk.ask()
    assert 1 <= refusal.value.retry_after <= 60
    await desk.ask(BOB)
    assert len(desk.queue.asks) == 3


async def test_what_is_refused_for_its_words_costs_nothing(state: State, history: SqlHistory) -> None:
    desk = Desk(state, history, LimitSpec(user="1/minute"))
    with pytest.raises(NotFound):
        await desk.ask(consortium="nowhere")
    await desk.ask()


# --- roles ----------------------------------------------------------------------------------------------


async def test_roles_belong_to_a_person_in_a_channel_and_go_with_the_run(desk: Desk) -> None:
    assert "- a: Rawlsian" in await desk.say(AssignRole(model="A", role="rawlsian"))
    await desk.say(AssignRole(model="b", role="a tired\n  nurse"))
    run = await desk.ask()
    assert [m.role for m in run.panel] == ["Rawlsian", "Rawlsian", "a tired nurse", None]
    assert run.ask.roles == {"a": "Rawlsian", "b": "a tired nurse"}
    elsewhere = CHANNEL.model_copy(update={"channel": "C2"})
    for other in (await desk.ask(BOB), await desk.ask(where=elsewhere)):
        assert other.ask.roles == {}
    thread = CHANNEL.model_copy(update={"thread": "1.2"})
    assert (await desk.ask(where=thread)).ask.roles == run.ask.roles


async def test_roles_are_listed_with_what_there_is(desk: Desk) -> None:
    text = await desk.say(RolesCommand())
    for name in ("Utilitarian", "Deontologist", "Virtue Ethicist", "Libertarian", "Rawlsian", "Precautionary"):
        assert f"- {name}: " in text
    assert "- a: no role" in text


async def test_roles_are_cleared_one_or_all(desk: Desk) -> None:
    for model in "abc":
        await desk.do(AssignRole(model=model, role="Rawlsian"))
    await desk.do(ClearRoles(model="b"))
    assert (await desk.ask()).ask.roles == {"a": "Rawlsian", "c": "Rawlsian"}
    with pytest.raises(NotFound, match="`b` has no role here"):
        await desk.do(ClearRoles(model="b"))
    await desk.do(ClearRoles())
    assert (await desk.ask()).ask.roles == {}


async def test_roles_go_to_models_that_exist_and_wait_off_the_panel(desk: Desk) -> None:
    with pytest.raises(NotFound, match="There is no model `llama`"):
        await desk.do(AssignRole(model="llama", role="x"))
    assert "`k` is not on this panel" in await desk.say(AssignRole(model="k", role="Rawlsian"))


async def test_roles_are_dealt_by_chance_each_to_one_model(desk: Desk) -> None:
    await desk.do(AssignRole(model="a", role="old"))
    dealt = set()
    for _ in range(20):
        await desk.do(ShuffleRoles(roles="utilitarian Rawlsian"))
        roles = (await desk.sessions.load(ANN, CHANNEL)).roles
        assert sorted(roles.values()) == ["Rawlsian", "Utilitarian"]
        dealt.add(tuple(sorted(roles.items())))
    assert len(dealt) > 2
    assert "not dealt: four." in await desk.say(ShuffleRoles(roles="one, two, three, four"))


# --- follow-ups and history -----------------------------------------------------------------------------


async def test_a_message_in_a_threads_run_follows_it_up(desk: Desk) -> None:
    run = await desk.service.thread_opened(await desk.ask(), "1.2")
    assert run.ask.where.thread == "1.2"
    stored = await desk.history.run(run.id)
    assert stored
    assert stored.ask.where == run.ask.where
    await desk.history.update_run(stored.model_copy(update={"status": RunStatus.RUNNING}))
    follow = await desk.service.follow_up("And then?", Inbound(asker=BOB, where=run.ask.where))
    assert follow
    assert (follow.ask.text, follow.ask.where, follow.ask.asker) == ("And then?", run.ask.where, BOB)
    for other in (CHANNEL, CHANNEL.model_copy(update={"thread": "9.9"})):
        assert await desk.service.follow_up("Hello", Inbound(asker=ANN, where=other)) is None


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


async def test_models_and_help_answer_at_once(desk: Desk) -> None:
    models = await desk.say(ModelsCommand())
    assert "- a (a at here): ready (not called lately)" in models
    assert "- default (in use here): a:2, b, c; arbiter j" in models
    reply = await desk.service.handle(HelpCommand(), Inbound(asker=ANN, where=CHANNEL, prefix="/panel"))
    assert isinstance(reply, Reply)
    assert "`/panel history [page]`" in reply.text
    assert desk.queue.asks == []


async def test_an_ask_that_was_stored_but_not_queued_is_queued_later(desk: Desk) -> None:
    asked = await desk.ask(where=CHANNEL.model_copy(update={"platform": Platform.DISCORD}))
    desk.queue.asks.clear()
    assert await desk.service.undelivered(Platform.SLACK) == []
    assert [run.id for run in await desk.service.undelivered(Platform.DISCORD)] == [asked.id]
    assert [ask.id for ask in desk.queue.asks] == [asked.id]
    await desk.history.update_run(asked.model_copy(update={"status": RunStatus.RUNNING}))
    desk.queue.asks.clear()
    assert len(await desk.service.undelivered(Platform.DISCORD)) == 1
    assert desk.queue.asks == []


async def test_a_queue_that_is_away_is_told(desk: Desk) -> None:
    async def away(ask: Ask) -> None:
        raise Unavailable("Redis does not answer.")

    desk.queue.submit = away  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="Redis does not answer"):
        await desk.ask()
    stored = await desk.history.run("run0")
    assert stored
    assert (stored.status, stored.error) == (RunStatus.FAILED, "Redis does not answer.")
    assert await desk.history.undelivered(Platform.SLACK, START) == [], "a restart has nothing to add"
