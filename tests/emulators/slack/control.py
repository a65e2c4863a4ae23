"""Control plane: the injectors over HTTP, for an app under test in another process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .view import render

if TYPE_CHECKING:
    from .emulator import SlackEmulator
    from .views import View


def find_view(slack: SlackEmulator, view_id: str) -> View:
    """The modal or App Home of that id.

    Raises:
        LookupError: there is none.
    """
    for view in [*slack.views, *(home for user in slack.workspace.users if (home := slack.home(user)))]:
        if view.id == view_id:
            return view
    raise LookupError(f"no view {view_id}")


def control_routes(slack: SlackEmulator) -> list[web.RouteDef]:
    """`POST /_ctl/<injector>` with the injector's arguments as JSON (a `view` by its id), `GET /_ctl/state`, and
    `GET /_ctl/view?channel=&thread_ts=&home=1&user=&width=` for a page to look at."""

    async def inject(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        arguments = await request.json() if request.can_read_body else {}
        try:
            if name == "fault":
                slack.fault(**arguments)
                return web.json_response({"ok": True})
            injectors: dict[str, Callable[..., Awaitable[Any]]] = {
                "say": slack.say,
                "command": slack.command,
                "event": slack.event,
                "click": slack.click,
                "click_view": slack.click_view,
                "disconnect": slack.disconnect,
                "join": slack.join,
                "message_shortcut": slack.message_shortcut,
                "open_home": slack.open_home,
                "shortcut": slack.shortcut,
                "stop_session": slack.stop_session,
                "stop_stream": slack.stop_stream,
                "submit_view": slack.submit_view,
            }
            if name not in injectors:
                return web.json_response({"ok": False, "error": f"no injector {name}"}, status=404)
            if "view" in arguments:
                arguments["view"] = find_view(slack, arguments["view"])
            result = await injectors[name](**arguments)
        except (TypeError, LookupError, ValueError) as error:
            return web.json_response({"ok": False, "error": str(error)}, status=400)
        shown = result if isinstance(result, str | None) else asdict(result)
        return web.json_response({"ok": True, "result": shown})

    async def state(request: web.Request) -> web.Response:
        channels = slack.workspace.channels
        messages = [message.to_json(channels, metadata=True) for message in slack.messages()]
        shown = [asdict(ephemeral) for ephemeral in slack.ephemerals]
        views = [view.to_json() | {"user": view.user, "open": view.open} for view in slack.views]
        dump = slack.journal.dump() | {"messages": messages, "ephemerals": shown, "views": views}
        return web.json_response(dump)

    async def view(request: web.Request) -> web.Response:
        asked = request.query
        try:
            page = render(
                slack,
                channel=asked.get("channel"),
                thread_ts=asked.get("thread_ts"),
                home=asked.get("home") == "1",
                user=asked.get("user", slack.user),
                width=int(asked.get("width", "360")),
            )
        except (LookupError, ValueError) as error:
            return web.Response(status=400, text=f"cannot show {error}")
        return web.Response(text=page, content_type="text/html")

    return [web.post("/_ctl/{name}", inject), web.get("/_ctl/state", state), web.get("/_ctl/view", view)]
