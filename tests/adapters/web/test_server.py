"""The page's server over real sockets, in front of the whole product."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from PIL import Image

from adapters.web.server import COOKIE, MAX_BODY, WebSurface
from tests.e2e.web_stage import Stage, Visitor, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("page")) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(site: Stage) -> AsyncIterator[Visitor]:
    async with Visitor(site.url) as visitor:
        yield visitor


# --- the files and who may have them --------------------------------------------------------------------


async def test_the_page_is_one_file_of_each_kind_under_a_strict_policy(visitor: Visitor) -> None:
    bodies = {}
    for path, kind in {
        "/": "text/html",
        "/page.js": "text/javascript",
        "/page.css": "text/css",
        "/icon.svg": "image/svg+xml",
    }.items():
        async with visitor.session.get(path) as reply:
            assert (reply.status, reply.content_type) == (200, kind)
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            bodies[path] = await reply.text()
    assert not re.search(r"<script>|\son\w+=|\sstyle=|<style|javascript:|https?://", bodies["/"])
    assert not re.search(r"https?://|@import|url\(", bodies["/page.css"])


async def test_a_browser_is_known_by_a_cookie_that_scripts_and_other_sites_do_not_get(visitor: Visitor) -> None:
    async with visitor.session.get("/") as reply:
        assert "Set-Cookie" not in reply.headers  # else a link from elsewhere, which shows no cookie, would replace it
    async with visitor.session.get("/api/threads") as reply:
        cookie = reply.cookies[COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert cookie["path"] == "/"
        assert re.fullmatch("[0-9a-f]{32}", cookie.value)
    async with visitor.session.get("/api/threads") as reply:
        assert "Set-Cookie" not in reply.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_strangers_are_refused(visitor: Visitor, headers: dict[str, str]) -> None:
    async with visitor.session.get("/api/threads", headers=headers) as reply:
        assert reply.status == 403
        assert (await reply.json())["type"] == "error"
        assert "Set-Cookie" not in reply.headers
    body = {"text": "/consortium ask Why?"}
    async with visitor.session.post("/api/commands", json=body, headers=headers) as reply:
        assert reply.status == 403
    assert await visitor.threads() == []


async def test_a_link_from_elsewhere_still_opens_the_page(visitor: Visitor) -> None:
    async with visitor.session.get("/", headers={"Sec-Fetch-Site": "cross-site"}) as reply:
        assert reply.status == 200


async def test_health_is_open(visitor: Visitor) -> None:
    async with visitor.session.get("/healthz", headers={"Host": "anything.example"}) as reply:
        assert (reply.status, await reply.text()) == (200, "ok\n")


# --- what it does not take ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b'{"text": "help"}', {"Content-Type": "text/plain"}, 400),
        (b"text=help", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b"null", JSON, 400),
        (b"\xff\xfe\xff", JSON, 400),
        (b"[" * 50_000, JSON, 400),
        (b'{"thread": "x"}', JSON, 400),
        (b'{"text": 1}', JSON, 400),
        (b'{"text": "help", "thread": 5}', JSON, 400),
        (b'{"text": "help", "id": "' + b"x" * 65 + b'"}', JSON, 400),
        (b'{"text": "' + b"x" * MAX_BODY + b'"}', JSON, 413),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bodies_that_cannot_be_read(visitor: Visitor, body: bytes, headers: dict[str, str], code: int) -> None:
    async with visitor.session.post("/api/commands", data=body, headers=headers) as reply:
        answer = await reply.json()
        assert (reply.status, answer["type"]) == (code, "error")
        assert answer["html"].startswith("<p>")
        assert "Traceback" not in answer["html"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/page.py", 404),
        ("GET", "/../server.py", 404),
        ("GET", "/api/commands", 405),
        ("DELETE", "/api/threads", 405),
        ("GET", "/api/events", 404),
        ("GET", "/api/events?runs=none", 404),
        ("GET", "/api/runs/none/charts/heatmap.png", 404),
    ],
)
async def test_addresses_that_lead_nowhere(visitor: Visitor, method: str, path: str, code: int) -> None:
    async with visitor.session.request(method, path) as reply:
        assert (reply.status, (await reply.json())["type"]) == (code, "error")
        assert "Content-Security-Policy" in reply.headers


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("/consortium hsitory", 400, "Did you mean <code>history</code>"),
        ("/consortum ask Why?", 400, "Every command begins with <code>/consortium</code>"),
        ("/consortium ask --consortium nobody Why?", 404, "There is no consortium <code>nobody</code>"),
        ("/consortium ask", 400, "There is no question"),
        ("/consortium roles assign nobody Rawlsian", 404, "There is no model <code>nobody</code>"),
        ("/<script>alert(1)</script>", 400, "&lt;script&gt;"),
        ("/consortium ask " + "x" * 12_001, 400, "at most 12,000 characters"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_mistyped_is_explained(visitor: Visitor, text: str, code: int, says: str) -> None:
    status, reply = await visitor.send(text)
    assert (status, reply["type"]) == (code, "error")
    assert says in reply["html"]
    assert await visitor.threads() == []


async def test_asking_too_often_is_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    async with (
        stage(tmp_path, limits={"user": "1/minute", "workspace": "9/minute"}) as site,
        Visitor(site.url) as visitor,
    ):
        await visitor.ask("Is it day?", options="--consortium dead")
        status, reply = await visitor.send("/consortium ask Is it night?")
        assert status == 429
        assert "Try again in" in reply["html"]
        assert len(await visitor.threads()) == 1


# --- commands and runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/consortium help", "asks a panel"),
        ("/consortium", "asks a panel"),
        ("help", "asks a panel"),
        ("/Consortium models", "pragmatist (simulated)"),
        ("/consortium roles", "Rawlsian"),
        ("/consortium\nroles assign optimist Rawlsian", "optimist (simulated): Rawlsian"),
        ("/consortium history", "You have not asked anything yet"),
    ],
)
async def test_commands_are_answered_at_once(visitor: Visitor, text: str, says: str) -> None:
    status, reply = await visitor.send(text)
    assert (status, reply["type"]) == (200, "reply")
    assert says in reply["html"]


async def test_a_run_is_told_from_its_beginning_to_its_end(visitor: Visitor) -> None:
    asked = await visitor.ask("Is it good?", options="--consortium partly")
    assert [m["state"] for m in asked["members"]] == ["thinking"] * 3
    states = [state async for state in visitor.follow(asked["id"])]
    writing = [s for s in states if s["body"] and not s["answered"]]
    assert writing  # the synthesis came in pieces
    assert writing[0]["headline"] == "judge is weighing the answers"
    last = states[-1]
    assert last["over"]
    assert last["status"] == "done"
    assert [m["state"] for m in last["members"]] == ["agree", "agree", "failed"]
    assert "2 of 3 members answered; gone was refused" in last["headline"]
    assert "<strong>Yes.</strong>" in last["body"]
    assert [s["over"] for s in states].count(True) == 1

    assert [chart["url"].rsplit("/")[-1] for chart in last["charts"]] == ["heatmap.png", "emotions.png"]
    for chart in last["charts"]:
        async with visitor.session.get(chart["url"]) as reply:
            assert reply.content_type == "image/png"
            with Image.open(io.BytesIO(await reply.read())) as picture:
                assert picture.size == (chart["width"], chart["height"])
        assert "ada" in chart["alt"]
    assert await visitor.status_of(f"/api/runs/{last['id']}/charts/other.png") == 404
    assert await visitor.threads() == [last]


async def test_a_run_that_is_over_is_told_whole(visitor: Visitor) -> None:
    asked = await visitor.ask("Is it over?")
    last = await visitor.result(asked)
    again = [state async for state in visitor.follow(asked["id"])]
    assert again[-1] == last
    assert all(state["answered"] for state in again)


async def test_one_answer_leaves_nothing_to_compare(visitor: Visitor) -> None:
    last = await visitor.result(await visitor.ask("Alone?", options="--consortium single"))
    assert last["charts"] == []
    assert last["note"] == "Only ada answered: there is nothing to compare."


async def test_nobody_answers(visitor: Visitor) -> None:
    last = await visitor.result(await visitor.ask("Anybody?", options="--consortium dead"))
    assert (last["status"], last["answered"]) == ("failed", False)
    assert "None of the 2 members answered" in last["headline"]
    assert [m["state"] for m in last["members"]] == ["failed", "failed"]
    assert all("Traceback" not in m["line"] for m in last["members"])


async def test_hostile_text_is_only_text(visitor: Visitor) -> None:
    last = await visitor.result(await visitor.ask("<img src=x onerror=alert(1)>?", options="--consortium hostile"))
    said = next(m["html"] for m in last["members"] if m["id"] == "hostile")
    assert not re.search(r"<(script|img|svg|iframe)|href=.javascript", said)
    assert "&lt;script&gt;" in said
    assert 'data-host="evil.example"' in said
    assert last["question"] == "<img src=x onerror=alert(1)>?"  # the page sets it as text


async def test_a_bare_question_asks_and_a_message_in_a_thread_goes_on(site: Stage, visitor: Visitor) -> None:
    status, reply = await visitor.send("Is the mark-sea wet?")
    assert (status, reply["type"]) == (200, "run")
    first = await visitor.result(reply["run"])
    await visitor.result(await visitor.ask("Is it mark-deep?", thread=first["thread"], options="--consortium real"))
    shown = "\n".join(m["content"] for m in site.provider.requests[-1].body["messages"])
    assert "mark-sea" in shown
    status, reply = await visitor.send("And cold?", thread=first["thread"])
    assert reply["run"]["thread"] == first["thread"]
    await visitor.result(reply["run"])
    assert [run["question"] for run in await visitor.threads()] == [
        "Is the mark-sea wet?",
        "Is it mark-deep?",
        "And cold?",
    ]


async def test_several_runs_come_over_one_stream(visitor: Visitor) -> None:
    runs = [await visitor.ask(f"Question {n}?") for n in range(8)]
    last = {state["id"]: state async for state in visitor.follow(*(run["id"] for run in runs))}
    assert last.keys() == {run["id"] for run in runs}
    assert all(state["over"] for state in last.values())


async def test_the_same_message_sent_twice_asks_once(visitor: Visitor) -> None:
    await visitor.threads()
    sent = await asyncio.gather(*(visitor.send("/consortium ask Once?", id="one-id") for _ in range(5)))
    assert sorted(status for status, _ in sent) == [200, 409, 409, 409, 409]
    assert len(await visitor.threads()) == 1
    assert (await visitor.send("/consortium ask Once?", id="another-id"))[0] == 200


async def test_two_browsers_never_see_each_others_runs(site: Stage, visitor: Visitor) -> None:
    mine = await visitor.result(await visitor.ask("What is my secret?", options=""))
    async with Visitor(site.url) as other:
        for path in (f"/api/events?runs={mine['id']}", mine["charts"][0]["url"]):
            assert await other.status_of(path) == 404  # without a cookie
        theirs = await other.ask("What is theirs?")
        assert [run["id"] for run in await other.threads()] == [theirs["id"]]
        assert await other.status_of(f"/api/events?runs={mine['id']}") == 404
        assert await other.status_of(f"/api/events?runs={theirs['id']},{mine['id']}") == 404
        assert await other.status_of(mine["charts"][0]["url"]) == 404
        assert (await other.send("Go on?", thread=mine["thread"]))[0] == 404
        await other.ask("Is it mine?", thread=mine["thread"])  # a thread of the same name, not the same thread
        _, history = await other.send("/consortium history")
        assert "secret" not in history["html"]
    assert await visitor.status_of(mine["charts"][0]["url"]) == 200
    assert [run["id"] for run in await visitor.threads()] == [mine["id"]]


async def test_roles_are_a_browsers_own(site: Stage, visitor: Visitor) -> None:
    await visitor.send("/consortium roles assign ada Rawlsian")
    run = await visitor.result(await visitor.ask("Fair?", options="--no-charts --consortium real"))
    assert {m["id"]: m["role"] for m in run["members"]} == {"ada": "Rawlsian", "bert": None}
    async with Visitor(site.url) as other:
        run = await other.ask("Fair?", options="--no-charts --consortium real")
        assert {m["role"] for m in run["members"]} == {None}


# --- streams that end early -----------------------------------------------------------------------------


async def followers(site: Stage) -> int:
    """How many channels of runs somebody listens to."""
    return len(await site.core.state.redis.pubsub_channels("*:events:*"))


def tellers() -> int:
    """How many tasks of this process show a run to somebody."""
    names = (task.get_coro().__qualname__ for task in asyncio.all_tasks())  # type: ignore[union-attr]
    return sum(name in ("WebSurface._tell", "_show_progress") for name in names)


async def test_a_browser_that_leaves_is_forgotten(site: Stage, visitor: Visitor) -> None:
    run = await visitor.ask("Will it ever end?", options="--consortium stuck")
    before = await followers(site)
    states = visitor.follow(run["id"])
    assert not (await anext(states))["over"]
    assert await followers(site) == before + 1
    assert tellers() == 2
    await visitor.session.close()
    for _ in range(500):
        if await followers(site) == before and not tellers():
            return
        await asyncio.sleep(0.02)
    pytest.fail("somebody still follows the run")


async def test_streams_end_when_the_server_does_and_go_on_with_the_next(site: Stage, visitor: Visitor) -> None:
    run = await visitor.ask("Still there?", options="--no-charts --consortium slowly")
    states = visitor.follow(run["id"])
    await anext(states)
    await site.restart_page()
    with pytest.raises(aiohttp.ClientError):
        async for _ in states:
            pass
    again = [state async for state in visitor.follow(run["id"])]
    assert again[-1]["over"]
    assert [m["state"] for m in again[-1]["members"]] == ["agree", "agree"]


async def test_when_the_store_is_gone_the_page_says_so_and_no_more(tmp_path: Path) -> None:
    async with stage(tmp_path) as site:
        orphan = WebSurface(site.core.service, site.core.events, site.core.history)
    url = await orphan.start("127.0.0.1", 0)
    try:
        async with Visitor(url) as visitor:
            status, reply = await visitor.send("/consortium ask Anybody home?")
            assert status in (500, 503)
            assert reply["type"] == "error"
            assert not re.search(r"Traceback|File |line \d|sqlite|redis\.", reply["html"])
    finally:
        await orphan.close()


# --- beside the page ------------------------------------------------------------------------------------


async def test_slack_may_knock_from_outside_and_with_more(site: Stage) -> None:
    async def slack(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    surface = WebSurface(site.core.service, site.core.events, site.core.history, slack=slack)
    url = await surface.start("127.0.0.1", 0)
    outside = {"Host": "bot.example", "X-Forwarded-For": "203.0.113.9"}
    try:
        async with aiohttp.ClientSession(url, headers=outside) as session:
            async with session.post("/slack/events", data=b"x" * 200_000) as reply:
                assert (reply.status, await reply.text()) == (200, "200000")
            async with session.get("/") as reply:
                assert reply.status == 403
    finally:
        await surface.close()
