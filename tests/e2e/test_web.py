"""People at the page: a real browser in front of the whole product."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, Route, expect

from tests.browser import browser
from tests.e2e.web_stage import Stage, stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("browser")]

PATIENCE = 40_000
"""Milliseconds to wait for what must come; only a failing test waits that long."""

WATCH_STATES = """
window.seen = {};
new MutationObserver(() => {
  for (const item of document.querySelectorAll(".members li")) {
    const states = window.seen[item.dataset.id] ??= [];
    if (states.at(-1) !== item.dataset.state) states.push(item.dataset.state);
  }
}).observe(document, { subtree: true, childList: true, attributes: true });
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("page"), pace=0.25) as site:
        yield site


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

    async def open(self) -> None:
        await self.page.goto(self.url)
        await expect(self.page.locator("#feed > *:not([hidden])").first).to_be_visible()

    async def send(self, text: str) -> None:
        box = self.page.get_by_role("textbox", name="Command or question")
        await box.fill(text)
        await box.press("Enter")

    async def reply(self, text: str) -> None:
        box = self.page.get_by_role("textbox", name="Follow up in this thread")
        await box.fill(text)
        await self.page.get_by_role("button", name="Reply").click()

    def run(self, number: int = 0) -> Any:
        return self.page.locator(".run").nth(number)

    async def over(self, number: int = 0, state: str = "done") -> Any:
        run = self.run(number)
        await expect(run).to_have_attribute("data-state", state, timeout=PATIENCE)
        return run

    async def note(self, number: int = 0) -> Any:
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
        assert visit.problems == []
        assert visit.foreign == []
    finally:
        await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(chromium: Browser, site: Stage) -> AsyncIterator[Visit]:
    async with visit(chromium, site.url) as visitor:
        yield visitor


async def test_from_the_question_to_the_roles(visitor: Visit) -> None:
    page = visitor.page
    await expect(page.get_by_role("heading", name="What should the panel decide?")).to_be_visible()
    await expect(page.locator(".simulated")).to_be_visible()
    await page.get_by_role("button", name="/consortium ask Should remote work be the default?").click()

    run = await visitor.over()
    await expect(run.get_by_role("heading")).to_have_text("Should remote work be the default?")
    seen = await page.evaluate("window.seen")
    assert set(seen) == {"pragmatist", "optimist", "skeptic", "scholar", "nomad"}
    assert seen["pragmatist"] == ["thinking", "answered", "agree"]
    assert seen["skeptic"] == ["thinking", "answered", "disagree"]
    assert seen["nomad"] == ["thinking", "failed"]
    await expect(run.locator(".headline")).to_contain_text("4 of 5 members answered; nomad (simulated)")
    await expect(run.locator(".sure")).to_contain_text(
        "Confidence fair, 0.80: 3 of 4 agree; skeptic (simulated) disagrees"
    )
    await expect(run.locator(".sure small")).to_have_text("The arbiter's own figure: 0.81")
    await expect(run.locator(".votes .vote")).to_have_text(["No", "Yes"])
    await expect(run.locator(".votes li").first).to_contain_text("pragmatist (simulated), optimist (simulated)")
    await expect(run.locator("> .answer > .body strong").first).to_have_text("No.")
    for line in await run.locator(".members .line").all():
        await expect(line).to_contain_text("(simulated)")
    await expect(run.locator(".small")).to_contain_text("no language model wrote their text")

    pictures = run.get_by_role("img")
    await expect(pictures).to_have_count(2)
    for picture in await pictures.all():
        assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
        assert re.search(r"\d\.\d\d", await picture.get_attribute("alt") or "")

    await visitor.reply("And for people who have just joined?")
    follow_up = await visitor.over(1)
    await expect(follow_up.get_by_role("img")).to_have_count(2)
    assert await page.locator(".thread").count() == 1

    await visitor.send("/consortium history")
    history = await visitor.note()
    await expect(history).to_contain_text("Should remote work be the default?")
    await expect(history).to_contain_text("And for people who have just joined?")
    await history.get_by_role("link").last.click()
    await expect(run.get_by_role("heading")).to_be_in_viewport()

    await page.get_by_role("button", name="Roles").click()
    await expect(await visitor.note(1)).to_contain_text("Precautionary")
    await visitor.send("/consortium roles assign skeptic Rawlsian")
    await expect(await visitor.note(2)).to_contain_text("skeptic (simulated): Rawlsian")


async def test_reviews_waves_and_rounds_that_members_leave(visitor: Visit) -> None:
    await visitor.send("/consortium ask --no-charts --consortium council Should remote work be the default?")
    reviewed = await visitor.over()
    await expect(reviewed.locator(".small")).to_contain_text("strategy council")
    await reviewed.locator("summary").first.click()
    await expect(reviewed.locator(".members .said").first).to_contain_text("Final answer: No")  # and no ranking
    await expect(reviewed.locator('[data-id="nomad"]')).to_have_attribute("data-state", "failed")

    await visitor.send("/consortium ask --no-charts --consortium voting What is 17 * 23?")
    voted = await visitor.over(1)
    await expect(voted.locator("> .answer > .body strong").first).to_have_text("391")
    await expect(voted.locator('.members [data-state="unasked"]')).not_to_have_count(0)

    await visitor.send("/consortium ask --no-charts --consortium elimination Should trams be free?")
    left = await visitor.over(2)
    await expect(left.locator('.members [data-state="left"]')).to_have_count(1)
    await expect(left.locator('[data-state="left"] .meta')).to_contain_text("left after round 1")


async def test_members_and_synthesis_show_as_they_come(visitor: Visit) -> None:
    await visitor.send("/consortium ask --no-charts --consortium slowly Who is first?")
    run = visitor.run()
    await expect(run.locator('[data-id="ada"]')).to_have_attribute("data-state", "answered")
    await expect(run.locator('[data-id="slow"]')).to_have_attribute("data-state", "thinking")
    await expect(run.locator(".answer")).to_have_attribute("aria-busy", "true")
    await expect(visitor.page.locator("form.reply")).to_be_hidden()  # there is nothing to go on from yet
    await expect(run.locator(".headline")).to_have_text("judge is weighing the answers")
    await expect(run.locator("> .answer > .body")).not_to_be_empty()
    assert await run.get_attribute("data-state") == "running"
    await visitor.over()
    await expect(run.locator(".answer")).to_have_attribute("aria-busy", "false")
    await expect(visitor.page.locator("form.reply")).to_be_visible()
    await expect(visitor.page.get_by_role("status")).to_contain_text("All 2 members answered")


async def test_a_reload_restores_the_threads_and_what_runs_goes_on(visitor: Visit) -> None:
    await visitor.send("/consortium ask --no-charts --consortium real First?")
    await visitor.over()
    await visitor.send("/consortium ask --no-charts --consortium slowly Second?")
    await expect(visitor.run(1)).to_have_attribute("data-state", "running")
    await visitor.page.reload()
    assert await (await visitor.over(0)).get_by_role("heading").text_content() == "First?"
    await visitor.over(1)
    assert await visitor.page.locator(".thread").count() == 2
    assert await visitor.page.locator(".run").count() == 2
    await expect(visitor.page.locator("#welcome")).to_be_hidden()


async def test_the_page_finds_a_server_that_was_away(site: Stage, visitor: Visit) -> None:
    await visitor.send("/consortium ask --no-charts --consortium slowly Are you there?")
    await expect(visitor.run().locator('[data-id="ada"]')).to_have_attribute("data-state", "answered")
    await site.restart_page()
    run = await visitor.over()
    assert await visitor.page.locator(".run").count() == 1
    assert await run.locator(".members li").count() == 2


async def test_all_members_down(visitor: Visit) -> None:
    await visitor.send("/consortium ask --consortium dead Anybody?")
    run = await visitor.over(state="failed")
    await expect(run.locator(".headline")).to_contain_text("None of the 2 members answered")
    await expect(run.locator('li[data-state="failed"]')).to_have_count(2)
    await expect(run.get_by_role("img")).to_have_count(0)


async def test_one_member_down(visitor: Visit) -> None:
    await visitor.send("/consortium ask --consortium partly Who is here?")
    run = await visitor.over()
    await expect(run.locator(".headline")).to_contain_text("2 of 3 members answered; gone was refused")
    await expect(run.locator('li[data-state="failed"]')).to_have_count(1)
    await expect(run.get_by_role("img")).to_have_count(2)


async def test_a_mistake_is_explained_and_can_be_put_right(visitor: Visit) -> None:
    await visitor.send("/consortium hsitory")
    await expect(visitor.page.get_by_role("alert")).to_contain_text("Did you mean history?")
    await expect(visitor.page.get_by_role("textbox", name="Command or question")).to_have_value("/consortium hsitory")
    await visitor.send("/consortium history")
    await expect(await visitor.note(1)).to_contain_text("You have not asked anything yet")


async def test_hostile_text_does_nothing_but_show(visitor: Visit) -> None:
    question = "<img src=x onerror=\"window.harmed='question'\">"
    await visitor.send(f"/consortium ask --no-charts --consortium hostile {question}")
    run = await visitor.over()
    await expect(run.get_by_role("heading")).to_have_text(question)
    await run.locator("summary").first.click()
    said = run.locator(".said").first
    await expect(said).to_contain_text("<script>window.harmed")
    assert await said.locator("script, img, svg, iframe, [onerror], [style]").count() == 0
    assert await said.get_by_role("link").count() == 1
    await visitor.send("/consortium history")
    await expect(await visitor.note()).to_contain_text("<img")
    await visitor.page.reload()
    await visitor.over()
    assert await visitor.page.evaluate("window.harmed") is None


async def test_on_a_phone_nothing_sticks_out(chromium: Browser, site: Stage) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "color_scheme": "dark"}
    async with visit(chromium, site.url, **phone) as visitor:
        assert await visitor.overflow() == 0
        await visitor.send(f"/consortium ask --no-charts --consortium wide Is {'x' * 300} long?")
        run = await visitor.over()
        for summary in await run.locator("summary").all():
            await summary.click()
        assert await visitor.overflow() == 0
        scrolls = "box => box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX === 'auto'"
        assert await run.locator(".said .wide pre").first.locator("..").evaluate(scrolls)
        for number, command in enumerate(("roles", "models", "help")):
            await visitor.send(f"/consortium {command}")
            await visitor.note(number)
        assert await visitor.overflow() == 0
        ground = await visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in re.findall(r"\d+", ground)) < 64  # dark where dark is asked for


async def test_the_keyboard_is_enough(visitor: Visit) -> None:
    page = visitor.page
    await expect(page.get_by_role("textbox", name="Command or question")).to_be_focused()
    await page.keyboard.type("/consortium ask --no-charts --consortium real By hand?")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("Two lines.")
    await page.keyboard.press("Enter")
    run = await visitor.over()
    await expect(run.get_by_role("heading")).to_have_text("By hand?\nTwo lines.")
    await expect(page.get_by_role("textbox", name="Command or question")).to_be_focused()
    await run.locator("summary").first.focus()
    await page.keyboard.press("Enter")
    await expect(run.locator("details").first).to_have_attribute("open", "")
    skip = page.get_by_role("link", name="Skip to the message box")
    await skip.focus()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("textbox", name="Command or question")).to_be_focused()
    for field in await page.locator("textarea, button").all():
        named = "field => Boolean(field.labels?.length || field.ariaLabel || field.textContent.trim())"
        assert await field.evaluate(named)


async def test_enter_held_down_asks_once(visitor: Visit) -> None:
    box = visitor.page.get_by_role("textbox", name="Command or question")
    await box.fill("/consortium ask --no-charts --consortium real Once?")
    await box.evaluate(
        """box => {
          for (let n = 0; n < 5; n += 1) {
            box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
          }
        }"""
    )
    await visitor.over()
    await visitor.page.reload()
    await visitor.over()
    assert await visitor.page.locator(".run").count() == 1


async def test_a_reply_that_was_lost_does_not_ask_twice(visitor: Visit) -> None:
    lost: list[int] = []

    async def lose(route: Route) -> None:
        lost.append((await route.fetch()).status)
        await route.abort()

    await visitor.page.route("**/api/commands", lose, times=1)
    await visitor.send("/consortium ask --no-charts --consortium real Did it arrive?")
    await expect(visitor.page.get_by_role("alert")).to_contain_text("The server does not answer")
    assert lost == [200]
    await visitor.page.get_by_role("button", name="Send").click()  # the text is still there
    await visitor.over()
    await expect(visitor.page.get_by_role("textbox", name="Command or question")).to_have_value("")
    await visitor.page.reload()
    await visitor.over()
    assert await visitor.page.locator(".run").count() == 1


async def test_two_browsers_do_not_meet(chromium: Browser, site: Stage, visitor: Visit) -> None:
    await visitor.send("/consortium ask --no-charts --consortium real Between us?")
    await visitor.over()
    async with visit(chromium, site.url) as other:
        await expect(other.page.get_by_role("heading", name="What should the panel decide?")).to_be_visible()
        await other.send("/consortium history")
        await expect(await other.note()).not_to_contain_text("Between us?")


async def test_following_a_link_to_the_page_keeps_the_threads(visitor: Visit) -> None:
    await visitor.send("/consortium ask --no-charts --consortium real Mine?")
    await visitor.over()
    await visitor.page.goto(f"data:text/html,<a href='{visitor.url}'>there</a>")
    await visitor.page.get_by_role("link").click()
    await visitor.over()
    visitor.foreign.clear()  # the page of the link
