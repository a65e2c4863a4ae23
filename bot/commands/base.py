"""What commands share: settings, the event loop, options that several have, and how words are read."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import Coroutine, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bot.settings import Settings
    from core.catalog import Catalog
    from core.telemetry import Logs

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Since = Annotated[str | None, typer.Option(help="How far back: 2d, 12h, 30m, or a date such as 2026-11-01 (UTC).")]


def settings() -> Settings:
    """The settings in force. Raises ConfigError."""
    from bot.settings import load_settings

    return load_settings()


def configured() -> tuple[Settings, Catalog]:
    """Settings and catalogue in force. Raises ConfigError."""
    from bot.config import load_catalog

    found = settings()
    return found, load_catalog(found)


def logs_of(settings: Settings, catalog: Catalog) -> Logs:
    """The log as the settings want it, without any of our secrets."""
    from bot.settings import provider_keys, secrets_of
    from core.telemetry import Logs

    secrets = secrets_of(settings, provider_keys(catalog))
    return Logs(settings.log_level, json=settings.log_json, texts=settings.log_texts, secrets=secrets)


def run(main: Coroutine[Any, Any, None], *, log_level: str = "WARNING", logs: Logs | None = None) -> None:
    """Run to the end, on uvloop where it is installed."""
    from core.telemetry import Logs, configure

    configure(logs or Logs(level=log_level))
    try:
        import uvloop
    except ImportError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def run_long(main: Coroutine[Any, Any, None], logs: Logs | None = None) -> None:
    """As :func:`run`, for what carries out runs: with many connections and few pauses.

    Where machines read the log, an error that ends it is a record like any other.
    """
    _allow_many_connections()
    spare_collections()
    try:
        run(main, logs=logs)
    except Exception as error:
        from core.errors import ConsortiumError
        from core.telemetry import get_logger

        if not (logs and logs.json):
            raise
        foreseen = isinstance(error, ConsortiumError)
        what = str(error) if foreseen else type(error).__name__
        get_logger(__name__).error("ended by an error", error=what, exc_info=not foreseen)
        raise typer.Exit(2) from None


def spare_collections() -> None:
    """Collect garbage rarely, and never what has been imported by now: whole collections hold up the event loop."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _allow_many_connections() -> None:
    """Raise this process's limit of open files, each connection being one, as far as the system lets it."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


# --- reading words --------------------------------------------------------------------------------------

_AGO = re.compile(r"(\d{1,5})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_since(text: str | None, now: datetime | None = None) -> datetime | None:
    """The moment that ``--since`` means. Raises BadInput."""
    from core.errors import BadInput

    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip().lower()):
        return (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadInput(f"--since {text}: is no time; write e.g. 2d, 12h or 2026-11-01") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def read_pairs(option: str, entries: Iterable[str], example: str) -> list[tuple[str, str]]:
    """Entries written ``name=value``. Raises BadInput."""
    from core.errors import BadInput

    found = []
    for entry in entries:
        name, mark, value = entry.partition("=")
        if not mark or not name.strip():
            raise BadInput(f"{option} {entry}: has no value; write e.g. {option} {example}")
        found.append((name.strip(), value.strip()))
    return found


def read_params(entries: Iterable[str]) -> dict[str, Any]:
    """``--param`` entries: values are JSON where they parse, else text; a name that is repeated makes a list."""
    params: dict[str, Any] = {}
    several: set[str] = set()
    for name, text in read_pairs("--param", entries, "lead=2"):
        value = _value(text)
        if name in several:
            params[name].append(value)
        elif name in params:
            params[name] = [params[name], value]
            several.add(name)
        else:
            params[name] = value
    return params


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda word: word)
    except ValueError:
        return text


def read_roles(entries: Iterable[str]) -> dict[str, str]:
    """``--role`` entries, model to role."""
    return dict(read_pairs("--role", entries, 'qwen="Fact Checker"'))


WAITING_IS_SAID = 3.0
"""Seconds of waiting for standard input after which that is said."""

_WAITING = "consortium: waiting for standard input to end; to go without it, add < /dev/null"


def piped() -> str:
    """What comes in by standard input, nothing on a terminal. Raises BadInput for what is no text.

    A pipe that somebody holds open without writing looks like one that is still to be written, so it is waited for;
    after a while that is said.
    """
    import sys
    import threading

    if sys.stdin is None or sys.stdin.isatty():
        return ""
    hint = threading.Timer(WAITING_IS_SAID, print, [_WAITING], {"file": sys.stderr})
    hint.daemon = True
    hint.start()
    try:
        return as_text(sys.stdin.buffer.read(), "standard input")
    finally:
        hint.cancel()


def as_text(data: bytes, where: str) -> str:
    """Bytes that must be text. Raises BadInput."""
    from core.errors import BadInput

    try:
        if b"\0" not in data:
            return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise BadInput(f"{where}: is no text; only text in UTF-8 can be read")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in a row, the first few of many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
