"""What the Discord emulator refuses in menus, modals, containers and command answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.emulators.discord import DiscordEmulator
from tests.emulators.discord.caller import Caller, fault

Json = dict[str, Any]
V2 = 32768
TEXT: Json = {"type": 10, "content": "x"}
BUTTON: Json = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}
OPTIONS: list[Json] = [{"label": "A", "value": "a"}, {"label": "B", "value": "b"}]
MENU: Json = {"type": 3, "custom_id": "menu", "options": OPTIONS}
PICTURE: Json = {"media": {"url": "https://example.org/a.png"}}
FIELD: Json = {"type": 4, "custom_id": "q", "style": 1}


@pytest.fixture
async def emu() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator(rates=False) as emulator:
        yield emulator


@pytest.fixture
async def call(emu: DiscordEmulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(emu, session)


def row(*parts: Json) -> Json:
    return {"type": 1, "components": list(parts)}


def menu(**more: Any) -> Json:
    return row(MENU | more)


BAD_COMPONENTS: list[tuple[Json, str, str]] = [
    (row(BUTTON, MENU), "", "COMPONENT_LAYOUT_WIDTH_EXCEEDED"),
    (row(*(BUTTON | {"custom_id": str(n)} for n in range(6))), "components", "BASE_TYPE_MAX_LENGTH"),
    (menu(options=OPTIONS[:1] * 26), "components.0.options", "BASE_TYPE_MAX_LENGTH"),
    (menu(options=OPTIONS[:1] * 2), "components.0.options.0.value", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED"),
    (menu(max_values=3), "components.0.options", "BASE_TYPE_BAD_LENGTH"),
    (menu(min_values=2), "components.0.min_values", "SELECT_COMPONENT_MIN_VALUES_ABOVE_MAX"),
    (
        menu(options=[option | {"default": True} for option in OPTIONS]),
        "components.0.options",
        "SELECT_COMPONENT_TOO_MANY_DEFAULT_VALUES",
    ),
    (menu(placeholder="x" * 151), "components.0.placeholder", "BASE_TYPE_MAX_LENGTH"),
    (menu(custom_id=""), "components.0.custom_id", "BASE_TYPE_BAD_LENGTH"),
    (menu(custom_id="x" * 101), "components.0.custom_id", "BASE_TYPE_MAX_LENGTH"),
    (row(BUTTON | {"style": 5}), "components.0.url", "BASE_TYPE_REQUIRED"),
    (row({"type": 2, "style": 1, "label": "Go"}), "components.0.custom_id", "BUTTON_COMPONENT_CUSTOM_ID_REQUIRED"),
    (row({"type": 2, "style": 1, "custom_id": "x"}), "components.0.label", "BUTTON_COMPONENT_INVALID_LABEL"),
    ({"type": 12, "items": []}, "items", "BASE_TYPE_BAD_LENGTH"),
    ({"type": 12, "items": [PICTURE] * 11}, "items", "BASE_TYPE_MAX_LENGTH"),
    ({"type": 12, "items": [PICTURE | {"description": "x" * 1025}]}, "items.0.description", "BASE_TYPE_MAX_LENGTH"),
    ({"type": 9, "components": [TEXT] * 4, "accessory": BUTTON}, "components", "BASE_TYPE_MAX_LENGTH"),
    ({"type": 9, "components": [TEXT]}, "accessory", "BASE_TYPE_REQUIRED"),
    ({"type": 17, "components": []}, "components", "BASE_TYPE_BAD_LENGTH"),
    ({"type": 17, "components": [TEXT], "accent_color": 1 << 24}, "accent_color", "NUMBER_TYPE_MAX"),
    ({"type": 17, "components": [{"type": 17, "components": [TEXT]}]}, "components.0.type", "BASE_TYPE_CHOICES"),
    ({"type": 17, "components": [TEXT | {"id": 5}, TEXT | {"id": 5}]}, "components.1.id", "COMPONENT_ID_DUPLICATED"),
    ({"type": 13, "file": {"url": "attachment://no.txt"}}, "file.url",
     "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND"),
    ({"type": 13, "file": {"url": "https://example.org/a.txt"}}, "file.url",
     "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND"),
    ({"type": 14, "spacing": 3}, "spacing", "BASE_TYPE_CHOICES"),
    (TEXT | {"content": ""}, "content", "BASE_TYPE_BAD_LENGTH"),
    (BUTTON, "type", "BASE_TYPE_CHOICES"),
    ({"type": 18, "label": "x", "component": FIELD}, "type", "BASE_TYPE_CHOICES"),
]  # fmt: skip


@pytest.mark.parametrize(("component", "path", "code"), BAD_COMPONENTS)
async def test_bad_components(emu: DiscordEmulator, call: Caller, component: Json, path: str, code: str) -> None:
    reply = await call.send({"flags": V2, "components": [component]})
    assert fault(reply, "components", "0", *filter(None, path.split("."))) == code
    assert emu.messages(emu.channel_id) == []
    assert [violation.kind for violation in emu.take_violations()] == ["request"]


def label(component: Json, **more: Any) -> Json:
    return {"type": 18, "label": "L", "component": component, **more}


BAD_MODALS: list[tuple[list[Json], str, str]] = [
    ([], "components", "BASE_TYPE_BAD_LENGTH"),
    ([TEXT] * 6, "components", "BASE_TYPE_BAD_LENGTH"),
    ([label(FIELD), label(FIELD)], "components.1.component.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED"),
    ([label(FIELD, label="x" * 46)], "components.0.label", "BASE_TYPE_MAX_LENGTH"),
    ([label(FIELD | {"label": "own"})], "components.0.component.label", "TEXT_INPUT_LABEL_NOT_ALLOWED"),
    ([row(FIELD)], "components.0.components.0.label", "BASE_TYPE_REQUIRED"),
    ([label(FIELD | {"min_length": 9, "max_length": 8})], "components.0.component.min_length",
     "TEXT_INPUT_MIN_LENGTH_ABOVE_MAX"),
    ([label(FIELD | {"max_length": 4001})], "components.0.component.max_length", "NUMBER_TYPE_MAX"),
    ([label(FIELD | {"max_length": 2, "value": "xyz"})], "components.0.component.value", "BASE_TYPE_MAX_LENGTH"),
    ([label(MENU | {"disabled": True})], "components.0.component.disabled", "COMPONENT_MODAL_DISABLED"),
    ([label({"type": 21, "custom_id": "r", "options": OPTIONS[:1]})], "components.0.component.options",
     "BASE_TYPE_BAD_LENGTH"),
    ([label({"type": 22, "custom_id": "c", "options": OPTIONS, "max_values": 3})], "components.0.component.options",
     "BASE_TYPE_BAD_LENGTH"),
    ([label({"type": 19, "custom_id": "f", "max_values": 11})], "components.0.component.max_values",
     "NUMBER_TYPE_MAX"),
    ([row(BUTTON)], "components.0.components.0.type", "BASE_TYPE_CHOICES"),
]  # fmt: skip


@pytest.mark.parametrize(("components", "path", "code"), BAD_MODALS)
async def test_bad_modals(emu: DiscordEmulator, call: Caller, components: list[Json], path: str, code: str) -> None:
    await call.sync({"name": "ask", "description": "Ask"})
    interaction = await emu.command(emu.alice, "ask")
    reply = await call.callback(interaction, 9, {"custom_id": "m", "title": "T", "components": components})
    assert fault(reply, "data", *path.split(".")) == code
    assert interaction.modal is None


async def test_component_that_stands_in_a_modal_too(emu: DiscordEmulator, call: Caller) -> None:
    await call.sync({"name": "ask", "description": "Ask"})
    interaction = await emu.command(emu.alice, "ask")
    box = {"type": 23, "custom_id": "b", "default": True}
    modal = {"custom_id": "m", "title": "T", "components": [TEXT, label(box), row(FIELD | {"label": "Q"})]}
    assert (await call.callback(interaction, 9, modal))[0] == 200
    sent = await emu.submit_modal(interaction, {"Q": "why"})
    assert sent.data["components"] == [
        {"type": 10, "id": 1},
        {"type": 18, "id": 2, "component": {"type": 23, "id": 3, "custom_id": "b", "value": True}},
        {"type": 1, "id": 4, "components": [{"type": 4, "id": 5, "custom_id": "q", "value": "why"}]},
    ]
    assert (await call.callback(sent, 4, {"content": "ok"}))[1]["resource"]["message"]["interaction_metadata"][
        "triggering_interaction_metadata"
    ]["id"] == str(interaction.id)
    assert emu.violations == []


@pytest.mark.parametrize(("kind", "type", "right"), [(2, 6, 4), (3, 8, 6), (3, 8, 7)])
async def test_answers_fit_the_interaction(
    emu: DiscordEmulator, call: Caller, kind: int, type: int, right: int
) -> None:
    await call.sync({"name": "ask", "description": "Ask"})
    interaction = await emu.command(emu.alice, "ask")
    if kind == 3:
        await call.callback(interaction, 4, {"components": [row(BUTTON)]})
        assert interaction.response
        interaction = await emu.click(emu.bob, interaction.response, "Go")
    body: Json = {"choices": []} if type == 8 else {"content": "x"}
    assert fault(await call.callback(interaction, type, body), "type") == "BASE_TYPE_CHOICES"
    assert (await call.callback(interaction, right, {"content": "x"}))[0] == 200


async def test_late_press(emu: DiscordEmulator, call: Caller) -> None:
    _, message = await call.send({"content": "x", "components": [row(BUTTON)]})
    pressed = await emu.click(emu.alice, int(message["id"]), "go")
    emu.clock.advance(3.1)
    assert (await call.callback(pressed, 6))[1]["code"] == 10062
