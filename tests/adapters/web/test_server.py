"""The page's server over real sockets, in front of the whole product."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from PIL import Image

from adapters.web.reading import MAX_BODY
from adapters.web.server import COOKIE, WebSurface
from tests.e2e.web_stage import Stage, Visitor, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPTS = ("page", "actions", "runs", "dialogs", "composer", "server", "dom")
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
        **{f"/{name}.js": "text/javascript" for name in SCRIPTS},
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
    for name in SCRIPTS:
        assert set(re.findall(r'from "\./(\w+)\.js"', bodies[f"/{name}.js"])) <= set(SCRIPTS)


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


async def test_what_a_proxy_without_marks_forwards_is_refused(visitor: Visitor) -> None:
    at = visitor.session._base_url
    assert at is not None
    reader, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(f"GET /api/threads HTTP/1.0\r\nHost: {at.authority}\r\nConnection: close\r\n\r\n".encode())
    assert (await reader.read()).split()[1] == b"403"
    writer.close()


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
        (b'{"text": "help", "action": "help"}', JSON, 400),
        (b'{"text": "help", "filled": {}}', JSON, 400),
        (b'{"action": "settings", "filled": {"domain": 1}}', JSON, 400),
        (b'{"action": "settings", "files": []}', JSON, 400),
        (b'{"action": "explode:now"}', JSON, 400),
        (b'{"action": "answers:none"}', JSON, 404),
        (b"--x", {"Content-Type": "multipart/form-data; boundary=x"}, 400),
        (b"nothing", {"Content-Type": "multipart/form-data"}, 400),
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
        ("GET", "/api/runs/none/charts/heatmap.png", 404),
        ("GET", "/api/files/none", 404),
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
        ("/Consortium models", "<strong>pragmatist</strong> (simulated): ready"),
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
    asked = await visitor.ask("Is it good?", options="--no-charts --consortium partly")
    assert [m["state"] for m in asked["members"]] == ["thinking"] * 3
    states = [state async for state in visitor.follow(asked["id"])]
    writing = [s for s in states if s["body"] and not s["answered"]]
    assert writing  # the synthesis came in pieces
    assert "judge is weighing the answers" in writing[0]["headline"]
    last = states[-1]
    assert last["over"]
    assert last["status"] == "done"
    assert [m["state"] for m in last["members"]] == ["agree", "agree", "failed"]
    assert "2 of 2 agree" in last["headline"]
    assert last["details"].startswith("gone was refused · ")
    assert "<strong>Yes.</strong>" in last["body"]
    assert [s["over"] for s in states].count(True) == 1
    assert await visitor.threads() == [last]


async def test_a_run_that_is_over_is_told_whole(visitor: Visitor) -> None:
    asked = await visitor.ask("Is it over?")
    last = await visitor.result(asked)
    again = [state async for state in visitor.follow(asked["id"])]
    assert again[-1] == last
    assert all(state["answered"] for state in again)


async def test_one_answer_leaves_nothing_to_compare(visitor: Visitor) -> None:
    last = await visitor.result(await visitor.ask("Alone?", options="--consortium single"))
    assert last["note"] == "Only ada answered: there is nothing to compare."
    assert "Charts" not in [button["label"] for button in last["buttons"][0]]


async def test_nobody_answers(visitor: Visitor) -> None:
    last = await visitor.result(await visitor.ask("Anybody?", options="--consortium dead"))
    assert (last["status"], last["answered"]) == ("failed", False)
    assert "None of the 2 members answered" in last["body"]
    assert [m["state"] for m in last["members"]] == ["failed", "failed"]
    assert "Traceback" not in json.dumps(last)


async def test_hostile_text_is_only_text(visitor: Visitor) -> None:
    last = await visitor.result(await visitor.ask("<img src=x onerror=alert(1)>?", options="--consortium hostile"))
    said = (await visitor.press(f"answers:{last['id']}", last["thread"]))["html"]
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
    charts = (await visitor.press(f"charts:{mine['id']}"))["pictures"]
    file = (await visitor.press("export"))["download"]["url"]
    async with Visitor(site.url) as other:
        assert [told async for told in other.follow(mine["id"])] == [{"gone": [mine["id"]]}]
        for path in (*(chart["url"] for chart in charts), file):
            assert await other.status_of(path) == 404  # without a cookie
        theirs = await other.ask("What is theirs?")
        assert [run["id"] for run in await other.threads()] == [theirs["id"]]
        told = [state async for state in other.follow(theirs["id"], mine["id"])]
        assert told[0] == {"gone": [mine["id"]]}
        assert {state["id"] for state in told[1:]} == {theirs["id"]}
        for path in (*(chart["url"] for chart in charts), file):
            assert await other.status_of(path) == 404
        for action in ("answers:{}", "dissent:{}", "charts:{}", "feedback:{}:1", "again:{}", "show:{}", "resize:{}:1"):
            assert (await other.post({"action": action.format(mine["id"])}))[0] == 404, action
        assert (await other.send("Go on?", thread=mine["thread"]))[0] == 404
        await other.ask("Is it mine?", thread=mine["thread"])  # a thread of the same name, not the same thread
        _, history = await other.send("/consortium history")
        assert "secret" not in history["html"]
    for path in (*(chart["url"] for chart in charts), file):
        assert await visitor.status_of(path) == 200
    assert [run["id"] for run in await visitor.threads()] == [mine["id"]]


async def test_roles_are_a_browsers_own(site: Stage, visitor: Visitor) -> None:
    await visitor.send("/consortium roles assign ada Rawlsian")
    run = await visitor.result(await visitor.ask("Fair?", options="--no-charts --consortium real"))
    assert {m["id"]: m["role"] for m in run["members"]} == {"ada": "Rawlsian", "bert": None}
    async with Visitor(site.url) as other:
        run = await other.ask("Fair?", options="--no-charts --consortium real")
        assert {m["role"] for m in run["members"]} == {None}


# --- buttons, forms, files ------------------------------------------------------------------------------


async def test_newcomers_are_told_what_this_is_with_questions_to_begin_with(visitor: Visitor) -> None:
    async with visitor.session.get("/api/threads") as reply:
        stored = await reply.json()
    assert "simulated" in stored["welcome"]["html"]
    action = stored["welcome"]["buttons"][0][0]["action"]
    first = (await visitor.press(action))["run"]
    second = (await visitor.press(action))["run"]
    assert first["question"] == second["question"]
    assert first["thread"] != second["thread"]


async def test_every_chart_is_a_picture_of_its_own(visitor: Visitor) -> None:
    run = await visitor.result(await visitor.ask("Is it good?", options="--consortium real"))
    shown = await visitor.press(f"charts:{run['id']}", run["thread"])
    names = [chart["url"].rsplit("/", 1)[0] for chart in shown["pictures"]]
    assert names == [f"/api/runs/{run['id']}/charts"] * 2 + ["/api/files"] * 3  # on record, and drawn just now
    for chart in shown["pictures"]:
        async with visitor.session.get(chart["url"]) as reply:
            assert reply.content_type == "image/png"
            with Image.open(io.BytesIO(await reply.read())) as picture:
                assert picture.size == (chart["width"], chart["height"])
        assert chart["alt"]
    assert await visitor.status_of(f"/api/runs/{run['id']}/charts/other.png") == 404


async def test_an_answer_is_made_long_and_short_in_place(visitor: Visitor) -> None:
    run = await visitor.result(await visitor.ask("Is it long?", options="--no-charts --consortium partly"))
    longer = await visitor.press(f"resize:{run['id']}:1")
    assert longer["run"]["long"]
    assert "Who is missing" in [section["title"] for section in longer["run"]["sections"]]
    assert await visitor.press(f"resize:{run['id']}:0") == {"type": "run", "run": run}


async def test_who_wants_long_answers_gets_them_at_once_and_after_a_reload(visitor: Visitor) -> None:
    assert (await visitor.press("settings"))["form"]["title"]
    await visitor.fill("settings", show=["long"])
    run = await visitor.result(await visitor.ask("Is it long?", options="--no-charts --consortium partly"))
    assert run["long"]
    assert await visitor.threads() == [run]


async def test_what_is_wrong_with_a_form_is_told_by_its_input(visitor: Visitor) -> None:
    opened = await visitor.press("save")
    assert opened["type"] == "form"
    status, reply = await visitor.fill(opened["form"]["action"], name="no name", members=["ada"])
    assert (status, reply["type"]) == (400, "form")
    assert set(reply["problems"]) == {"name"}
    kept = {field["name"]: field["value"] for field in reply["form"]["inputs"]}
    assert (kept["name"], kept["members"]) == (["no name"], ["ada"])
    status, reply = await visitor.fill(opened["form"]["action"], name="pair", members=["ada", "bert"], arbiter="judge")
    assert (status, reply["type"]) == (200, "reply")
    run = await visitor.result(await visitor.ask("Saved?", options="--no-charts --consortium pair"))
    assert [member["id"] for member in run["members"]] == ["ada", "bert"]
    assert (await visitor.press("remove:pair"))["type"] == "reply"


async def test_asking_again_goes_on_in_the_same_thread(visitor: Visitor) -> None:
    run = await visitor.result(await visitor.ask("Again?", options="--no-charts --consortium real"))
    form = (await visitor.press(f"again:{run['id']}", run["thread"]))["form"]
    assert [field["name"] for field in form["inputs"]] == ["consortium", "arbiter", "strategy"]
    status, reply = await visitor.fill(form["action"], run["thread"], consortium="single")
    assert (status, reply["run"]["question"], reply["run"]["thread"]) == (200, "Again?", run["thread"])
    last = await visitor.result(reply["run"])
    assert [member["id"] for member in last["members"]] == ["ada"]


async def test_a_run_is_stopped(visitor: Visitor) -> None:
    run = await visitor.ask("Will it end?", options="--no-charts --consortium stuck")
    async for state in visitor.follow(run["id"]):
        if [m["state"] for m in state["members"]] == ["answered", "thinking"]:
            break
    assert "Stopping" in (await visitor.press(f"stop:{run['id']}", run["thread"]))["html"]
    last = await visitor.result(run)
    assert last["status"] == "cancelled"
    assert "1 of 2 had answered" in last["headline"]


async def test_what_is_deleted_is_gone(visitor: Visitor) -> None:
    first, second = [await visitor.result(await visitor.ask(f"Question {n}?")) for n in range(2)]
    asked = await visitor.press(f"delete:{first['id']}")
    assert asked["gone"] == []
    assert len(await visitor.threads()) == 2
    (confirm,) = asked["buttons"][0]
    assert (await visitor.press(confirm["action"]))["gone"] == [first["id"]]
    assert [run["id"] for run in await visitor.threads()] == [second["id"]]
    file = (await visitor.press("export"))["download"]["url"]
    asked = await visitor.press("forget-me")
    assert asked["gone"] == []
    assert await visitor.status_of(file) == 200
    assert (await visitor.press(asked["buttons"][0][0]["action"]))["gone"] is None
    assert await visitor.threads() == []
    assert await visitor.status_of(file) == 404


async def test_an_export_is_a_file_to_be_saved(visitor: Visitor) -> None:
    run = await visitor.result(await visitor.ask("What is mine?"))
    _, reply = await visitor.send("/consortium export")
    async with visitor.session.get(reply["download"]["url"]) as file:
        assert file.content_type == "application/json"
        assert file.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''")
        assert file.headers["X-Content-Type-Options"] == "nosniff"
        assert file.headers["Cache-Control"] == "no-store"
        data = await file.read()
    assert len(data) == reply["download"]["bytes"]
    assert run["id"] in data.decode()


async def test_files_go_with_a_question(site: Stage, visitor: Visitor) -> None:
    plan = ("plan.md", b"mark-plan: build it.", "text/markdown")
    status, reply = await visitor.send_files("/consortium ask --no-charts --consortium real What of mark-it?", plan)
    assert (status, reply["type"]) == (200, "run")
    run = await visitor.result(reply["run"])
    assert run["attachments"] == [{"name": "plan.md", "shortened": False}]
    asked = [r.body for r in site.provider.requests if "mark-it" in json.dumps(r.body)]
    assert any("mark-plan: build it." in json.dumps(body) for body in asked)
    status, reply = await visitor.send_files("help me with this", plan)
    assert (status, reply["type"]) == (200, "run"), "with a file it is a question, whatever it begins with"


@pytest.mark.parametrize(
    ("name", "size", "many", "code", "says"),
    [
        ("deck.pptx", 2, 1, 400, "is a presentation"),
        ("empty.txt", 0, 1, 400, "is empty"),
        ("big.txt", 10 * 2**20 + 1, 1, 400, "an attachment may have 10 MB"),
        ("small.txt", 1, 6, 400, "may have 5 files"),
        ("big.txt", 11 * 2**20, 6, 413, "5 files of 10 MB each"),
    ],
)
async def test_files_that_cannot_go_are_refused(
    visitor: Visitor, name: str, size: int, many: int, code: int, says: str
) -> None:
    status, reply = await visitor.send_files("Why?", *[(name, b"x" * size, "text/plain")] * many)
    assert (status, reply["type"]) == (code, "error")
    assert says in reply["html"]
    assert await visitor.threads() == []


async def test_a_request_of_no_stated_length_has_its_limit_too(visitor: Visitor) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(7):
            head = f'Content-Disposition: form-data; name="file"; filename="{number}.txt"'
            yield f"--mark\r\n{head}\r\n\r\n".encode()
            for _ in range(9):
                yield b"x" * 2**20
            yield b"\r\n"
        yield b'--mark\r\nContent-Disposition: form-data; name="command"\r\n\r\n{"text": "Why?"}\r\n--mark--\r\n'

    headers = {"Content-Type": "multipart/form-data; boundary=mark"}
    async with visitor.session.post("/api/commands", data=parts(), headers=headers) as reply:
        assert reply.status == 413
    assert await visitor.threads() == []


async def test_what_fits_is_suggested(visitor: Visitor) -> None:
    assert await visitor.suggestions("/consortium le") == (0, []), "to nobody that is not known"
    run = await visitor.result(await visitor.ask("Is it listed?"))
    start, found = await visitor.suggestions("/consortium le")
    assert start == len("/consortium ")
    assert found[0] == "leaderboard "
    assert run["id"] + " " in (await visitor.suggestions("/consortium show listed"))[1]
    assert (await visitor.suggestions("Is it "))[1] == []
    assert (await visitor.suggestions("/" + "x" * 600))[1] == []


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
        orphan = WebSurface(site.core.service, site.core.history)
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


async def test_what_is_for_others_may_be_had_from_outside_and_with_more(site: Stage) -> None:
    async def slack(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    core = site.core
    surface = WebSurface(core.service, core.history, outside=[web.post("/slack/events", slack)])
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
