"""The long-running processes: ``serve`` holds the surfaces, ``worker`` carries out runs, ``demo`` shows it all."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from aiohttp import web
from pydantic import SecretStr

from adapters.web.health import listening
from adapters.web.server import WebSurface
from bot.app import Core, open_core
from bot.console import ConsolePresenter, ask_in_terminal
from bot.health import probes, traced
from bot.settings import Settings, missing_keys
from core.catalog import Catalog
from core.commands.values import AskCommand
from core.errors import ConfigError
from core.retention import keep_sweeping
from core.telemetry import get_logger

log = get_logger(__name__)

LOOK = 2.0
"""Seconds between two looks for what other processes have left."""


class Surface(Protocol):
    """A chat platform: connects, posts what an earlier process left undelivered, and leaves in order."""

    async def start(self) -> None:
        """Connect. Raises ConfigError when the platform does not let us in."""
        ...

    async def resume(self) -> None:
        """Take over what processes that are gone have left: events, and answers that are not delivered. Asked again and
        again."""
        ...

    async def ready(self) -> str | None:
        """What keeps people from being served, in a few words; None while all is well."""
        ...

    async def wait(self) -> None:
        """Until closed. Raises ConfigError when the platform does not let us in any more."""
        ...

    async def close(self, grace: float) -> None:
        """Take nothing new, finish deliveries for up to ``grace`` seconds, then disconnect."""
        ...


@dataclass(frozen=True)
class Surfaces:
    """What people meet: the page, by its URL, and the chat platforms."""

    url: str
    chats: tuple[Surface, ...]

    async def until(self, stop: asyncio.Event) -> None:
        """Wait for the signal to stop. Raises ConfigError when a platform shuts us out: that needs the operator."""
        waits = [asyncio.create_task(wait) for wait in (stop.wait(), *(chat.wait() for chat in self.chats))]
        try:
            over, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in over:
                await task
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


async def serve(settings: Settings, catalog: Catalog, *, work: bool) -> None:
    """Hold the surfaces until SIGTERM or SIGINT; carry out runs too when ``work``."""
    async with (
        stopping() as stop,
        traced(settings, "consortium-serve"),
        open_core(settings, catalog, work=work, patience=settings.start_patience) as core,
        surfaces(core) as open_surfaces,
    ):
        log.info("ready", page=open_surfaces.url, working=work)
        async with working(core) if work else nullcontext():
            await open_surfaces.until(stop)
        log.info("stopping", grace=settings.shutdown_grace)


async def worker(settings: Settings, catalog: Catalog) -> None:
    """Carry out runs until SIGTERM or SIGINT."""
    if not settings.redis_url:
        log.warning("no REDIS_URL: this worker can only serve processes of this machine that share its DATA_DIR")
    async with (
        stopping() as stop,
        traced(settings, "consortium-worker"),
        open_core(settings, catalog, patience=settings.start_patience) as core,
    ):
        async with watched(core) as watch, working(core):
            log.info("ready", working=True, watch=watch)
            await stop.wait()
        log.info("stopping", grace=settings.shutdown_grace)


async def demo(settings: Settings, catalog: Catalog, *, question: str, stay: bool) -> None:
    """Ask one question in the terminal, then serve the page."""
    async with open_core(settings, catalog) as core:
        print(f"Asking the panel: {question}\n", flush=True)
        presenter = ConsolePresenter(settings.data_dir / "charts")
        await ask_in_terminal(core, AskCommand(text=question), presenter)
        presenter.check()
        if not stay:
            return
        async with stopping() as stop, surfaces(core, any_port=True) as open_surfaces:
            print(f"\nThe page: {open_surfaces.url}   (Ctrl-C ends it)", flush=True)
            await open_surfaces.until(stop)


@asynccontextmanager
async def working(core: Core) -> AsyncIterator[None]:
    """What a process that carries out runs does beside them: it readies its drawing processes, and deletes runs that
    are not to be kept any longer. What its runs will lack here, perhaps here alone, is logged."""
    if missing := missing_keys(core.catalog):
        log.warning("keys are not set, so the models that need them cannot be asked here", missing=missing)
    sweeping = asyncio.create_task(keep_sweeping(core.office, asyncio.sleep), name="retention")
    try:
        await core.studio.warm()
        yield
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])


@asynccontextmanager
async def surfaces(core: Core, *, any_port: bool = False) -> AsyncIterator[Surfaces]:
    """The page and the configured chat platforms. Raises ConfigError."""
    settings = core.settings
    async with AsyncExitStack() as stack:
        chats: dict[str, Surface] = {}
        outside: list[web.RouteDef] = []
        if settings.slack_bot_token or settings.slack_for_many:
            chats["slack"] = slack = _slack(core)
            outside += slack.routes()
        if settings.discord_bot_token:
            chats["discord"] = discord = _discord(core, settings.discord_bot_token)
            if settings.discord_public_key:
                outside.append(web.post("/discord/interactions", discord.handle_http))
        outside += probes(core, {name: chat.ready for name, chat in chats.items()})
        page = WebSurface(core.service, core.history, outside=outside)
        stack.push_async_callback(page.close)
        url = await _listen(page, settings, any_port)
        stack.push_async_callback(leave, core, tuple(chats.values()))
        for chat in chats.values():
            await chat.start()
            await chat.resume()
        heir = asyncio.create_task(keep_taking_over(tuple(chats.values())), name="taking over")
        stack.push_async_callback(ended, heir)
        yield Surfaces(url, tuple(chats.values()))


async def keep_taking_over(chats: Sequence[Surface]) -> None:
    """Look again and again for what processes that are gone have left."""
    while True:
        await asyncio.sleep(LOOK)
        for chat in chats:
            try:
                await chat.resume()
            except Exception:
                log.exception("not taken over")


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is over."""
    task.cancel()
    await asyncio.wait([task])


async def leave(core: Core, chats: Sequence[Surface]) -> None:
    """End runs and deliveries within one grace time: what is delivered comes from the runs at work."""
    closing = [asyncio.create_task(chat.close(core.settings.shutdown_grace)) for chat in chats]
    try:
        await core.finish()
    finally:
        for result in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("not closed in order", exc_info=result)


def _slack(core: Core) -> Any:
    from adapters.slack.install import OAuth
    from adapters.slack.surface import SlackConfig, SlackSurface  # 0.7 s of imports, only where Slack is used

    settings, oauth = core.settings, None
    secret, keys = settings.slack_client_secret, settings.encryption_key
    if settings.slack_for_many and secret and keys:
        oauth = OAuth(settings.slack_client_id, secret, keys, settings.public_url, core.installations)
    config = SlackConfig(
        bot_token=settings.slack_bot_token,
        oauth=oauth,
        app_token=settings.slack_app_token,
        signing_secret=settings.slack_signing_secret,
        api_url=settings.slack_api_url,
        connections=settings.slack_connections,
    )
    return SlackSurface(config, core.service, core.events, core.history)


def _discord(core: Core, token: SecretStr) -> Any:
    from adapters.discord.limits import Shards
    from adapters.discord.surface import DiscordConfig, DiscordSurface  # 0.7 s of imports

    settings = core.settings
    config = DiscordConfig(
        token=token.get_secret_value(),
        api_url=settings.discord_api_url,
        gateway_url=settings.discord_gateway_url,
        shards=Shards.of(settings.discord_shards) if settings.discord_shards else None,
        public_key=settings.discord_public_key or None,
    )
    return DiscordSurface(config, core.service, core.history)


@asynccontextmanager
async def watched(core: Core) -> AsyncIterator[str | None]:
    """Let a process without a page be watched, where a port is given for that; gives the address."""
    host, port = core.settings.host, core.settings.worker_port
    if port is None:
        yield None
        return
    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(listening(probes(core), host, port))
        except OSError as error:
            raise _cannot_listen(error, host, port, "WORKER_PORT") from None
        yield address


async def _listen(page: WebSurface, settings: Settings, any_port: bool) -> str:
    try:
        return await page.start(settings.host, settings.port)
    except OSError as error:
        if any_port and not _no_host(error):
            return await page.start(settings.host, 0)
        raise _cannot_listen(error, settings.host, settings.port, "PORT") from None


def _no_host(error: OSError) -> bool:
    return isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL


def _cannot_listen(error: OSError, host: str, port: int, setting: str) -> ConfigError:
    if _no_host(error):
        return ConfigError(f"HOST: {host} is no address of this machine; write HOST=127.0.0.1, or HOST=0.0.0.0 for all")
    reason = os.strerror(error.errno) if error.errno else error.strerror  # asyncio's own words are for programmers
    return ConfigError(
        f"{setting}: {host}:{port} cannot be used ({reason}); "
        f"write another, e.g. {setting}=8081, or {setting}=0 for any free one"
    )


class Stop(asyncio.Event):
    """Set when the process is to end. ``awaited``: it has started, and waits for that."""

    awaited = False

    async def wait(self) -> Literal[True]:
        """Until it is set."""
        self.awaited = True
        return await super().wait()


@asynccontextmanager
async def stopping() -> AsyncIterator[Stop]:
    """An event that SIGTERM or SIGINT sets; a second one ends the process as usual.

    Before anybody waits for it the block is left where it is: a start may last for as long as a server is away.
    """
    stop, task = Stop(), asyncio.current_task()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)
        if task and not stop.awaited:
            log.info("stopping before the start was over")
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    except asyncio.CancelledError:
        if task is None or stop.awaited or not stop.is_set() or task.uncancel():
            raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
