"""People at the page: a real browser in front of the whole product."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from tests.browser import browser
from tests.e2e.web_stage import Stage, stage
from tests.e2e.web_visit import Visit, visit

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("browser")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("page"), pace=0.1) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def window(chromium: Browser, site: Stage) -> AsyncIterator[Visit]:
    async with visit(chromium, site.url) as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(window: Visit) -> AsyncIterator[Visit]:
    """Somebody who was never here."""
    await window.anew()
    yield window
    window.check()


async def test_from_the_first_question_to_what_is_behind_its_answer(visitor: Visit) -> None:
    page = visitor.page
    await expect(page.get_by_role("heading", name="What should the panel decide?")).to_be_visible()
    await expect(page.locator("#welcome")).to_contain_text("Every member here is simulated")
    await expect(page.locator("#welcome .panel li")).to_have_count(5)
    await visitor.send("/consortium ask Should remote work be the default?")

    run = await visitor.over()
    await expect(page.locator("#welcome")).to_be_hidden()
    await expect(run.locator(".question")).to_have_text("Should remote work be the default?")
    seen = await page.evaluate("window.seen")
    assert [state for state in seen["pragmatist"] if state != "ready"] == ["thinking", "answered", "agree"]
    assert (seen["skeptic"][-1], seen["nomad"][-1]) == ("disagree", "failed")
    await expect(run).to_have_attribute("data-tone", "split")
    await expect(run.locator(".headline strong")).to_have_text("3 of 4 agree; skeptic (simulated) disagrees")
    await expect(run.locator(".headline")).to_contain_text("confidence fair, 0.80")
    await expect(run.locator(".answer > .body strong").first).to_have_text("No.")
    for member in await run.locator(".members .name").all():
        await expect(member).to_contain_text("(simulated)")
    await expect(run.locator(".small")).to_contain_text("No language model wrote their text")

    behind = run.locator(".behind")
    await visitor.press("Answers", run)
    await expect(behind).to_contain_text("Final answer: Yes")
    tools = run.get_by_role("group", name="More on this answer")
    answers = tools.get_by_role("button", name="Answers")
    await expect(answers).to_have_attribute("aria-expanded", "true")
    await visitor.press("Dissent", run)
    await expect(behind).to_contain_text("Votes, by final answers")
    await expect(answers).to_have_attribute("aria-expanded", "false")
    await visitor.press("Answers", behind)
    await expect(behind.get_by_role("heading", name="Answers")).to_be_visible()
    await expect(answers).to_have_attribute("aria-expanded", "true")
    await visitor.press("Charts", run)
    pictures = behind.get_by_role("img")
    await expect(pictures).to_have_count(5)
    for picture in await pictures.all():
        await picture.scroll_into_view_if_needed()
        assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
        assert await picture.get_attribute("alt")
    await visitor.press("Charts", run)
    await expect(behind).to_be_hidden()

    await visitor.reply("And for people who have just joined?")
    await visitor.over(1)
    assert await page.locator(".thread").count() == 1


async def test_an_answer_is_made_longer_and_shorter_and_stays_so(visitor: Visit) -> None:
    run = await visitor.ask("What of it?", "partly")
    await expect(run.locator(".sections")).not_to_contain_text("Who is missing")
    await visitor.press("Longer", run)
    await expect(run.locator(".sections")).to_contain_text("Who is missing")
    await expect(run.get_by_role("button", name="Shorter")).to_be_focused()
    await visitor.press("Shorter", run)
    await expect(run.locator(".sections")).not_to_contain_text("Who is missing")


async def test_waves_and_rounds_that_members_leave(visitor: Visit) -> None:
    reviewed = await visitor.ask("Should remote work be the default?", "council")
    await expect(reviewed.locator(".small")).to_contain_text("strategy council")
    await expect(reviewed.locator('[data-id="nomad"]')).to_have_attribute("data-state", "failed")
    voted = await visitor.ask("What is 17 * 23?", "voting")
    await expect(voted.locator(".answer > .body strong").first).to_have_text("391")
    await expect(voted.locator('.members [data-state="unasked"]')).not_to_have_count(0)
    left = await visitor.ask("Should trams be free?", "elimination")
    await expect(left.locator('.members [data-state="left"]')).to_have_count(1)
    await expect(left.locator('[data-state="left"] .meta')).to_contain_text("left after round 1")


async def test_members_and_synthesis_show_as_they_come(visitor: Visit, site: Stage) -> None:
    site.provider.model("judge", pause=0.3)  # time to look at it on a busy machine
    await visitor.send("/consortium ask --no-charts --consortium slowly Who is first?")
    run = visitor.run()
    await expect(run.locator('[data-id="ada"]')).to_have_attribute("data-state", "answered")
    slow = run.locator('[data-id="slow"]')
    await expect(slow).to_have_attribute("data-state", "thinking")
    await expect(slow.locator(".meta")).to_have_text(re.compile(r"^[1-9] s$"))  # it counts, though nothing happens
    await expect(run.locator(".answer")).to_have_attribute("aria-busy", "true")
    await expect(visitor.page.locator(".thread form.composer")).to_be_hidden()  # there is nothing to go on from yet
    await expect(run.locator(".headline")).to_have_text("judge is weighing the answers")
    await expect(run.locator(".answer > .body")).not_to_be_empty()
    assert await run.get_attribute("data-state") == "running"
    site.provider.model("judge", pause=0.05)
    await visitor.over()
    await expect(run.locator(".answer")).to_have_attribute("aria-busy", "false")
    await expect(visitor.page.locator(".thread form.composer")).to_be_visible()
    await expect(visitor.page.get_by_role("status").last).to_contain_text("2 of 2 agree")


async def test_a_run_is_stopped_and_asked_again(visitor: Visit) -> None:
    await visitor.send("/consortium ask --no-charts --consortium stuck Will it end?")
    run = visitor.run()
    await expect(run.locator('[data-id="ada"]')).to_have_attribute("data-state", "answered")
    await visitor.press("Stop", run)
    await visitor.over(state="cancelled")
    await expect(run.locator(".headline")).to_contain_text("Stopped · 1 of 2 had answered")
    await visitor.press("Ask again", run)
    await expect(visitor.dialog.get_by_role("heading")).to_have_text("Ask again")
    await visitor.dialog.get_by_label("Consortium").select_option("real")
    await visitor.press("Ask", visitor.dialog)
    again = await visitor.over(1)
    await expect(visitor.dialog).to_have_count(0)
    await expect(again.locator(".question")).to_have_text("Will it end?")
    assert await visitor.page.locator(".thread").count() == 1


async def test_a_reload_restores_the_threads_and_what_runs_goes_on(visitor: Visit) -> None:
    await visitor.ask("First?")
    await visitor.send("/consortium ask --no-charts --consortium slowly Second?")
    await expect(visitor.run(1)).to_have_attribute("data-state", "running")
    await visitor.page.reload()
    await expect((await visitor.over(0)).locator(".question")).to_have_text("First?")
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
    await expect(run.locator(".headline")).to_contain_text("No answer")
    await expect(run.locator(".answer > .body")).to_contain_text("None of the 2 members answered")
    await expect(run.locator('li[data-state="failed"]')).to_have_count(2)


async def test_hostile_text_does_nothing_but_show(visitor: Visit) -> None:
    question = "<img src=x onerror=\"window.harmed='question'\">"
    await visitor.send(f"/consortium ask --no-charts --consortium hostile {question}")
    run = await visitor.over()
    await expect(run.locator(".question")).to_have_text(question)
    await visitor.press("Answers", run)
    said = run.locator(".behind .reply")
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
        await visitor.press("Longer", run)
        await visitor.press("Answers", run)
        await expect(run.locator(".behind .wide pre").first).to_be_visible()
        assert await visitor.overflow() == 0
        scrolls = "box => box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX === 'auto'"
        assert await run.locator(".behind .wide pre").first.locator("..").evaluate(scrolls)
        for number, command in enumerate(("roles", "models", "help", "list", "leaderboard")):
            await visitor.send(f"/consortium {command}")
            await visitor.note(number)
        assert await visitor.overflow() == 0
        for form in ("/consortium settings", "/consortium save"):
            await visitor.send(form)
            sticks_out = "box => box.scrollWidth > box.clientWidth || box.getBoundingClientRect().right > innerWidth"
            assert not await visitor.dialog.evaluate(sticks_out)
            await visitor.page.keyboard.press("Escape")
            await expect(visitor.dialog).to_have_count(0)
        ground = await visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in re.findall(r"\d+", ground)) < 64  # dark where dark is asked for


async def test_the_keyboard_is_enough(visitor: Visit) -> None:
    page = visitor.page
    await expect(visitor.box).to_be_focused()
    await page.keyboard.type("/consortium ask --no-charts --consortium real By hand?")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("Two lines.")
    await page.keyboard.press("Enter")
    run = await visitor.over()
    await expect(run.locator(".question")).to_have_text("By hand?\nTwo lines.")
    await expect(visitor.box).to_be_focused()
    await run.get_by_role("button", name="Answers").focus()
    await page.keyboard.press("Enter")
    await expect(run.locator(".behind")).to_be_visible()
    await run.locator(".behind .close").focus()
    await page.keyboard.press("Enter")
    await expect(run.get_by_role("button", name="Answers")).to_be_focused()
    skip = page.get_by_role("link", name="Skip to the message box")
    await skip.focus()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(visitor.box).to_be_focused()
    for field in await page.locator("textarea, button, input").all():
        named = "field => Boolean(field.labels?.length || field.ariaLabel || field.textContent.trim())"
        assert await field.evaluate(named)


async def test_enter_held_down_asks_once(visitor: Visit) -> None:
    box = visitor.box
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
    await visitor.page.get_by_role("button", name="Ask", exact=True).click()  # the text is still there
    await visitor.over()
    await expect(visitor.box).to_have_value("")
    await visitor.page.reload()
    await visitor.over()
    assert await visitor.page.locator(".run").count() == 1


async def test_two_browsers_do_not_meet(chromium: Browser, site: Stage, visitor: Visit) -> None:
    await visitor.ask("Between us?")
    async with visit(chromium, site.url) as other:
        await expect(other.page.get_by_role("heading", name="What should the panel decide?")).to_be_visible()
        await other.send("/consortium history")
        await expect(await other.note()).not_to_contain_text("Between us?")


async def test_following_a_link_to_the_page_keeps_the_threads(visitor: Visit) -> None:
    await visitor.ask("Mine?")
    await visitor.page.goto(f"data:text/html,<a href='{visitor.url}'>there</a>")
    await visitor.page.get_by_role("link").click()
    await visitor.over()
    visitor.foreign.clear()  # the page of the link
