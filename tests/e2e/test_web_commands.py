"""What people do at the page beside asking: forms, history, files, suggestions, what is theirs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Route, expect

from tests.browser import browser
from tests.e2e.web_stage import Stage, stage
from tests.e2e.web_visit import Visit, visit

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("browser-commands")]

PLAN: FilePayload = {"name": "plan.md", "mimeType": "text/markdown", "buffer": b"mark-plan: build it."}

DROP = """
([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, { type: "text/plain" }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}
"""

PASTE = """
(box) => {
  const data = new DataTransfer();
  data.items.add(new File(["pasted"], "pasted.txt", { type: "text/plain" }));
  box.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("page")) as site:
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


# --- beginning ------------------------------------------------------------------------------------------


async def test_an_example_is_a_tap_away(visitor: Visit) -> None:
    welcome = visitor.page.locator("#welcome")
    first = welcome.locator(".buttons button").first
    label = (await first.text_content() or "").rstrip("…")
    await first.click()
    run = await visitor.over()
    await expect(run.locator(".question")).to_contain_text(label)
    await expect(welcome).to_be_hidden()


async def test_commands_and_names_are_suggested(visitor: Visit) -> None:
    page, options = visitor.page, visitor.page.get_by_role("option")
    await visitor.box.press_sequentially("/cha")
    await expect(options.first).to_contain_text("channel-default")
    await expect(visitor.box).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("ArrowDown")
    await expect(options.first).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("Enter")
    await expect(visitor.box).to_have_value("/consortium channel-default ")
    await expect(options.filter(has_text="council").first).to_be_visible()
    await options.filter(has_text="council").first.click()
    await expect(visitor.box).to_have_value("/consortium channel-default council ")
    await expect(visitor.box).to_be_focused()
    await visitor.box.fill("/consortium use el")
    await expect(options).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(options).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(await visitor.note()).to_contain_text("There is no consortium")


async def test_a_mistake_is_explained_and_can_be_put_right(visitor: Visit) -> None:
    await visitor.send("/consortium hsitory")
    await expect(visitor.page.get_by_role("alert")).to_contain_text("Did you mean history?")
    await expect(visitor.box).to_have_value("/consortium hsitory")
    await visitor.send("/consortium history")
    await expect(await visitor.note(1)).to_contain_text("You have not asked anything yet")


# --- files ----------------------------------------------------------------------------------------------


async def test_files_are_picked_dropped_and_pasted(site: Stage, visitor: Visit) -> None:
    page, chips = visitor.page, visitor.page.locator("body > footer .files li")
    await page.locator('body > footer input[type="file"]').set_input_files([PLAN])
    await page.evaluate(DROP, ["dropped.txt", "mark-dropped"])
    await visitor.box.evaluate(PASTE)
    await expect(chips).to_have_text([re.compile("plan.md"), re.compile("dropped.txt"), re.compile("pasted.txt")])
    await page.get_by_role("button", name="Leave out pasted.txt").click()
    await expect(chips).to_have_count(2)
    await visitor.box.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Write a question to go with the files.")
    run = await visitor.ask("What of mark-files?")
    await expect(run.locator(":scope > .files li")).to_have_text(["plan.md", "dropped.txt"])
    await expect(run.locator(".small")).to_contain_text("with plan.md, dropped.txt")
    bodies = [json.dumps(r.body) for r in site.provider.requests if "mark-files" in json.dumps(r.body)]
    assert any("mark-plan: build it." in body and "mark-dropped" in body for body in bodies)
    await expect(chips).to_have_count(0)
    await page.reload()
    await expect((await visitor.over()).locator(":scope > .files li")).to_have_count(2)


async def test_a_file_that_cannot_be_read_stays_to_be_left_out(visitor: Visit) -> None:
    deck: FilePayload = {"name": "deck.pptx", "mimeType": "application/octet-stream", "buffer": b"PK"}
    await visitor.page.locator('body > footer input[type="file"]').set_input_files([deck])
    await visitor.send("/consortium ask --consortium real What is in it?")
    await expect(visitor.page.get_by_role("alert")).to_contain_text("is a presentation")
    await expect(visitor.page.locator("body > footer .files li")).to_have_count(1)
    await visitor.page.get_by_role("button", name="Leave out deck.pptx").click()
    await visitor.page.get_by_role("button", name="Ask", exact=True).click()
    await visitor.over()


async def test_files_that_are_too_many_or_too_large_are_told_and_the_others_shown(
    visitor: Visit, tmp_path: Path
) -> None:
    page, footer = visitor.page, visitor.page.locator("body > footer")
    large, plan = tmp_path / "large.txt", tmp_path / PLAN["name"]
    large.write_bytes(b"x" * (10 * 2**20 + 1))  # by its path: what is sent to the browser costs half a minute
    plan.write_bytes(PLAN["buffer"])
    await footer.locator('input[type="file"]').set_input_files([large, plan])
    await expect(page.get_by_role("alert")).to_have_text("large.txt has 10.5 MB; a file may have 10 MB.")
    await expect(footer.get_by_role("button", name="Leave out")).to_have_count(1)
    small: list[FilePayload] = [{"name": f"{n}.txt", "mimeType": "text/plain", "buffer": b"x"} for n in range(6)]
    await footer.locator('input[type="file"]').set_input_files(small)
    await expect(page.get_by_role("alert")).to_have_text("A question has at most 5 files.")
    await expect(footer.get_by_role("button", name="Leave out")).to_have_count(5)


async def test_a_command_of_the_bar_leaves_what_is_being_written(visitor: Visit) -> None:
    await visitor.page.locator('body > footer input[type="file"]').set_input_files([PLAN])
    await visitor.box.fill("Should we")
    await visitor.press("Roles")
    await expect(await visitor.note()).to_contain_text("Your roles")
    await expect(visitor.box).to_have_value("Should we")
    await expect(visitor.page.get_by_role("button", name="Leave out plan.md")).to_be_visible()


# --- forms ----------------------------------------------------------------------------------------------


async def test_settings_hold_from_then_on(visitor: Visit) -> None:
    await visitor.press("Settings", visitor.page.locator(".shortcuts"))
    form = visitor.dialog
    await expect(form.get_by_label("Consortium", exact=True)).to_be_focused()
    await form.get_by_label("Consortium", exact=True).select_option("partly")
    await form.get_by_label("charts with every answer").uncheck()
    await form.get_by_label("the whole answer at once").check()
    await visitor.press("Save", form)
    await expect(form).to_have_count(0)
    await visitor.note()
    await visitor.send("Is it set?")
    run = await visitor.over()
    await expect(run.locator(".members li")).to_have_count(3)
    await expect(run.locator(".sections")).to_contain_text("Who is missing")
    await expect(run.get_by_role("button", name="Charts")).to_have_count(0)
    await visitor.page.reload()
    await expect((await visitor.over()).get_by_role("button", name="Shorter")).to_be_visible()
    await visitor.press("Settings", visitor.page.locator(".shortcuts"))
    await expect(form.get_by_label("Consortium", exact=True)).to_have_value("partly")
    await expect(form.get_by_label("the whole answer at once")).to_be_checked()
    await visitor.press("Cancel", form)
    await expect(form).to_have_count(0)


async def test_a_consortium_is_saved_listed_shown_and_removed(visitor: Visit) -> None:
    await visitor.send("/consortium save")
    form = visitor.dialog
    await form.get_by_label("Name").fill("my pair")
    await form.get_by_label("ada", exact=False).first.check()
    await form.get_by_label("bert", exact=False).first.check()
    await form.get_by_label("Arbiter", exact=True).select_option("judge")
    await visitor.press("Save", form)
    await expect(form.locator('[data-name="name"] .problem')).to_contain_text("letters, digits")
    await expect(form.get_by_label("Name")).to_be_focused()
    await expect(form.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    await expect(form.get_by_label("bert", exact=False).first).to_be_checked()  # nothing is lost
    await form.get_by_label("Name").fill("my-pair")
    await form.get_by_label("Name").press("Enter")
    await expect(form).to_have_count(0)
    await visitor.press("Consortia", visitor.page.locator(".shortcuts"))
    await expect(await visitor.note(1)).to_contain_text("my-pair")
    await visitor.send("/consortium show my-pair")
    shown = await visitor.note(2)
    await expect(shown).to_contain_text("ada, bert")
    await visitor.press("Use it here", shown)
    await expect(shown).to_contain_text("You ask my-pair here from now on")
    await visitor.send("/consortium remove my-pair")
    asked = await visitor.note(3)
    await visitor.press("Remove it", asked)
    await expect(asked).to_contain_text("removed")
    await visitor.send("/consortium show my-pair")
    await expect(visitor.page.get_by_role("alert")).to_contain_text("no consortium my-pair")


async def test_a_form_whose_reply_was_lost_can_be_sent_again(visitor: Visit) -> None:
    await visitor.send("/consortium settings")

    async def lose(route: Route) -> None:
        await route.abort()

    await visitor.page.route("**/api/commands", lose, times=1)
    await visitor.dialog.get_by_label("Consortium", exact=True).select_option("single")
    await visitor.press("Save", visitor.dialog)
    await expect(visitor.dialog.get_by_role("alert")).to_contain_text("The server does not answer")
    await expect(visitor.dialog.get_by_label("Consortium", exact=True)).to_have_value("single")
    await visitor.press("Save", visitor.dialog)
    await expect(visitor.dialog).to_have_count(0)


async def test_a_form_that_is_wrong_twice_stays_open(visitor: Visit) -> None:
    await visitor.send("/consortium save")
    await expect(visitor.dialog).to_be_visible()
    for _ in range(2):
        async with visitor.page.expect_response("**/api/commands") as sent:
            await visitor.press("Save", visitor.dialog)
        assert (await sent.value).status == 400
        await expect(visitor.dialog.locator('[aria-invalid="true"]').first).to_be_focused()


async def test_an_answer_is_found_bad_and_the_reason_is_given(visitor: Visit) -> None:
    run = await visitor.ask("Is it any good?")
    await visitor.press("Good answer", run)
    await expect(run.locator(".thanks")).to_contain_text("Thank you")
    await expect(run.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    await visitor.press("Bad answer", run)
    await visitor.dialog.get_by_role("textbox").fill("It is too long.")
    await visitor.press("Send", visitor.dialog)
    await expect(run.locator(".thanks")).to_contain_text("your reason is stored")
    await expect(run.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "false")
    await expect(run.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")


# --- what is theirs -------------------------------------------------------------------------------------


async def test_history_is_searched_and_leads_to_its_runs(visitor: Visit) -> None:
    for question in ("Is the sea green?", "Is the moon cheese?"):
        await visitor.ask(question)
    await visitor.press("History")
    sheet = visitor.dialog
    await expect(sheet.locator(".reply")).to_contain_text("moon")
    await expect(sheet.locator(".reply")).to_contain_text("sea")
    await sheet.get_by_role("searchbox").fill("SEA gr")
    await expect(sheet.locator(".reply")).not_to_contain_text("moon")
    await expect(sheet.locator(".reply")).to_contain_text("sea")
    await visitor.press("1", sheet)
    await expect(sheet).to_have_count(0)
    await expect(visitor.run(0).locator(".question")).to_be_in_viewport()
    await expect(visitor.run(0).locator(".question")).to_be_focused()
    await visitor.press("History")
    await sheet.get_by_role("link").first.click()
    await expect(visitor.run(1).locator(".question")).to_be_focused()
    await visitor.press("History")
    await sheet.get_by_role("searchbox").fill("nowhere to be found")
    await expect(sheet.get_by_role("button", name="1", exact=True)).to_have_count(0)
    await visitor.press("Close", sheet)
    await expect(sheet).to_have_count(0)


async def test_history_is_searched_for_long_words_in_any_script(visitor: Visit) -> None:
    question = "远程办公是否应该成为默认的选择呢"
    await visitor.ask(question)
    await visitor.press("History")
    await visitor.dialog.get_by_role("searchbox").fill(question)
    await expect(visitor.dialog.get_by_role("link")).to_have_count(1)


async def test_what_was_deleted_in_another_tab_does_not_keep_the_rest_from_being_followed(visitor: Visit) -> None:
    async def away(route: Route) -> None:
        await route.abort()

    await visitor.page.route("**/api/events*", away)
    await visitor.send("/consortium ask --no-charts --consortium stuck Delete me?")
    await expect(visitor.page.locator(".run")).to_have_count(1)
    await visitor.send("/consortium ask --no-charts --consortium real Keep me?")
    await expect(visitor.page.locator(".run")).to_have_count(2)
    run_id = (await visitor.run(0).get_attribute("id") or "").removeprefix("run-")
    other = await visitor.context.new_page()
    await other.goto(visitor.url)
    await other.get_by_role("combobox", name="Command or question").fill(f"/consortium delete {run_id}")
    await other.keyboard.press("Enter")
    await other.get_by_role("button", name="Delete it").click()
    await expect(other.locator(".run")).to_have_count(1)
    await visitor.page.unroute("**/api/events*", away)
    kept = await visitor.over()
    await expect(kept.locator(".question")).to_have_text("Keep me?")
    await expect(visitor.page.locator(".run")).to_have_count(1)


async def test_a_run_is_deleted_once_that_is_confirmed(visitor: Visit) -> None:
    for question in ("Keep me?", "Delete me?"):
        run = await visitor.ask(question)
    run_id = (await run.get_attribute("id") or "").removeprefix("run-")
    await visitor.send(f"/consortium delete {run_id}")
    note = await visitor.note()
    await expect(note).to_contain_text("This cannot be undone")
    await visitor.press("Delete it", note)
    await expect(note).to_contain_text("is deleted")
    await expect(visitor.page.locator(".run")).to_have_count(1)
    await visitor.page.reload()
    await expect((await visitor.over()).locator(".question")).to_have_text("Keep me?")
    await expect(visitor.page.locator(".run")).to_have_count(1)


async def test_everything_is_taken_along_and_forgotten(visitor: Visit) -> None:
    await visitor.ask("What is mine?")
    await visitor.send("/consortium forget-me")
    note = await visitor.note()
    await visitor.press("Export it first", note)
    async with visitor.page.expect_download() as downloading:
        await note.get_by_role("link", name=re.compile("Download")).click()
    file = await downloading.value
    assert file.suggested_filename.endswith(".json")
    data = json.loads((await file.path()).read_text("utf-8"))
    assert "What is mine?" in json.dumps(data)
    await visitor.send("/consortium forget-me")
    again = await visitor.note(1)
    await visitor.press("Delete it all", again)
    await expect(again).to_contain_text("is deleted")
    await expect(visitor.page.locator(".run")).to_have_count(0)
    await visitor.page.reload()
    await expect(visitor.page.get_by_role("heading", name="What should the panel decide?")).to_be_visible()


async def test_what_may_be_dear_is_confirmed_first(visitor: Visit) -> None:
    await visitor.send("/consortium budget confirm 10 tokens")
    await visitor.note()
    try:
        await visitor.send("/consortium ask --no-charts --consortium real Is it dear?")
        note = await visitor.note(1)
        await expect(note).to_contain_text("It may use up to")
        assert await visitor.page.locator(".run").count() == 0
        await visitor.press("Confirm", note)
        run = await visitor.over()
        await expect(run.locator(".question")).to_have_text("Is it dear?")
        await expect(note).to_have_count(0)
    finally:
        await visitor.send("/consortium budget confirm off")
        await expect(visitor.page.locator(".said.card")).to_have_count(2)
