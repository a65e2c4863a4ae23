"""Visitors of the page, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Locator, Page, Request, expect

PATIENCE = 40_000
"""Milliseconds to wait for what must come; only a failing test waits that long."""

expect.set_options(timeout=15_000)

WATCH_STATES = """
window.seen = {};
new MutationObserver(() => {
  for (const item of document.querySelectorAll(".members li")) {
    const states = window.seen[item.dataset.id] ??= [];
    if (states.at(-1) !== item.dataset.state) states.push(item.dataset.state);
  }
}).observe(document, { subtree: true, childList: true, attributes: true });
"""


class Visit:
    """One visitor's page; remembers what went wrong in it."""

    def __init__(self, context: BrowserContext, page: Page, url: str) -> None:
        self.context, self.page, self.url = context, page, url
        self.problems: list[str] = []
        self.foreign: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        # A refusal (400) is a reply like any other; that the browser notes it is no fault of the page.
        if message.type == "error" and "status of 4" not in message.text and "ERR_" not in message.text:
            self.problems.append(message.text)

    def _on_error(self, error: Error) -> None:
        self.problems.append(str(error))

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(self.url):
            self.foreign.append(request.url)

    async def anew(self) -> None:
        """Come back as somebody who was never here, in the same window: another one takes a second to open."""
        for page in self.context.pages:
            if page is not self.page:
                await page.close()
        await self.page.unroute_all()
        await self.context.clear_cookies()
        self.page.once("framenavigated", lambda _: self._forget())  # what the page that is left had to say
        await self.open()

    def _forget(self) -> None:
        self.problems.clear()
        self.foreign.clear()

    def check(self) -> None:
        """Nothing went wrong in the page, and it called nobody else."""
        assert self.problems == []
        assert self.foreign == []

    async def open(self) -> None:
        await self.page.goto(self.url)
        await expect(self.page.locator("#feed > *:not([hidden])").first).to_be_visible()

    @property
    def box(self) -> Locator:
        """Where questions and commands are written."""
        return self.page.get_by_role("combobox", name="Command or question")

    @property
    def dialog(self) -> Locator:
        """The form or the sheet that is open."""
        return self.page.locator("dialog[open]")

    async def send(self, text: str) -> None:
        await self.box.fill(text)
        await self.box.press("Enter")

    async def ask(self, question: str, consortium: str = "real") -> Locator:
        """Ask without charts; the run when it is over."""
        number = await self.page.locator(".run").count()
        await self.send(f"/consortium ask --no-charts --consortium {consortium} {question}")
        return await self.over(number)

    async def reply(self, text: str) -> None:
        box = self.page.get_by_role("combobox", name="Follow up in this thread")
        await box.fill(text)
        await self.page.get_by_role("button", name="Reply").click()

    async def press(self, name: str, within: Locator | None = None) -> None:
        """Press the button of that name."""
        await (within or self.page).get_by_role("button", name=name, exact=True).click()

    def run(self, number: int = 0) -> Locator:
        return self.page.locator(".run").nth(number)

    async def over(self, number: int = 0, state: str = "done") -> Locator:
        run = self.run(number)
        await expect(run).to_have_attribute("data-state", state, timeout=PATIENCE)
        return run

    async def note(self, number: int = 0) -> Locator:
        note = self.page.locator(".said.card").nth(number)
        await expect(note).to_be_visible()
        return note

    async def overflow(self) -> int:
        wide: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wide


@asynccontextmanager
async def visit(chromium: Browser, url: str, **options: Any) -> AsyncIterator[Visit]:
    """A new visitor with the page open; fails when anything went wrong in it or it called elsewhere."""
    context = await chromium.new_context(**options)
    try:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        visit = Visit(context, page, url)
        await page.add_init_script(WATCH_STATES)
        await visit.open()
        yield visit
        visit.check()
    finally:
        await context.close()
