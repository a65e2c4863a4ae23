"""What comes out of the log: one record a line, whatever values hold, and nothing that is secret."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.telemetry import Logs, bind_run, configure, get_logger, texts
from core.types import Member
from tests.logs import log_restored

FORGED = "2026-11-21T10:00:00.000000Z [info     ] run ended [core.runner] run=000000000000 status=done"
NASTY = [
    "\n",
    "\r\n",
    "\x85",
    "\u2028",
    "\x1b[2K\x1b[1A",
    "\x9b31m",
    "\x00",
    "\u202e",
]
"""Signs that end lines, steer terminals or turn text around."""

Read = Callable[[], str]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Read]:
    """What has been logged since the last look; the log is as it was afterwards."""
    with log_restored():
        yield lambda: capsys.readouterr().err


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line]


# --- no value forges a record ---------------------------------------------------------------------------


@pytest.mark.parametrize("sign", NASTY, ids=ascii)
def test_no_value_begins_a_line_or_steers_a_terminal(written: Read, sign: str) -> None:
    configure(Logs())
    nasty = f"x{sign}{FORGED}"
    get_logger("core.x").info(nasty, text=nasty, inside={"a": nasty}, member=Member(id=nasty, model="m"))
    logging.getLogger("somebody").warning("%s", nasty)
    lines = written().splitlines()
    assert [re.match(r"\S+Z \[(info|warning) +\] x", line) is not None for line in lines] == [True, True]
    assert "".join(lines).isprintable()


@pytest.mark.parametrize("sign", NASTY, ids=ascii)
def test_in_json_every_record_is_a_line(written: Read, sign: str) -> None:
    configure(Logs(json=True))
    nasty = f'x{sign}{{"event": "forged"}}'
    get_logger("core.x").info(nasty, text=nasty, **{f"key{sign}": 1})
    logging.getLogger("somebody").warning("%s", nasty)
    text = written()
    assert text.isascii()
    assert [record["event"] for record in records(text)] == [nasty, nasty]


@pytest.mark.parametrize("sign", ["\n", "\x1b[1m", "\x85"], ids=ascii)
def test_a_traceback_is_part_of_its_record(written: Read, sign: str) -> None:
    def fail() -> None:
        get_logger("core.x").info("before")
        try:
            raise ValueError(f"it broke{sign}{FORGED}")
        except ValueError:
            get_logger("core.x").exception("caught")
        get_logger("core.x").info("after")

    configure(Logs(json=True))
    fail()
    before, caught, after = records(written())
    assert (before["event"], caught["event"], after["event"]) == ("before", "caught", "after")
    assert "Traceback" in caught["exception"]
    assert f"it broke{sign}{FORGED}" in caught["exception"]

    configure(Logs())
    fail()
    lines = written().splitlines()
    assert [line.split()[3] for line in lines if not line.startswith("    | ")] == ["before", "caught", "after"]
    assert all(line.isprintable() for line in lines)
    assert any("fail" in line for line in lines)


# --- whose lines, and with which run --------------------------------------------------------------------


def test_of_libraries_there_are_only_warnings(written: Read) -> None:
    configure(Logs("DEBUG", json=True))
    chatty = logging.getLogger("aiosqlite")
    chatty.setLevel(logging.DEBUG)
    chatty.debug("executing INSERT with %s", "a question")
    chatty.warning("slow")
    get_logger("core.x").debug("ours")
    get_logger("adapters.x").debug("ours too")
    assert [record["event"] for record in records(written())] == ["slow", "ours", "ours too"]


def test_the_level_is_kept(written: Read) -> None:
    configure(Logs("ERROR", json=True))
    get_logger("core.x").warning("not told")
    logging.getLogger("bot.x").warning("not told")
    get_logger("core.x").error("told")
    assert [record["event"] for record in records(written())] == ["told"]


async def test_every_line_of_a_run_has_its_id_and_no_other(written: Read) -> None:
    configure(Logs(json=True))

    async def child() -> None:
        get_logger("core.y").info("below")
        logging.getLogger("docket").warning("foreign")

    async def work(run: str) -> None:
        bind_run(run)
        get_logger("core.x").info("above")
        await asyncio.gather(child(), child())

    await asyncio.gather(*(work(f"run{n}") for n in range(20)))
    found = records(written())
    assert len(found) == 100
    counts = {run: sum(record["run"] == run for record in found) for run in {record["run"] for record in found}}
    assert counts == {f"run{n}": 5 for n in range(20)}


def test_questions_are_logged_where_that_is_wanted_alone(written: Read) -> None:
    configure(Logs())
    assert texts(question="Why?") == {}
    configure(Logs(texts=True))
    assert texts(question="Why?") == {"question": "Why?"}


# --- secrets --------------------------------------------------------------------------------------------

SECRETS = frozenset({"hunter2-canary", 'quo"ted\\canary', "p@ss/word canary"})


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_known_secrets_are_masked_wherever_they_are(written: Read, secret: str, as_json: bool) -> None:
    configure(Logs(json=as_json, secrets=SECRETS))
    log = get_logger("core.x")
    log.info(f"with {secret}", key=secret, headers={"x-key": secret}, told=f"it is {secret}.")
    try:
        raise ValueError(f"refused {secret}")
    except ValueError:
        log.exception("broke")
    logging.getLogger("library").error("POST with %s", secret)
    text = written()
    assert "canary" not in text
    assert text.count("***") >= 5


@pytest.mark.parametrize(
    "key",
    [
        "xoxb-1234-5678-canarycanary",
        "xoxe.xoxp-1-canarycanary",
        "xapp-1-A01-canarycanary",
        "Authorization: Bearer canary.canary-canary_1",
        "Authorization: Bot MTIz.canary.canarycanarycanary",
        "redis://user:canary@host/0",
        "redis://:canary@host/0",
        "postgresql://consortium:canary@db:5432/x",
        "https://hooks.slack.com/commands/T1/2/canary",
        "https://discord.com/api/v10/webhooks/123/canary.canary-c_c/messages/@original",
        "/interactions/123/canarycanary/callback",
    ],
)
def test_what_looks_like_a_key_is_masked(written: Read, key: str) -> None:
    for as_json in (True, False):
        configure(Logs(json=as_json))
        get_logger("core.x").warning("refused", url=key, told=f"({key})")
        text = written()
        assert "canary" not in text
        assert "***" in text


def test_what_is_no_key_stays(written: Read) -> None:
    configure(Logs(json=True, secrets=frozenset({"", "abc"})))
    told = "https://slack.com/api/chat.postMessage at 10:00:00, abc http://[::1]:80/a:b@c"
    get_logger("core.x").info("kept", told=told)
    assert records(written())[0]["told"] == told
