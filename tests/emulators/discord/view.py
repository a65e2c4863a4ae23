"""Shows a channel or an interaction as people see it: one HTML page in Discord's dark dress, pictures inlined.

page = channel_page(emulator, thread.id, viewer=emulator.alice)
await screenshot(page, folder / "thread.png")
"""

from __future__ import annotations

import asyncio
import base64
import html
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.emulators.discord.emulator import DiscordEmulator
from tests.emulators.discord.errors import Json
from tests.emulators.discord.forms import CHECKBOX, FILE_UPLOAD, LABEL, TEXT_DISPLAY, TEXT_INPUT
from tests.emulators.discord.interactions import Interaction
from tests.emulators.discord.limits import MessageType
from tests.emulators.discord.view_text import as_html
from tests.emulators.discord.world import Attachment, Message, User

WIDTH = 360
_STYLE = Path(__file__).with_name("view.css")
_BUTTONS = {1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "secondary", 6: "primary"}
_PICKERS = {5: "Select a user", 6: "Select a role", 7: "Select a user or role", 8: "Select a channel"}


def channel_page(emulator: DiscordEmulator, channel_id: int, *, viewer: User | None = None, width: int = WIDTH) -> str:
    """Show a channel or thread, with the ephemeral messages that `viewer` sees; None sees all. Width in pixels."""
    stored = emulator.messages(channel_id, ephemeral=True)
    seen = [message for message in stored if viewer is None or message.viewer in {None, viewer.id}]
    return _page(emulator, f"# {emulator.world.channels[channel_id].name}", seen, None, width)


def interaction_page(emulator: DiscordEmulator, interaction: Interaction, *, width: int = WIDTH) -> str:
    """Show all replies of an interaction, and the modal that it opened. Width in pixels."""
    title = f"{interaction.user.name} used {interaction.data.get('name') or interaction.data.get('custom_id')}"
    return _page(emulator, title, interaction.replies, interaction.modal, width)


async def screenshot(page: str, target: Path, *, width: int = WIDTH, height: int = 1400) -> None:
    """Write a picture of `page` with Chromium; raises RuntimeError when there is none after 30 s."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(page, encoding="utf-8")
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/p"]
        arguments += [f"--window-size={width},{height}", f"--screenshot={target}", source.as_uri()]
        quiet = asyncio.subprocess.DEVNULL
        browser = await asyncio.create_subprocess_exec("chromium", *arguments, stdout=quiet, stderr=quiet)
        try:
            await asyncio.wait_for(browser.wait(), 30)
        except TimeoutError:
            browser.kill()
            await browser.wait()
        if browser.returncode:
            raise RuntimeError(f"chromium wrote no picture ({browser.returncode})")


def _page(emulator: DiscordEmulator, title: str, messages: Sequence[Message], modal: Json | None, width: int) -> str:
    view = _View(emulator)
    body = "".join(view.message(message) for message in messages) + (view.modal(modal) if modal else "")
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{_STYLE.read_text(encoding='utf-8')}body{{width:{width}px}}</style>"
        f"<body><header>{html.escape(title)}</header><main>{body}</main></body></html>"
    )


class _View:
    """Writes parts of the page."""

    def __init__(self, emulator: DiscordEmulator) -> None:
        self._world = emulator.world

    def _name(self, kind: str, number: int) -> str:
        if kind == "#":
            channel = self._world.channels.get(number)
            return f"#{channel.name}" if channel else "#unknown"
        found = self._world.users.get(number) if kind == "@" else self._world.guild.roles.get(number)
        return f"@{found.name}" if found else "@unknown"

    def _text(self, text: str) -> str:
        return f"<div class='text'>{as_html(text, self._name)}</div>"

    def message(self, message: Message) -> str:
        """Write one message."""
        if message.type in {MessageType.THREAD_CREATED, MessageType.THREAD_STARTER}:
            return self._note(message)
        author = html.escape(message.author.name)
        badge = "<span class='badge'>APP</span>" if message.author.bot else ""
        at = datetime.fromtimestamp(message.at, UTC).strftime("%H:%M")
        edited = " <span class='edited'>(edited)</span>" if message.edited_at else ""
        head = f"<div class='head'><b>{author}</b>{badge}<time>{at}</time>{edited}</div>"
        foot = "<div class='foot'>Only you can see this &bull; <a>Dismiss message</a></div>"
        return (
            f"<article class='{'ephemeral' if message.ephemeral else ''}'>{self._above(message)}"
            f"<div class='face {'bot' if message.author.bot else ''}'>{author[:1].upper()}</div>"
            f"<div class='body'>{head}{self._content(message)}{foot if message.ephemeral else ''}</div></article>"
        )

    def _note(self, message: Message) -> str:
        if message.type == MessageType.THREAD_CREATED:
            return f"<div class='note'>started a thread: <b>{html.escape(message.content)}</b></div>"
        channel_id, message_id = message.reference or (0, 0)
        channel = self._world.channels.get(channel_id)
        start = channel.messages.get(message_id) if channel else None
        return self.message(start) + "<hr>" if start else ""

    def _above(self, message: Message) -> str:
        if message.type in {MessageType.CHAT_INPUT_COMMAND, MessageType.CONTEXT_MENU_COMMAND} and message.origin:
            used = (
                f"<b>{html.escape(message.origin.user.name)}</b> used <span>{html.escape(message.origin.name)}</span>"
            )
            return f"<div class='above'>{used}</div>"
        if message.type == MessageType.REPLY and message.reference:
            channel_id, message_id = message.reference
            target = self._world.channels[channel_id].messages.get(message_id)
            words = f"<b>@{target.author.name}</b> {html.escape(target.text[:60])}" if target else "deleted message"
            return f"<div class='above'>{words}</div>"
        return ""

    def _content(self, message: Message) -> str:
        if message.loading:
            return "<div class='text thinking'><i></i><i></i><i></i> is thinking...</div>"
        shown = self._text(message.content) if message.content else ""
        shown += "".join(self._file(file) for file in message.attachments)
        shown += "".join(self._embed(embed, message) for embed in message.embeds)
        shown += "".join(self._component(part, message) for part in message.components)
        thread = self._world.channels.get(message.thread_id or 0)
        return shown + (f"<div class='thread'># <b>{html.escape(thread.name)}</b></div>" if thread else "")

    def _file(self, file: Attachment) -> str:
        if (file.content_type or "").startswith("image/"):
            return f"<img class='picture' src='{_data(file)}' alt='{html.escape(file.description or '')}'>"
        return (
            f"<div class='file'><i></i><span><a>{html.escape(file.filename)}</a>"
            f"<small>{len(file.data) / 1024:.2f} KB</small></span></div>"
        )

    def _media(self, media: Json, message: Message, kind: str, alt: str | None) -> str:
        file = next((file for file in message.files if f"/{file.id}/" in media["url"]), None)
        source = _data(file) if file else media["url"]
        return f"<img class='{kind}' src='{html.escape(source)}' alt='{html.escape(alt or '')}'>"

    def _embed(self, embed: Json, message: Message) -> str:
        inside = f"<b class='title'>{html.escape(embed['title'])}</b>" if embed.get("title") else ""
        inside += self._text(embed.get("description", "")) if embed.get("description") else ""
        for item in embed.get("fields", ()):
            inside += f"<div class='field'><b>{html.escape(item['name'])}</b>{self._text(item['value'])}</div>"
        if "image" in embed:
            inside += self._media(embed["image"], message, "picture", None)
        if "footer" in embed:
            inside += f"<small>{html.escape(embed['footer']['text'])}</small>"
        return f"<div class='box' style='border-left-color:{_colour(embed.get('color'))}'>{inside}</div>"

    def _component(self, part: Json, message: Message) -> str:
        inner = "".join(self._component(child, message) for child in part.get("components", ()))
        match part["type"]:
            case 1:
                return f"<div class='row'>{inner}</div>"
            case 2:
                return _button(part)
            case 3 | 5 | 6 | 7 | 8:
                return _select(part)
            case 9:
                accessory = self._component(part["accessory"], message)
                return f"<div class='section'><div>{inner}</div>{accessory}</div>"
            case 10:
                return self._text(part["content"])
            case 11:
                return self._media(part["media"], message, "thumbnail", part.get("description"))
            case 12:
                items = [self._media(i["media"], message, "tile", i.get("description")) for i in part["items"]]
                return f"<div class='gallery n{min(len(items), 3)}'>{''.join(items)}</div>"
            case 13:
                file = next(file for file in message.files if f"/{file.id}/" in part["file"]["url"])
                return self._file(file)
            case 14:
                kinds = f"space{part['spacing']} {'line' if part['divider'] else ''}"
                return f"<div class='separator {kinds}'></div>"
        return f"<div class='box' style='border-left-color:{_colour(part.get('accent_color'))}'>{inner}</div>"

    def modal(self, modal: Json) -> str:
        """Write an open modal."""
        parts = "".join(self._holder(holder) for holder in modal["components"])
        buttons = (
            "<div class='row end'><button class='secondary'>Cancel</button><button class='primary'>Submit</button>"
        )
        return f"<div class='modal'><h2>{html.escape(modal['title'])}</h2>{parts}{buttons}</div></div>"

    def _holder(self, holder: Json) -> str:
        if holder["type"] == TEXT_DISPLAY:
            return self._text(holder["content"])
        if holder["type"] != LABEL:
            return "".join(_labelled(part["label"], None, part) for part in holder["components"])
        return _labelled(holder["label"], holder.get("description"), holder["component"])


def _labelled(label: str, description: str | None, part: Json) -> str:
    needed = part["type"] != CHECKBOX and part.get("required") is not False
    star = "<em>*</em>" if needed else ""
    more = f"<small>{html.escape(description)}</small>" if description else ""
    return f"<label><b>{html.escape(label)}</b>{star}{more}{_input(part)}</label>"


def _input(part: Json) -> str:
    if part["type"] == TEXT_INPUT:
        hint, value = html.escape(part.get("placeholder") or ""), html.escape(part.get("value") or "")
        kind = "long" if part["style"] == 2 else "short"
        return f"<div class='input {kind}'>{value or f'<span>{hint}</span>'}</div>"
    if part["type"] == FILE_UPLOAD:
        return "<div class='input drop'>Drop files here or <a>browse</a></div>"
    if part["type"] == CHECKBOX:
        return f"<div class='option'>{'&#9745;' if part.get('default') else '&#9744;'}</div>"
    if part["type"] in _PICKERS or part["type"] == 3:
        return _select(part)
    sign = "&#9673;&#9675;" if part["type"] == 21 else "&#9745;&#9744;"
    on, off = (f"{one};" for one in sign.split(";")[:2])
    options = [f"<div class='option'>{on if o.get('default') else off} {_option(o)}</div>" for o in part["options"]]
    return "".join(options)


def _option(option: Json) -> str:
    more = f"<small>{html.escape(option['description'])}</small>" if option.get("description") else ""
    return f"{_emoji(option)}{html.escape(option['label'])}{more}"


def _emoji(part: Json) -> str:
    emoji = part.get("emoji") or {}
    return f"{html.escape(emoji.get('name') or '')} " if emoji else ""


def _button(part: Json) -> str:
    link = " &#8599;" if part["style"] == 5 else ""
    disabled = "disabled" if part.get("disabled") else ""
    label = html.escape(part.get("label") or "")
    return f"<button class='{_BUTTONS[part['style']]}' {disabled}>{_emoji(part)}{label}{link}</button>"


def _select(part: Json) -> str:
    chosen = [_option(option) for option in part.get("options", ()) if option.get("default")]
    hint = html.escape(part.get("placeholder") or _PICKERS.get(part["type"], "Make a selection"))
    disabled = "disabled" if part.get("disabled") else ""
    shown = "<br>".join(chosen) or f"<span>{hint}</span>"
    return f"<div class='select {disabled}'><div>{shown}</div><b>&#8964;</b></div>"


def _colour(value: int | None) -> str:
    return "transparent" if value is None else f"#{value:06x}"


def _data(file: Attachment) -> str:
    kind = (file.content_type or "application/octet-stream").replace(" ", "")
    return f"data:{kind};base64,{base64.b64encode(file.data).decode()}"
