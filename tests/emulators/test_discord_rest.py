"""The emulator's REST side, with requests that discord.py would never send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.emulators.discord import DiscordEmulator, Interaction, NotOffered, Permission
from tests.emulators.discord.caller import Caller, fault
from tests.emulators.discord.samplebot import PIXEL

Json = dict[str, Any]


@pytest.fixture
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False) as emulator:
        yield emulator


@pytest.fixture
async def call(emu: DiscordEmulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(emu, session)


COMMAND: Json = {"name": "ask", "description": "Ask"}
NO_PINGS: Json = {"parse": []}
ORIGINAL = "/messages/@original"


async def started(emu: DiscordEmulator, call: Caller) -> Interaction:
    """Give an interaction that is not acknowledged yet."""
    await call.sync(COMMAND)
    return await emu.command(emu.alice, "ask")


async def test_reply_headers_and_ids(emu: DiscordEmulator, call: Caller) -> None:
    status, message = await call.send({"content": "hello", "allowed_mentions": NO_PINGS})
    assert status == 200
    assert call.last.headers["Content-Type"] == "application/json"
    assert {"X-RateLimit-Limit", "X-RateLimit-Bucket", "X-RateLimit-Reset-After"} <= call.last.headers.keys()
    assert int(message["id"]) >> 22 > 3e11
    assert (emu.requests[-1].route, emu.requests[-1].status) == ("POST /channels/{channel_id}/messages", 200)
    assert emu.violations == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": "Bot wrong", "User-Agent": "DiscordBot (x, 1)"}, 401, 0),
        ({"Authorization": "Bot emulated.bot.token", "User-Agent": "curl"}, 403, 40333),
        ({"User-Agent": "DiscordBot (x, 1)"}, 401, 0),
    ],
)
async def test_credentials(emu: DiscordEmulator, call: Caller, headers: Json, status: int, code: int) -> None:
    assert await call("GET", "/users/@me", headers=headers) == (status, call_body := emu.requests[-1].reply)
    assert call_body["code"] == code
    assert [violation.kind for violation in emu.violations] == ["request"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/nowhere"), ("PUT", "/users/@me"), ("GET", "/channels/abc")])
async def test_unknown_routes(emu: DiscordEmulator, call: Caller, method: str, path: str) -> None:
    assert await call(method, path) == (404, {"message": "404: Not Found", "code": 0})
    assert [violation.kind for violation in emu.violations] == ["route"]


async def test_body_types(emu: DiscordEmulator, call: Caller) -> None:
    path = f"/channels/{emu.channel_id}/messages"
    json_headers = call.headers | {"Content-Type": "application/json"}
    status, body = await call("POST", path, data=b"{", headers=json_headers)
    assert (status, body["code"]) == (400, 50109)
    text_headers = call.headers | {"Content-Type": "text/plain"}
    assert fault(await call("POST", path, data=b"{}", headers=text_headers)) == "CONTENT_TYPE_INVALID"
    assert len(emu.take_violations()) == 2


async def test_unknown_fields_are_noted(emu: DiscordEmulator, call: Caller) -> None:
    status, _ = await call.send({"content": "x", "embeds": [{"titel": "typo"}], "allowed_mentions": NO_PINGS})
    assert status == 200
    assert [violation.detail for violation in emu.violations] == ["unknown field embeds.0.titel"]


BUTTON: Json = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}
V2 = 32768
BAD_MESSAGES: list[tuple[Json, tuple[str, ...], str]] = [
    ({"content": "x" * 2001}, ("content",), "BASE_TYPE_MAX_LENGTH"),
    ({"embeds": [{"title": "x" * 257}]}, ("embeds", "0", "title"), "BASE_TYPE_MAX_LENGTH"),
    ({"embeds": [{"description": "x" * 4096}] * 2}, ("embeds",), "MAX_EMBED_SIZE_EXCEEDED"),
    ({"embeds": [{"fields": [{"name": "a"}]}]}, ("embeds", "0", "fields", "0", "value"), "BASE_TYPE_REQUIRED"),
    (
        {"embeds": [{"fields": [{"name": " ", "value": "b"}]}]},
        ("embeds", "0", "fields", "0", "name"),
        "BASE_TYPE_REQUIRED",
    ),
    ({"embeds": [{"title": "x"}] * 11}, ("embeds",), "BASE_TYPE_MAX_LENGTH"),
    (
        {"content": "x", "flags": V2, "components": [{"type": 10, "content": "y"}]},
        ("content",),
        "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
    ),
    (
        {"flags": V2, "components": [{"type": 10, "content": "y" * 2001}] * 2},
        ("components",),
        "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED",
    ),
    (
        {"flags": V2, "components": [{"type": 17, "components": [{"type": 14}] * 20}] * 2},
        ("components",),
        "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED",
    ),
    ({"content": "x", "components": [{"type": 10, "content": "y"}]}, ("components", "0", "type"), "BASE_TYPE_CHOICES"),
    (
        {"content": "x", "components": [{"type": 1, "components": [BUTTON]}] * 6},
        ("components",),
        "BASE_TYPE_MAX_LENGTH",
    ),
    (
        {"content": "x", "components": [{"type": 1, "components": [BUTTON, BUTTON]}]},
        ("components", "0", "components", "1", "custom_id"),
        "COMPONENT_CUSTOM_ID_DUPLICATED",
    ),
    (
        {"content": "x", "components": [{"type": 1, "components": [BUTTON | {"label": "x" * 81}]}]},
        ("components", "0", "components", "0", "label"),
        "BASE_TYPE_MAX_LENGTH",
    ),
    (
        {"embeds": [{"image": {"url": "attachment://no.png"}}]},
        ("embeds", "0", "image", "url"),
        "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND",
    ),
    ({"content": "x", "attachments": [{"id": 0}]}, ("attachments", "0", "id"), "ATTACHMENT_NOT_FOUND"),
    (
        {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}},
        ("allowed_mentions",),
        "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
    ),
    ({"content": "x", "message_reference": {"message_id": 1}}, ("message_reference",), "REPLIES_UNKNOWN_MESSAGE"),
    ({"content": "x", "nonce": "n" * 26}, ("nonce",), "BASE_TYPE_MAX_LENGTH"),
]


@pytest.mark.parametrize(("body", "path", "code"), BAD_MESSAGES)
async def test_bad_messages(emu: DiscordEmulator, call: Caller, body: Json, path: tuple[str, ...], code: str) -> None:
    assert fault(await call.send(body), *path) == code
    assert emu.messages(emu.channel_id) == []
    assert [violation.kind for violation in emu.take_violations()] == ["request"]


async def test_empty_message(emu: DiscordEmulator, call: Caller) -> None:
    status, body = await call.send({"content": " "})
    assert (status, body["code"]) == (400, 50006)


async def test_too_many_bytes_break_discord(emu: DiscordEmulator, call: Caller) -> None:
    body = {"flags": V2, "components": [{"type": 10, "content": "€" * 3500}]}
    assert (await call.send(body))[0] == 500


async def test_files(emu: DiscordEmulator, call: Caller) -> None:
    files = {"my chart.png": PIXEL, "notes.txt": b"hi"}
    listed = [{"id": 0, "description": "a chart"}, {"id": 1, "filename": "ü notes.txt"}]
    _, message = await call.send({"attachments": listed}, files=files)
    assert [
        (a["filename"], a.get("description"), a["content_type"], a.get("width")) for a in message["attachments"]
    ] == [
        ("my_chart.png", "a chart", "image/png", 1),
        ("_notes.txt", None, "text/plain; charset=utf-8", None),
    ]
    path = f"/channels/{emu.channel_id}/messages/{message['id']}"
    kept = [{"id": message["attachments"][1]["id"]}]
    _, message = await call("PATCH", path, {"attachments": kept})
    assert [file.data for file in emu.files(emu.channel_id)] == [b"hi"]
    status, body = await call.send({}, files={"big.bin": b"x" * (10 * 1024 * 1024 + 1)})
    assert (status, body["code"]) == (413, 40005)


async def test_v2_flag_stays(emu: DiscordEmulator, call: Caller) -> None:
    _, message = await call.send({"flags": V2, "components": [{"type": 10, "content": "y"}]})
    path = f"/channels/{emu.channel_id}/messages/{message['id']}"
    assert fault(await call("PATCH", path, {"flags": 0}), "flags") == "MESSAGE_CANNOT_REMOVE_COMPONENTS_V2_FLAG"
    status, message = await call("PATCH", path, {"components": [{"type": 10, "content": "z"}]})
    assert (status, message["components"][0]["content"], message["flags"]) == (200, "z", V2)


async def test_nonce(emu: DiscordEmulator, call: Caller) -> None:
    body = {"content": "once", "nonce": "7", "enforce_nonce": True, "allowed_mentions": NO_PINGS}
    first, second = await call.send(body), await call.send(body)
    assert first == second == await call.send(body, channel_id=emu.add_channel("elsewhere"))
    assert len(emu.messages(emu.channel_id)) == 1
    emu.clock.advance(301)
    await call.send(body)
    await call.send(body | {"enforce_nonce": False})
    assert len(emu.messages(emu.channel_id)) == 3


async def test_history(emu: DiscordEmulator, call: Caller) -> None:
    ids = [(await emu.say(emu.alice, emu.channel_id, str(number))).id for number in range(6)]
    path = f"/channels/{emu.channel_id}/messages"

    async def texts(query: str) -> str:
        return "".join(message["content"] for message in (await call("GET", path + query))[1])

    assert await texts("") == "543210"
    assert await texts("?limit=2") == "54"
    assert await texts(f"?before={ids[3]}&limit=2") == "21"
    assert await texts(f"?after={ids[3]}&limit=1") == "4"
    assert await texts(f"?around={ids[3]}&limit=3") == "432"
    assert fault(await call("GET", f"{path}?limit=101"), "limit") == "NUMBER_TYPE_MAX"


async def test_threads(emu: DiscordEmulator, call: Caller) -> None:
    said = await emu.say(emu.alice, emu.channel_id, "topic")
    path = f"/channels/{emu.channel_id}/messages/{said.id}/threads"
    assert fault(await call("POST", path, {"name": ""}), "name") == "BASE_TYPE_BAD_LENGTH"
    wrong = {"name": "x", "auto_archive_duration": 61}
    assert fault(await call("POST", path, wrong), "auto_archive_duration") == "BASE_TYPE_CHOICES"
    status, thread = await call("POST", path, {"name": "x"})
    assert (status, thread["id"], thread["type"]) == (201, str(said.id), 11)
    assert (await call("POST", path, {"name": "y"}))[1]["code"] == 160004
    _, parent = await call("GET", f"/channels/{emu.channel_id}/messages/{said.id}")
    assert (parent["flags"], parent["thread"]["name"]) == (32, "x")
    inner = await emu.say(emu.alice, said.id, "inside")
    assert (await call("POST", f"/channels/{said.id}/messages/{inner.id}/threads", {"name": "z"}))[1]["code"] == 50024
    _, active = await call("GET", f"/guilds/{emu.guild_id}/threads/active")
    assert [found["id"] for found in active["threads"]] == [str(said.id)]
    emu.archive(said.id, locked=True)
    assert (await call.send({"content": "x"}, channel_id=said.id))[1]["code"] == 50083
    _, archived = await call("GET", f"/channels/{emu.channel_id}/threads/archived/public")
    assert [found["id"] for found in archived["threads"]] == [str(said.id)]
    assert {violation.kind for violation in emu.take_violations()} == {"request"}


async def test_thread_without_a_message(emu: DiscordEmulator, call: Caller) -> None:
    path = f"/channels/{emu.channel_id}/threads"
    assert (await call("POST", path, {"name": "x"}))[1]["code"] == 50013  # private unless told otherwise
    status, thread = await call("POST", path, {"name": "x", "type": 11})
    assert status == 201
    status, changed = await call("PATCH", f"/channels/{thread['id']}", {"name": "y", "archived": True})
    assert (changed["name"], changed["thread_metadata"]["archived"]) == ("y", True)
    assert emu.messages(emu.channel_id)[0].content == "x"


async def test_permissions(emu: DiscordEmulator, call: Caller) -> None:
    said = await emu.say(emu.alice, emu.locked_channel_id, "hi")
    for path, body in (("", {"content": "x"}), (f"/{said.id}/threads", {"name": "x"})):
        status, reply = await call("POST", f"/channels/{emu.locked_channel_id}/messages{path}", body)
        assert (status, reply["code"]) == (403, 50013)
    status, reply = await call("GET", f"/channels/{emu.hidden_channel_id}")
    assert (status, reply["code"]) == (403, 50001)
    mute = emu.add_channel("no files", deny_bot=Permission.ATTACH_FILES | Permission.READ_MESSAGE_HISTORY)
    assert (await call.send({}, channel_id=mute, files={"a.txt": b"x"}))[1]["code"] == 50013
    said = await emu.say(emu.alice, mute, "hi")
    reference = {"message_id": str(said.id)}
    reply = (await call.send({"content": "x", "message_reference": reference}, channel_id=mute))[1]
    assert reply["code"] == 160002
    assert emu.violations == []


async def test_text_lint(emu: DiscordEmulator, call: Caller) -> None:
    role = emu.world.add_role("team", mentionable=True)
    await call.send({"content": "hi @everyone"})
    await call.send({"content": f"hi <@&{role.id}>", "allowed_mentions": {"parse": ["roles"]}})
    await call.send({"content": f"hi {emu.bob.mention}", "allowed_mentions": {"parse": ["users"]}})
    await call.send({"content": "```python\nprint()", "allowed_mentions": NO_PINGS})
    assert [violation.kind for violation in emu.take_violations()] == ["mention"] * 3 + ["formatting"]
    await call.send({"content": f"@everyone <@&{role.id}> {emu.bob.mention}", "allowed_mentions": NO_PINGS})
    await call.send({"content": "`@everyone` ```\n@here\n```"})
    listed = {"parse": [], "users": [str(emu.bob.id)]}
    _, message = await call.send({"content": emu.bob.mention, "allowed_mentions": listed})
    assert [user["username"] for user in message["mentions"]] == ["bob"]
    assert emu.violations == []


OPTION: Json = {"type": 3, "name": "a", "description": "A"}
BAD_COMMANDS: list[tuple[Json, tuple[str, ...], str]] = [
    ({"name": "Ask", "description": "x"}, ("0", "name"), "APPLICATION_COMMAND_INVALID_NAME"),
    ({"name": "ask"}, ("0", "description"), "BASE_TYPE_REQUIRED"),
    ({"name": "ask", "description": "x" * 101}, ("0", "description"), "BASE_TYPE_MAX_LENGTH"),
    (COMMAND | {"options": [OPTION] * 26}, ("0", "options"), "BASE_TYPE_MAX_LENGTH"),
    (
        COMMAND | {"options": [OPTION, OPTION | {"name": "b", "required": True}]},
        ("0", "options", "1"),
        "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
    ),
    (
        COMMAND | {"options": [OPTION | {"autocomplete": True, "choices": [{"name": "x", "value": "x"}]}]},
        ("0", "options", "0", "choices"),
        "APPLICATION_COMMAND_OPTION_CHOICES_AUTOCOMPLETE",
    ),
    (
        COMMAND | {"options": [OPTION | {"type": 1}, OPTION | {"name": "b"}]},
        ("0", "options"),
        "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
    ),
    (
        COMMAND | {"options": [OPTION | {"name": f"o{n}", "description": "x" * 100, "choices": [
            {"name": "x" * 100, "value": f"{m}" * 100} for m in range(4)]} for n in range(10)]},
        ("0",),
        "APPLICATION_COMMAND_TOO_LARGE",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("command", "path", "code"), BAD_COMMANDS)
async def test_bad_commands(
    emu: DiscordEmulator, call: Caller, command: Json, path: tuple[str, ...], code: str
) -> None:
    assert fault(await call.sync(command), *path) == code
    assert emu.commands.listed(None) == []


async def test_command_ids_stay(emu: DiscordEmulator, call: Caller) -> None:
    _, [first] = await call.sync(COMMAND | {"default_member_permissions": "2048"})
    _, [second, other] = await call.sync(COMMAND | {"description": "New"}, COMMAND | {"name": "other"})
    assert (first["id"], first["default_member_permissions"]) == (second["id"], "2048")
    assert other["id"] != first["id"]
    assert (await call("GET", f"/applications/{emu.app_id}/commands"))[1] == [second, other]
    assert (await call("PUT", f"/applications/{emu.app_id}/guilds/1/commands", []))[1]["code"] == 50001
    for number in range(2):
        await call.sync(*(COMMAND | {"name": f"c{number}-{n}"} for n in range(99)))
    assert (await call.sync(COMMAND | {"name": "too-many"}))[1]["code"] == 30034


async def test_callbacks(emu: DiscordEmulator, call: Caller) -> None:
    interaction = await started(emu, call)
    assert fault(await call.callback(interaction, 7), "type") == "BASE_TYPE_CHOICES"
    assert fault(await call.callback(interaction, 4, {"content": "x" * 2001}), "data", "content")
    assert fault(
        await call.callback(interaction, 4, {"embeds": [{"fields": [{"name": "", "value": "x"}]}]}),
        "data",
        "embeds",
        "0",
        "fields",
        "0",
        "name",
    )
    status, reply = await call.callback(interaction, 5, {"flags": 64})
    assert (status, reply["interaction"]["response_message_loading"]) == (200, True)
    assert reply["interaction"]["response_message_ephemeral"] is True
    assert "resource" not in reply
    assert (await call.callback(interaction, 5))[1]["code"] == 40060
    other = Interaction(1, 2, "x", emu.alice, interaction.channel, {}, 0, {}, interaction.recorder)
    assert (await call.callback(other, 5))[1]["code"] == 10062


async def test_immediate_reply_has_the_message(emu: DiscordEmulator, call: Caller) -> None:
    interaction = await started(emu, call)
    _, reply = await call.callback(interaction, 4, {"content": "hi"})
    assert reply["resource"]["message"]["content"] == "hi"
    assert reply["resource"]["message"]["interaction_metadata"]["id"] == str(interaction.id)


async def test_followups(emu: DiscordEmulator, call: Caller) -> None:
    interaction = await started(emu, call)
    assert (await call.hook("POST", interaction, "", {"content": "x"}))[1]["code"] == 10015
    await call.callback(interaction, 5)
    _, first = await call.hook("POST", interaction, "", {"content": "first", "flags": 64})
    assert (first["id"], first["flags"]) == (str(interaction.response and interaction.response.id), 0)
    _, second = await call.hook("POST", interaction, "", {"content": "second", "flags": 64})
    assert second["flags"] == 64
    assert [message.content for message in emu.messages(emu.channel_id)] == ["first"]
    status, reply = await call("GET", f"/channels/{emu.channel_id}/messages/{second['id']}")
    assert (status, reply["code"]) == (404, 10008)
    assert (await call.hook("DELETE", interaction, f"/messages/{second['id']}"))[0] == 204
    assert (await call.hook("DELETE", interaction, ORIGINAL))[0] == 204
    assert (await call.hook("PATCH", interaction, ORIGINAL, {"content": "x"}))[1]["code"] == 10008
    emu.clock.advance(901)
    status, reply = await call.hook("PATCH", interaction, ORIGINAL, {"content": "x"})
    assert (status, reply["code"]) == (401, 50027)


async def test_user_install_followups(emu: DiscordEmulator, call: Caller) -> None:
    await call.sync(COMMAND | {"integration_types": [1], "contexts": [0]})
    with pytest.raises(NotOffered, match="installed"):
        await emu.command(emu.alice, "ask")
    emu.install(emu.alice)
    interaction = await emu.command(emu.alice, "ask")
    await call.callback(interaction, 4, {"content": "hi"})
    codes = [(await call.hook("POST", interaction, "", {"content": "x"}))[1].get("code") for _ in range(6)]
    assert codes == [None] * 5 + [40094]


async def test_modal(emu: DiscordEmulator, call: Caller) -> None:
    interaction = await started(emu, call)
    field = {"type": 18, "label": "Q", "component": {"type": 4, "custom_id": "q", "style": 1}}
    modal: Json = {"custom_id": "m", "title": "Ask", "components": [field]}
    assert fault(await call.callback(interaction, 9, modal | {"title": "x" * 46}), "data", "title")
    assert (await call.callback(interaction, 9, modal))[0] == 200
    submitted = await emu.submit_modal(interaction, {"q": "Why?"})
    assert submitted.data["components"][0]["component"]["value"] == "Why?"
    assert fault(await call.callback(submitted, 9, modal), "type") == "BASE_TYPE_CHOICES"
    assert (await call.callback(submitted, 4, {"content": "ok"}))[0] == 200


async def test_unanswered_interaction_is_a_violation() -> None:
    async with DiscordEmulator(rates=False, ack_deadline=0.02) as emu, aiohttp.ClientSession() as session:
        await started(emu, Caller(emu, session))
        await emu.wait_for(lambda: emu.violations)
        assert emu.violations[0].kind == "interaction"


async def test_only_own_messages_can_be_edited(emu: DiscordEmulator, call: Caller) -> None:
    said = await emu.say(emu.alice, emu.channel_id, "mine")
    path = f"/channels/{emu.channel_id}/messages/{said.id}"
    assert (await call("PATCH", path, {"content": "x"}))[1]["code"] == 50005
    assert (await call("DELETE", path))[1]["code"] == 50013


async def test_direct_channel_and_typing(emu: DiscordEmulator, call: Caller) -> None:
    _, channel = await call("POST", "/users/@me/channels", {"recipient_id": emu.alice.id})
    assert channel["id"] == str(emu.dm_channel_id)
    assert (await call("POST", f"/channels/{emu.channel_id}/typing"))[0] == 204
    assert emu.typing == [emu.channel_id]
    assert emu.violations == []
