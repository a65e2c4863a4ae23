"""The long-running processes: ``serve`` holds the surfaces, ``worker`` carries out runs, ``demo`` shows it all."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from pydantic import SecretStr

from adapters.web.server import WebSurface
from bot.app import Core, open_core
from bot.console import ConsolePresenter
from bot.settings import Settings
from core.catalog import Catalog
from core.commands import AskCommand
from core.delivery import deliver
from core.errors import ConfigError, ConsortiumError
from core.service import Inbound
from core.telemetry import get_logger
from core.types import Person, Platform, Run, ThreadRef

log = get_logger(__name__)


class Surface(Protocol):
    """A chat platform: connects, posts what an earlier process left undelivered, and leaves in order."""

    async def start(self) -> None:
        """Connect. Raises ConfigError when the platform does not let us in."""
        ...

    async def resume(self) -> None:
        """Deliver answers that no process has delivered yet."""
        ...

    async def close(self, grace: float) -> None:
        """Finish deliveries for up to ``grace`` seconds, then disconnect."""
        ...


async def serve(settings: Settings, catalog: Catalog, *, work: bool) -> None:
    """Hold the surfaces until SIGTERM or SIGINT; carry out runs too when ``work``."""
    async with stopping() as stop, open_core(settings, catalog, work=work) as core, surfaces(core) as url:
        log.info("ready", page=url, working=work)
        if core.studio:
            await core.studio.warm()
        await stop.wait()
        log.info("stopping", grace=settings.shutdown_grace)


async def worker(settings: Settings, catalog: Catalog) -> None:
    """Carry out runs until SIGTERM or SIGINT."""
    if not settings.redis_url:
        log.warning("no REDIS_URL: this worker can only serve processes of this machine that share its DATA_DIR")
    async with stopping() as stop, open_core(settings, catalog) as core:
        log.info("ready", working=True)
        if core.studio:
            await core.studio.warm()
        await stop.wait()
        log.info("stopping", grace=settings.shutdown_grace)


async def demo(settings: Settings, catalog: Catalog, *, question: str, stay: bool) -> None:
    """Ask one question in the terminal, then serve the page."""
    async with stopping() as stop, open_core(settings, catalog) as core:
        print(f"Asking the panel: {question}\n", flush=True)
        await ask_in_terminal(core, AskCommand(text=question), ConsolePresenter(settings.data_dir / "charts"))
        if not stay:
            return
        async with surfaces(core, any_port=True) as url:
            print(f"\nThe page: {url}   (Ctrl-C ends it)", flush=True)
            await stop.wait()


async def ask_in_terminal(core: Core, command: AskCommand, presenter: ConsolePresenter) -> Run:
    """Ask and show it with ``presenter``. Returns the stored run. Raises ConsortiumError when there was no answer."""
    warming = asyncio.create_task(core.studio.warm()) if core.studio else None  # while the members think
    where = ThreadRef(platform=Platform.CLI, workspace="local", channel="terminal", private=True)
    run = await core.service.handle(command, Inbound(asker=Person(id="local", name="you"), where=where))
    try:
        await deliver(run, presenter, core.events, core.history)
    finally:
        presenter.stop()
        if warming:
            warming.cancel()
            await asyncio.wait([warming])
    if presenter.failed_text:
        raise ConsortiumError(presenter.failed_text)
    return await core.history.run(run.id) or run


@asynccontextmanager
async def surfaces(core: Core, *, any_port: bool = False) -> AsyncIterator[str]:
    """The page and the configured chat platforms; gives the page's URL. Raises ConfigError."""
    settings = core.settings
    async with AsyncExitStack() as stack:
        chats: list[Surface] = []
        slack_http: Callable[[Any], Awaitable[Any]] | None = None
        if settings.slack_bot_token:
            slack = _slack(core, settings.slack_bot_token)
            chats.append(slack)
            slack_http = slack.handle_http if settings.slack_app_token is None else None
        if settings.discord_bot_token:
            chats.append(_discord(core, settings.discord_bot_token))
        page = WebSurface(core.service, core.events, core.history, slack=slack_http)
        stack.push_async_callback(page.close)
        url = await _listen(page, settings, any_port)
        for chat in chats:
            stack.push_async_callback(chat.close, settings.shutdown_grace)
            await chat.start()
            await chat.resume()
        yield url


def _slack(core: Core, token: SecretStr) -> Any:
    from adapters.slack.surface import SlackConfig, SlackSurface  # 0.7 s of imports, only where Slack is used

    settings = core.settings
    config = SlackConfig(
        bot_token=token,
        app_token=settings.slack_app_token,
        signing_secret=settings.slack_signing_secret,
        api_url=settings.slack_api_url,
    )
    return SlackSurface(config, core.service, core.events, core.history)


def _discord(core: Core, token: SecretStr) -> Any:
    from adapters.discord.surface import DiscordConfig, DiscordSurface  # 0.7 s of imports

    settings = core.settings
    config = DiscordConfig(
        token=token.get_secret_value(),
        api_url=settings.discord_api_url,
        gateway_url=settings.discord_gateway_url,
    )
    return DiscordSurface(config, core.service, core.events, core.history)


async def _listen(page: WebSurface, settings: Settings, any_port: bool) -> str:
    try:
        return await page.start(settings.host, settings.port)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(
                f"HOST: {settings.host} is no address of this machine; write HOST=127.0.0.1, or HOST=0.0.0.0 for all"
            ) from None
        if any_port:
            return await page.start(settings.host, 0)
        raise ConfigError(
            f"PORT: {settings.host}:{settings.port} cannot be used ({error.strerror}); "
            "write another, e.g. PORT=8081, or PORT=0 for any free one"
        ) from None


@asynccontextmanager
async def stopping() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets; a second one ends the process as usual."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
