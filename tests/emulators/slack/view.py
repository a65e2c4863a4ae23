"""The state of a channel, a thread, the modals or the App Home as one page that looks like Slack."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .block_html import BlockRenderer, picture
from .markup import icon, mrkdwn_html, plain_html
from .views import View
from .workspace import ALICE, Ephemeral, File, Message

if TYPE_CHECKING:
    from .emulator import SlackEmulator

STYLE = Path(__file__).with_name("view.css")


def render(
    slack: SlackEmulator,
    *,
    channel: str | None = None,
    thread_ts: str | None = None,
    home: bool = False,
    user: str = ALICE,
    width: int = 360,
) -> str:
    """One self-contained HTML page.

    Args:
        channel: what to show; None shows every channel that has messages.
        thread_ts: show this thread alone, else the channel's messages, each with its replies.
        home: show the person's App Home instead.
        user: whose screen it is: their ephemerals and modals are shown.
        width: of the screen, in CSS pixels.
    """
    page = _Page(slack, user)
    if home:
        body = page.home()
    elif channel is None:
        body = "".join(page.channel(one) for one in slack.workspace.channels if slack.messages(one))
    elif thread_ts is None:
        body = page.channel(channel)
    else:
        body = page.thread(channel, thread_ts)
    style = STYLE.read_text("utf-8")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width={width}"><title>Slack</title>'
    frame = f"<style>{style} body {{ width: {width}px; max-width: 100% }}</style>"
    return f"<!DOCTYPE html><html><head>{head}{frame}</head><body>{body}{page.modals()}</body></html>"


class _Page:
    """Renders for one person."""

    def __init__(self, slack: SlackEmulator, user: str) -> None:
        self._slack, self._user = slack, user
        space = slack.workspace
        people = {person.id: person.real_name for person in space.users.values()}
        self._names = people | {place.id: place.name for place in space.channels.values()}
        self._blocks = BlockRenderer(self._names, space.files)

    def channel(self, channel: str) -> str:
        """A channel's messages and under each the replies, ephemerals where they appeared."""
        roots: list[Message | Ephemeral] = [
            message for message in self._slack.messages(channel) if message.thread_ts in (None, message.ts)
        ]
        roots += [shown for shown in self._ephemerals(channel) if not shown.thread_ts]
        shown = []
        for root in sorted(roots, key=lambda message: message.ts):
            replies = self._replies(channel, root.ts)
            count = _count(replies) if replies else ""
            status = self._status(channel, root.ts)
            shown.append(self._message(root) + count + "".join(map(self._message, replies)) + status)
        return self._bar(channel) + "".join(shown) + self._prompts(channel, "")

    def thread(self, channel: str, ts: str) -> str:
        """A root and its replies."""
        root = self._slack.workspace.messages[channel, ts]
        replies = self._replies(channel, ts)
        count = _count(replies)
        rest = "".join(map(self._message, replies)) + self._status(channel, ts) + self._prompts(channel, ts)
        return self._bar(channel, ts) + self._message(root) + count + rest

    def home(self) -> str:
        """The App Home."""
        home = self._slack.home(self._user)
        inner = self._blocks.blocks(home.body["blocks"], home.state) if home else "The app published nothing."
        return (
            f'<div class="bar">{plain_html(self._names[self._slack.bot_user_id])}</div><div class="home">{inner}</div>'
        )

    def modals(self) -> str:
        """The person's modals, the topmost first."""
        return "".join(self._modal(view) for view in reversed(self._slack.modals(self._user)))

    def _modal(self, view: View) -> str:
        body = view.body
        close = self._blocks.text(body["close"]) if "close" in body else "Close"
        submit = f'<span class="button primary">{self._blocks.text(body["submit"])}</span>' if "submit" in body else ""
        inner = self._blocks.blocks(body["blocks"], view.state, view.errors)
        foot = f'<div class="foot"><span class="button">{close}</span>{submit}</div>'
        bar = f'<div class="bar">{self._blocks.text(body["title"])}</div>'
        return f'<div class="modal">{bar}<div class="inner">{inner}</div>{foot}</div>'

    def _bar(self, channel: str, thread: str | None = None) -> str:
        place = self._slack.workspace.channels[channel]
        name = f"# {place.name}" if place.name else self._names[self._slack.bot_user_id]
        title = self._slack.titles.get((channel, thread or ""), "")
        where = f"Thread <span class='faint'>{plain_html(name)}</span>" if thread else plain_html(name)
        return f'<div class="bar">{where} <span class="faint">{plain_html(title)}</span></div>'

    def _replies(self, channel: str, ts: str) -> list[Message | Ephemeral]:
        replies: list[Message | Ephemeral] = [one for one in self._slack.thread(channel, ts) if one.ts != ts]
        replies += [shown for shown in self._ephemerals(channel) if shown.thread_ts == ts]
        return sorted(replies, key=lambda message: message.ts)

    def _ephemerals(self, channel: str) -> list[Ephemeral]:
        return [one for one in self._slack.ephemerals if (one.channel, one.user) == (channel, self._user)]

    def _status(self, channel: str, ts: str) -> str:
        status = self._slack.status(channel, ts)
        if not status or status in {"active", "closed", "suspended"}:
            return ""
        return f'<div class="status">{plain_html(self._names[self._slack.bot_user_id])} {plain_html(status)}…</div>'

    def _prompts(self, channel: str, ts: str) -> str:
        prompts = self._slack.prompts.get((channel, ts), [])
        return "".join(
            f'<div class="prompts"><span class="button">{plain_html(p["title"])}</span></div>' for p in prompts
        )

    def _message(self, message: Message | Ephemeral) -> str:
        only = isinstance(message, Ephemeral)
        user = self._slack.bot_user_id if isinstance(message, Ephemeral) else message.user
        bot = user == self._slack.bot_user_id
        name = self._names.get(user, user)
        time = datetime.fromtimestamp(float(message.ts), UTC).strftime("%H:%M")
        app = '<span class="app">APP</span>' if bot else ""
        note = f'<div class="faint">{icon("eye")} Only visible to you</div>' if only else ""
        edited = ' <span class="faint">(edited)</span>' if isinstance(message, Message) and message.edits else ""
        avatar = f'<div class="avatar {"bot" if bot else ""}">{plain_html(name[:1])}</div>'
        who = f'<span class="who">{plain_html(name)}</span>{app} <span class="time">{time}</span>'
        body = f'<div class="body">{note}{who}{self._content(message)}{edited}</div>'
        return f'<div class="message {"only" if only else ""}">{avatar}{body}</div>'

    def _content(self, message: Message | Ephemeral) -> str:
        if isinstance(message, Ephemeral):
            return self._blocks.blocks(message.blocks) or f"<div>{mrkdwn_html(message.text, self._names)}</div>"
        files = "".join(map(self._file, message.files))
        if message.stream is not None:
            end = '<div class="stopped">Stopped</div>' if message.stopped_by_user else ""
            end = '<div class="stopped">▍ still streaming</div>' if self._slack.workspace.live(message) else end
            text = self._blocks.markdown(message.text)
            return self._blocks.stream(message.stream) + text + self._blocks.blocks(message.blocks) + end + files
        if message.blocks:
            return self._blocks.blocks(message.blocks) + files
        if message.markdown:
            return self._blocks.markdown(message.text) + files
        return f"<div>{mrkdwn_html(message.text, self._names)}</div>{files}"

    @staticmethod
    def _file(file: File) -> str:
        if file.mimetype.startswith("image/") and file.content:
            return f'<div class="faint">{plain_html(file.title or file.name)}</div>{picture(file, "shared")}'
        size = f'<span class="faint">{file.mimetype}, {file.length} bytes</span>'
        return f'<div class="file">{icon("file")} <b>{plain_html(file.title or file.name)}</b><br>{size}</div>'


def _count(replies: list[Message | Ephemeral]) -> str:
    many = "1 reply" if len(replies) == 1 else f"{len(replies)} replies"
    return f'<div class="replies">{many}</div>'
