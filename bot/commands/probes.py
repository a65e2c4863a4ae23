"""The checks of ``consortium doctor``: each tries the real thing, in a time of its own, and none stops another."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

from adapters.models import ModelPool
from bot.app import new_nonce
from bot.commands.drawing import open_studio
from bot.commands.platforms import check_discord, check_slack, check_slack_app, check_workspaces
from bot.config import DEFAULT_FILE, load_catalog
from bot.records import open_history
from bot.settings import Settings, load_settings, provider_keys
from core import convening
from core.asks import Ask, Person, Platform, ThreadRef
from core.breaker import LocalBreakers
from core.catalog import Catalog, EmbeddingSpec
from core.errors import ConfigError, ConsortiumError
from core.judging import SCHEMAS, Case, read, show
from core.parsing import Unreadable
from core.ports import Message, Models, Prompt
from core.resilience import Caller, Deadline, RetryPolicy, SystemClock
from core.setup import ConsortiumSpec
from core.study.studio import Studio
from core.types import Failure, FailureKind, Member, Response

CALL_SECONDS = 30.0
"""Seconds that a model may take for a short call, unless its own timeout is shorter."""

CHECK_SECONDS = 45.0
"""Seconds that any check may take."""

FIXES = {
    FailureKind.TIMEOUT: "try again, or write a larger models.{key}.timeout",
    FailureKind.RATE_LIMITED: "wait a little and try again, or ask the provider for more",
    FailureKind.REFUSED: "correct what it says in the models file, the key or the account, then try again",
    FailureKind.UNREACHABLE: "start the server, or correct the base_url of its provider in the models file",
    FailureKind.BAD_REPLY: "check that models.{key}.name is a chat model and its provider speaks the OpenAI protocol",
}


@dataclass(frozen=True)
class Finding:
    """What a check came to. ``ok`` None: not set, or skipped. ``fix`` is what to do; texts hold no secrets."""

    name: str
    ok: bool | None
    says: str
    fix: str | None = None
    seconds: float | None = None

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return asdict(self)


Check = Callable[[], Awaitable[list[Finding]]]


async def examine(*, calls: bool = True, skip: Collection[str] = ()) -> list[Finding]:
    """Check everything but the checks named in ``skip``. Only what must be known before the rest is looked at first."""
    try:
        settings = load_settings()
    except ConfigError as error:
        return [_wrong("settings", error)]
    findings = [Finding("settings", True, f"read; data in {settings.data_dir}")]
    saved: dict[str, ConsortiumSpec] = {}
    checks = _services(settings, saved)
    try:
        catalog = load_catalog(settings)
    except ConfigError as error:
        return [*findings, _wrong("models file", error), *await _all(checks, skip)]
    findings.append(_file(settings, catalog))
    findings += await _all({"database": checks.pop("database")}, skip)
    async with ModelPool(catalog, provider_keys(catalog), pace=0) as models:
        checks |= _called(catalog, {**catalog.consortia, **saved}, models, calls)
        checks["embeddings"] = partial(_drawing, catalog, calls)
        return findings + await _all(checks, skip)


def _services(settings: Settings, saved: dict[str, ConsortiumSpec]) -> dict[str, Check]:
    """What is there whatever the models file says. The check of the database fills in ``saved``."""
    checks: dict[str, Check] = {
        "database": partial(_database, settings, saved),
        "redis": partial(_redis, settings),
        "slack": partial(_slack, settings),
        "discord": partial(_discord, settings),
    }
    return checks | ({"slack workspaces": partial(_workspaces, settings)} if settings.slack_for_many else {})


async def _all(checks: Mapping[str, Check], skip: Collection[str]) -> list[Finding]:
    found = await asyncio.gather(*(guarded(name, check) for name, check in checks.items() if name not in skip))
    return [finding for findings in found for finding in findings]


async def guarded(name: str, check: Check) -> list[Finding]:
    """One check that hurts no other, whatever happens in it."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except ConsortiumError as error:
        return [_wrong(name, error)]
    except TimeoutError:
        return [Finding(name, False, f"nothing came within {CHECK_SECONDS:.0f} s", "look whether it hangs; try again")]
    except Exception as error:  # noqa: BLE001 - of any library; its text might hold a secret
        return [Finding(name, False, f"the check broke ({type(error).__name__})", "look at its settings; try again")]


def _wrong(name: str, error: ConsortiumError) -> Finding:
    """An error's sentence; the part behind the last semicolon of each line says what to do."""
    lines = [line.rpartition("; ") for line in str(error).splitlines()]
    says = "\n".join(what or rest for what, _, rest in lines)
    fix = "; ".join(rest for what, _, rest in lines if what)
    return Finding(name, False, says, fix or "put that right and try again")


# --- settings, database, Redis --------------------------------------------------------------------------


def _file(settings: Settings, catalog: Catalog) -> Finding:
    path = settings.consortium_config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    what = str(path) if path else "none, so the built-in defaults hold"
    return Finding("models file", True, f"{what}: {len(catalog.models)} models, {len(catalog.consortia)} consortia")


async def _database(settings: Settings, saved: dict[str, ConsortiumSpec]) -> list[Finding]:
    """Entering brings the tables up to date, and marking a run that is not there is a write without effect."""
    begun = time.monotonic()
    async with open_history(settings) as history:
        await history.mark_delivered("doctor")
        saved |= {one.name: one.setup for one in await history.consortia.all(None)}
    what = "PostgreSQL" if settings.history_url.startswith("postgres") else settings.history_url
    consortia = f", {len(saved)} saved consortia" if saved else ""
    return [Finding("database", True, f"{what}: up to date, writable{consortia}", seconds=time.monotonic() - begun)]


async def _redis(settings: Settings) -> list[Finding]:
    from adapters.state.state import connect
    from adapters.state.valkey import embedded_valkey

    begun = time.monotonic()
    async with AsyncExitStack() as stack:
        url = settings.redis_url or await stack.enter_async_context(embedded_valkey(settings.data_dir))
        state = await stack.enter_async_context(connect(url))
        await state.ping()
    what = "the server at REDIS_URL answers" if settings.redis_url else "embedded Valkey starts and answers"
    return [Finding("redis", True, what, seconds=time.monotonic() - begun)]


# --- models and arbiters --------------------------------------------------------------------------------


def _called(catalog: Catalog, consortia: Mapping[str, ConsortiumSpec], models: Models, calls: bool) -> dict[str, Check]:
    """A check of each model, and of each consortium's arbiter; arbiters that judge alike are called once."""
    checks: dict[str, Check] = {f"model {key}": partial(_model, catalog, models, key, calls) for key in catalog.models}
    judged: dict[tuple[str, str], asyncio.Task[Finding]] = {}
    for name, setup in consortia.items():
        checks[f"arbiter of {name}"] = partial(_arbiter, catalog, models, name, setup, judged, calls)
    return checks


async def _call(catalog: Catalog, models: Models, key: str, prompt: Prompt) -> Response | Failure:
    """One attempt, with a breaker of its own: what fails here is not held against the model in runs."""
    caller = Caller(LocalBreakers(), SystemClock(), random.Random(), RetryPolicy(attempts=1))  # noqa: S311 - no retry
    timeout = min(catalog.models[key].timeout, CALL_SECONDS)
    deadline = Deadline.after(timeout + 1, SystemClock())
    return await caller.ask(Member(id=key, model=key), models[key], prompt, timeout, deadline)


async def _model(catalog: Catalog, models: Models, key: str, calls: bool) -> list[Finding]:
    spec, title = catalog.models[key], f"model {key}"
    where = "simulated" if spec.provider == "simulated" else f"{spec.name} at {spec.provider}"
    if not calls:
        models[key]  # an address that is none is told
        return [Finding(title, None, f"{where}: not called (--no-calls)")]
    prompt = Prompt(messages=(Message(role="user", content="Reply with the one word: ready"),))
    outcome = await _call(catalog, models, key, prompt)
    if isinstance(outcome, Failure):
        return [_failed(title, outcome)]
    return [Finding(title, True, f"{where}: answered in {outcome.seconds:.2f} s", seconds=outcome.seconds)]


def _failed(title: str, failure: Failure) -> Finding:
    says, _, fix = failure.detail.rpartition("; ")
    known = FIXES.get(failure.kind, "try again").format(key=failure.member.model)
    return Finding(title, False, says or fix, fix if says else known)


async def _arbiter(
    catalog: Catalog,
    models: Models,
    name: str,
    setup: ConsortiumSpec,
    judged: dict[tuple[str, str], asyncio.Task[Finding]],
    calls: bool,
) -> list[Finding]:
    title = f"arbiter of {name}"
    if problems := convening.problems(catalog, setup):
        return [Finding(title, False, "\n".join(problems), f"consortium update {name}, or correct the models file")]
    if not calls:
        return [Finding(title, None, f"{setup.arbiter}: not called (--no-calls)")]
    key = (setup.arbiter, setup.judging)
    if key not in judged:
        judged[key] = asyncio.create_task(_judge(catalog, models, setup))
    found = await asyncio.shield(judged[key])
    return [Finding(title, found.ok, found.says, found.fix, found.seconds)]


async def _judge(catalog: Catalog, models: Models, setup: ConsortiumSpec) -> Finding:
    """A real verdict on a small case, by the method of the consortium."""
    key = setup.arbiter
    case = _case(setup)
    letters = dict(zip("AB", case.responses, strict=True))
    system, shown = show(case, letters, new_nonce())
    prompt = Prompt(
        messages=(Message(role="system", content=system), Message(role="user", content=shown)),
        json_schema=SCHEMAS[setup.judging],
    )
    outcome = await _call(catalog, models, key, prompt)
    if isinstance(outcome, Failure):
        return _failed("", outcome)
    try:
        read(case, outcome.text, letters)
    except Unreadable as error:
        fix = f'try models.{key}.structured = "json" or "text", or take another arbiter'
        return Finding("", False, f"{key}: its verdict could not be read: {error}", fix)
    simulated = " (simulated)" if catalog.models[key].provider == "simulated" else ""
    says = f"{key}{simulated}: gave a {setup.judging} verdict in {outcome.seconds:.2f} s"
    return Finding("", True, says, seconds=outcome.seconds)


def _answers(*texts: str) -> tuple[Response, ...]:
    members = (Member(id=name, model=name) for name in ("first", "second"))
    return tuple(Response(member=m, text=text, seconds=0.0) for m, text in zip(members, texts, strict=True))


def _case(setup: ConsortiumSpec) -> Case:
    ask = Ask(
        id="doctor",
        text="What is 2 + 2?",
        asked_at=datetime.now(UTC),
        asker=Person(id="doctor"),
        where=ThreadRef(platform=Platform.CLI, workspace="local", channel="doctor", private=True),
    )
    answers = _answers("2 + 2 is 4.", "It is 4, as two and two make four.")
    return Case(ask=ask, turns=(), responses=answers, round=1, max_rounds=1, method=setup.judging)


# --- embeddings and charts ------------------------------------------------------------------------------


async def _drawing(catalog: Catalog, calls: bool) -> list[Finding]:
    """Vectors by the backend that is set, then a chart; where there are no vectors, a chart by simpler ones."""
    answers = _answers("Remote work should be the default.", "Offices are good for new people.")
    members = [answer.member for answer in answers]
    skipped = catalog.embeddings.backend == "endpoint" and not calls
    begun = time.monotonic()
    vectors = Finding("embeddings", None, "the endpoint was not called (--no-calls)")
    if not skipped:
        try:
            async with open_studio(catalog) as studio:
                study = await studio.study(answers, members, charts=True)
        except ConsortiumError as error:
            vectors = _wrong("embeddings", error)
        else:
            took = time.monotonic() - begun
            vectors = Finding("embeddings", True, study.analysis.embedder, seconds=took)
            return [vectors, _drawn(len(study.charts), took)]
    begun = time.monotonic()
    async with Studio(1, embeddings=EmbeddingSpec(backend="tfidf")) as studio:
        charts = (await studio.study(answers, members, charts=True)).charts
    return [vectors, _drawn(len(charts), time.monotonic() - begun)]


def _drawn(count: int, took: float) -> Finding:
    if not count:
        return Finding("studio", False, "it drew nothing", "install matplotlib and pillow again")
    return Finding("studio", True, f"drew {count} charts in a process of its own", seconds=took)


# --- platforms ------------------------------------------------------------------------------------------


async def _slack(settings: Settings) -> list[Finding]:
    if settings.slack_for_many:
        return [Finding(*told) for told in await check_slack_app(settings)]
    if settings.slack_bot_token is None:
        return [Finding("slack", None, "SLACK_BOT_TOKEN is not set: Slack is left out")]
    return [Finding(*told) for told in await check_slack(settings)]


async def _workspaces(settings: Settings) -> list[Finding]:
    return [Finding(*await check_workspaces(settings))]


async def _discord(settings: Settings) -> list[Finding]:
    if settings.discord_bot_token is None:
        return [Finding("discord", None, "DISCORD_BOT_TOKEN is not set: Discord is left out")]
    return [Finding(*told) for told in await check_discord(settings)]
