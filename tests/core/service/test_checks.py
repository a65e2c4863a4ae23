"""What stands between a question and the queue: rights, what is set, budgets, confirmation, files."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from adapters.history import SqlHistory
from adapters.state.state import State
from core.asks import Platform, ThreadRef
from core.attachments import MOST_FILES, Upload
from core.cards import Reply
from core.catalog import LimitSpec
from core.commands.actions import decode
from core.commands.values import AskCommand, AskExample, Command, Confirm, Discard, Reopen
from core.errors import BadInput, NotAllowed, NotFound, OverBudget, RateLimited, Refused, Unavailable
from core.governance import Budget, Right, Rule, Subject
from core.runner import Runner
from core.stores import Draft, Session
from core.types import Bill, Run
from tests.core.fakes import START, make_engine, panel_models
from tests.core.service.conftest import ANN, BOB, CHANNEL, Desk, inbound

ROOT = BOB
QUESTION = AskCommand(text="Is it so?")


async def block(desk: Desk, user: str, right: Right = "ask") -> None:
    await desk.governance.add_rule(
        CHANNEL, Rule(effect="block", right=right, subject=Subject(kind="user", id=user)), ROOT
    )


async def is_untouched(desk: Desk) -> bool:
    """Whether nothing was asked, stored or spent."""
    nothing_stored = not await desk.history.search()
    return nothing_stored and not desk.queue.asks and (await desk.spent()).runs == 0


# --- rights and settings --------------------------------------------------------------------------------


async def test_who_may_not_ask_is_told_and_nothing_is_spent(state: State, history: SqlHistory) -> None:
    desk = Desk(state, history, LimitSpec(user="1/minute"))
    await block(desk, ANN.id)
    commands: list[Command] = [QUESTION, AskExample(domain="science", number=1), Confirm(draft="x")]
    for command in commands:
        with pytest.raises(NotAllowed, match="You may not ask here"):
            await desk.do(command)
    assert await is_untouched(desk)
    await desk.ask(BOB)
    await desk.governance.lift_rule(CHANNEL, 1, ROOT)
    assert await desk.ask(), "the refusals took nothing of what may be asked in a minute"


async def test_what_is_set_holds_where_the_command_names_nothing(desk: Desk) -> None:
    session = Session(strategy="voting", domain="law", question_type="yes-no", charts=False)
    await desk.sessions.save(ANN, CHANNEL, session)
    run = await desk.ask()
    assert run.ask.setup
    assert (run.ask.setup.strategy, run.ask.domain, run.ask.question_type, run.ask.charts) == (
        "voting", "law", "yes-no", False
    )  # fmt: skip
    assert run.consortium == "default"
    run = await desk.ask(strategy="council", domain="policy", question_type="open", charts=True)
    assert run.ask.setup
    assert (run.ask.setup.strategy, run.ask.domain, run.ask.question_type, run.ask.charts) == (
        "council", "policy", "open", True
    )  # fmt: skip


async def test_a_setting_that_does_not_work_any_more_says_how_to_take_it_back(desk: Desk) -> None:
    await desk.sessions.save(ANN, CHANNEL, Session(strategy="oracle"))
    with pytest.raises(BadInput, match=r"no strategy 'oracle'.*`strategy off` takes it back"):
        await desk.ask()
    assert await is_untouched(desk)
    assert (await desk.ask(strategy="voting")).id


async def test_an_example_is_asked_in_its_domain(desk: Desk) -> None:
    run = await desk.do(AskExample(domain="Science", number=1))
    assert isinstance(run, Run)
    assert (run.ask.text, run.ask.domain) == ("Is Pluto a planet? Answer yes or no, and why.", "science")
    general = await desk.do(AskExample(domain="general", number=1))
    assert isinstance(general, Run)
    assert general.ask.domain is None
    with pytest.raises(NotFound, match="no example 99"):
        await desk.do(AskExample(domain="science", number=99))


# --- budgets --------------------------------------------------------------------------------------------


async def test_a_run_counts_by_its_estimate_until_its_bill_is_there(desk: Desk) -> None:
    run = await desk.ask()
    reserved = await desk.spent()
    assert reserved.runs == 1
    assert reserved.tokens > 5 * 800, "all write as much as they may"
    assert reserved.unpriced, "no price is known"
    await desk.governance.settle(run.id, Bill(calls=5, prompt_tokens=100, completion_tokens=20, cost=0.5))
    assert (await desk.spent()).tokens == 120


async def test_a_budget_that_is_used_up_refuses_and_warns_before(desk: Desk) -> None:
    await desk.governance.set_budget(CHANNEL, Budget(scope="user", period="day", tokens=1000), ROOT)
    run = await desk.ask()
    assert run.notes == ()
    await desk.governance.settle(run.id, Bill(calls=1, prompt_tokens=850))
    warned = await desk.ask()
    assert len(warned.notes) == 1
    assert warned.notes[0].startswith("You have used 850 of 1,000 tokens today")
    stored = await desk.history.run(warned.id)
    assert stored
    assert stored.notes == warned.notes
    with pytest.raises(OverBudget, match=r"used up, and whole again at 00:00 UTC \(in 12 h\)") as refusal:
        await desk.ask()
    assert refusal.value.resets_at == START + timedelta(hours=12)
    assert len(desk.queue.asks) == 2
    assert (await desk.ask(BOB)).notes == ()
    desk.now += timedelta(hours=12)
    assert (await desk.ask()).notes == ()


async def test_a_run_that_ends_counts_by_its_bill_and_keeps_the_warning(desk: Desk, state: State) -> None:
    first = await desk.ask()
    await desk.governance.settle(first.id, Bill(calls=1, prompt_tokens=850))
    await desk.governance.set_budget(CHANNEL, Budget(scope="user", period="day", tokens=1000), ROOT)
    run = await desk.ask(charts=False)
    engine = make_engine(desk.service.catalog, panel_models())
    await Runner(engine, desk.office).run(run.ask)
    ended = await desk.history.run(run.id)
    assert ended
    assert ended.notes[0].startswith("You have used 850 of 1,000 tokens today")
    assert ended.bill.calls == 5
    assert (await desk.spent()).tokens == 850 + 5 * (10 + 5), "four members and the arbiter"


async def test_fifty_asks_at_once_find_one_budget(desk: Desk) -> None:
    one = await desk.ask()
    each = (await desk.spent()).tokens
    await desk.governance.settle(one.id, Bill())
    await desk.governance.set_budget(CHANNEL, Budget(scope="workspace", period="day", tokens=7 * each), ROOT)
    results = await asyncio.gather(*(desk.ask() for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(result, Run) for result in results) == 7
    assert sum(isinstance(result, OverBudget) for result in results) == 43
    assert len(desk.queue.asks) == 8
    assert len(await desk.history.search(limit=100)) == 8, "what was refused is not stored"


async def test_what_was_not_queued_counts_for_nothing(desk: Desk) -> None:
    desk.office.jobs.submit = _away  # type: ignore[method-assign]
    page = CHANNEL.model_copy(update={"platform": Platform.WEB})
    with pytest.raises(Unavailable):
        await desk.ask(where=page)
    assert (await desk.governance.spending(page, ANN, desk.now)).at("user", "day").tokens == 0


async def test_what_was_neither_stored_nor_queued_counts_for_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.history, "open_run", _away)
    monkeypatch.setattr(desk.history, "update_run", _away)
    with pytest.raises(Unavailable):
        await desk.ask()
    assert (await desk.spent()).tokens == 0


async def test_halves_of_letters_in_a_question_do_no_harm(desk: Desk) -> None:
    run = await desk.ask(text="Is \ud83d\ude00 it\0 \ud83d so?")
    assert run.ask.text == "Is \U0001f600 it \ufffd so?"
    assert await desk.history.run(run.id) == run


async def _away(ask: Any) -> None:
    raise Unavailable("Redis does not answer.")


# --- confirmation ---------------------------------------------------------------------------------------


async def held_back(desk: Desk, where: ThreadRef = CHANNEL, **fields: Any) -> tuple[Reply, Confirm, Discard]:
    """An ask that may use more than is asked for once, with what its buttons mean."""
    await desk.governance.set_confirmation(CHANNEL, ROOT, dollars=None, tokens=1000)
    reply = await desk.reply(QUESTION.model_copy(update=fields), where=where)
    confirm, discard = (decode(button.action) for button in reply.buttons[0])
    assert isinstance(confirm, Confirm)
    assert isinstance(discard, Discard)
    return reply, confirm, discard


async def test_what_may_use_much_is_asked_once_it_is_confirmed(desk: Desk) -> None:
    thread = CHANNEL.model_copy(update={"thread": "1.2"})
    reply, confirm, _ = await held_back(desk, thread, consortium="default", domain="law", strategy="voting")
    assert "tokens and an unknown price, in 5 calls" in reply.text
    assert "Would be asked: a 1, a 2, b and c, arbiter j." in reply.text
    assert [(b.label, b.style) for b in reply.buttons[0]] == [("Confirm", "primary"), ("Cancel", "plain")]
    assert await is_untouched(desk)
    run = await desk.do(confirm, event_ids=("tap 1",))
    assert isinstance(run, Run)
    assert run.ask.setup
    assert (run.ask.text, run.ask.domain, run.ask.setup.strategy, run.ask.where) == (
        "Is it so?", "law", "voting", thread
    )  # fmt: skip
    assert desk.queue.asks == [run.ask]
    with pytest.raises(NotFound, match="nothing to confirm any more"):
        await desk.do(confirm)
    assert len(desk.queue.asks) == 1


async def test_a_confirmation_whose_process_died_on_its_way_to_the_run_is_carried_out_once_more(desk: Desk) -> None:
    _, confirm, _ = await held_back(desk)
    tap = inbound(event_ids=("tap 1",))
    assert await desk.drafts.take(confirm.draft, ANN, event=tap.run_id), "as far as that process had come"
    run = await desk.do(confirm, event_ids=("tap 1",), replayed=True)
    assert isinstance(run, Run)
    assert desk.queue.asks == [run.ask]
    with pytest.raises(NotFound):
        await desk.do(confirm, event_ids=("tap 2",))


async def test_only_who_asked_confirms_and_two_taps_ask_once(desk: Desk) -> None:
    _, confirm, _ = await held_back(desk)
    with pytest.raises(NotFound):
        await desk.do(confirm, BOB)
    results = await asyncio.gather(*(desk.do(confirm) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, Run) for result in results) == 1
    assert len(desk.queue.asks) == 1


async def test_a_confirmation_from_elsewhere_needs_the_right_to_ask_where_it_was_asked(desk: Desk) -> None:
    _, confirm, _ = await held_back(desk)
    with pytest.raises(NotFound):
        await desk.do(confirm, where=CHANNEL.model_copy(update={"workspace": "T2"}))
    subject = Subject(kind="channel", id=CHANNEL.channel)
    await desk.governance.add_rule(CHANNEL, Rule(effect="block", right="ask", subject=subject), ROOT)
    with pytest.raises(NotAllowed):
        await desk.do(confirm, where=CHANNEL.model_copy(update={"channel": "C2"}))
    assert desk.queue.asks == []


async def test_what_else_is_kept_for_somebody_is_nothing_to_confirm(desk: Desk) -> None:
    draft = await desk.drafts.keep(Draft(person=ANN.id, body='{"title": "a form"}'))
    with pytest.raises(NotFound, match="nothing to confirm"):
        await desk.do(Confirm(draft=draft))
    _, confirm, _ = await held_back(desk)
    with pytest.raises(NotFound, match="open the form anew"):
        await desk.do(Reopen(draft=confirm.draft))
    assert isinstance(await desk.do(confirm), Run)


async def test_what_is_cancelled_is_forgotten(desk: Desk) -> None:
    _, confirm, discard = await held_back(desk)
    assert "was not asked" in await desk.say(discard)
    for command in (confirm, discard):
        with pytest.raises(NotFound, match="kept for an hour"):
            await desk.do(command)
    assert await is_untouched(desk)


async def test_a_budget_that_is_used_up_meanwhile_refuses_and_leaves_it_to_be_confirmed(desk: Desk) -> None:
    _, confirm, _ = await held_back(desk)
    await desk.governance.set_budget(CHANNEL, Budget(scope="user", period="day", tokens=0), ROOT)
    with pytest.raises(OverBudget):
        await desk.do(confirm)
    await desk.governance.set_budget(CHANNEL, Budget(scope="user", period="day"), ROOT)
    assert isinstance(await desk.do(confirm), Run)


async def test_what_is_refused_at_the_last_moment_can_be_confirmed_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, confirm, _ = await held_back(desk)

    async def away(run: Run) -> None:
        raise Unavailable("Redis does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(desk.history, "open_run", away)
        with pytest.raises(Unavailable):
            await desk.do(confirm)
    run = await desk.do(confirm)
    assert isinstance(run, Run)
    assert [ask.id for ask in desk.queue.asks] == [run.id]
    with pytest.raises(NotFound):
        await desk.do(confirm)


async def test_what_uses_less_is_not_asked_twice(desk: Desk) -> None:
    await desk.governance.set_confirmation(CHANNEL, ROOT, dollars=None, tokens=1_000_000)
    assert await desk.ask()


# --- files ----------------------------------------------------------------------------------------------


def upload(name: str = "notes.txt", data: bytes = b"Grass is green.", error: Exception | None = None) -> Upload:
    async def fetch() -> bytes:
        if error:
            raise error
        return data

    return Upload(name=name, media_type="text/plain", size=len(data), fetch=fetch)


async def test_what_comes_with_a_question_is_stored_beside_it(desk: Desk) -> None:
    run = await desk.do(QUESTION, files=(upload(), upload("b.md", b"# Title")))
    assert isinstance(run, Run)
    assert [(a.name, a.kind) for a in run.ask.attachments] == [("notes.txt", "text"), ("b.md", "text")]
    assert [m.text for m in await desk.history.materials(run.id)] == ["Grass is green.", "# Title"]
    assert desk.queue.asks == [run.ask]


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ([upload()] * (MOST_FILES + 1), "A question may have 5 files; this one has 6."),
        ([upload(), upload("empty.txt", b"")], "“empty.txt” is empty"),
        ([upload("x.txt", error=Refused("“x.txt” cannot be downloaded."))], "“x.txt” cannot be downloaded"),
        ([upload("a.zip")], "“a.zip” is an archive"),
    ],
)
async def test_files_that_cannot_be_read_end_it_before_anything_is_stored(
    desk: Desk, files: list[Upload], complaint: str
) -> None:
    with pytest.raises(Refused, match=complaint):
        await desk.do(QUESTION, files=tuple(files))
    assert await is_untouched(desk)


async def test_files_wait_for_the_confirmation_too(desk: Desk) -> None:
    await desk.governance.set_confirmation(CHANNEL, ROOT, dollars=None, tokens=1000)
    reply = await desk.do(QUESTION, files=(upload(), upload("a.png", _picture())))
    assert isinstance(reply, Reply)
    run = await desk.do(decode(reply.buttons[0][0].action))
    assert isinstance(run, Run)
    kept = await desk.history.materials(run.id)
    assert [m.attachment for m in kept] == list(run.ask.attachments)
    assert (kept[0].text, kept[1].image) == ("Grass is green.", _picture())


def _picture() -> bytes:
    out = BytesIO()
    Image.new("RGB", (2, 2), "red").save(out, "PNG")
    return out.getvalue()


async def test_who_asks_too_often_downloads_nothing(state: State, history: SqlHistory) -> None:
    desk = Desk(state, history, LimitSpec(user="1/minute"))
    await desk.ask()
    with pytest.raises(RateLimited):
        await desk.do(QUESTION, files=(upload(error=AssertionError("downloaded")),))
