"""Turns sent files, embeds and components into what a stored message shows."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.emulators.discord.errors import FieldError, Json, Path, invalid_form
from tests.emulators.discord.validation import Submission
from tests.emulators.discord.world import Attachment, Message

_PNG = b"\x89PNG\r\n\x1a\n"
_REFERENCE = "attachment://"

Link = Callable[[Attachment], str]
NewId = Callable[[], int]


def sanitised(filename: str) -> str:
    """Give the name under which Discord stores a file."""
    return re.sub(r"[^A-Za-z0-9._-]", "", filename.replace(" ", "_")) or "file"


def gather_files(sent: Submission, existing: Message | None, new_id: NewId) -> list[Attachment]:
    """Give the files of the message: those kept of `existing`, then the uploads."""
    entries = sent.body.get("attachments")
    described = {int(entry["id"]): entry for entry in entries or ()}
    old = existing.files if existing else []
    files = [
        replace(file, description=described.get(file.id, {}).get("description", file.description))
        for file in old
        if entries is None or file.id in described
    ]
    for upload in sent.uploads:
        entry = described.get(upload.index, {})
        name = entry.get("filename") or upload.filename
        files.append(attach(name, upload.data, entry.get("description"), new_id()))
    return files


def attach(filename: str, data: bytes, description: str | None, file_id: int) -> Attachment:
    """Store a file as Discord does; the content type follows from the name alone."""
    name = sanitised(filename)
    width, height = _png_size(data)
    kind = mimetypes.guess_type(name)[0]
    kind = f"{kind}; charset=utf-8" if kind and kind.startswith("text/") else kind
    return Attachment(file_id, name, data, description, kind, width, height)


def _png_size(data: bytes) -> tuple[int, int] | tuple[None, None]:
    if data[:8] != _PNG or len(data) < 24:
        return None, None
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


class Renderer:
    """Replaces `attachment://` references in one message by links to its files."""

    def __init__(self, sent: Submission, files: list[Attachment], link: Link, new_id: NewId) -> None:
        self._prefix = sent.prefix
        self._files = {file.filename: file for file in files}
        self._link = link
        self._new_id = new_id
        self._number = 0
        self._taken: set[int] = set()

    def embeds(self, embeds: list[Json]) -> list[Json]:
        """Write embeds as Discord returns them."""
        return [self._embed(embed, ("embeds", index)) for index, embed in enumerate(embeds)]

    def components(self, components: list[Json]) -> list[Json]:
        """Write components as Discord returns them, each with a number of its own."""
        self._taken = _numbers(components)
        return self._several(components, ("components",))

    def _embed(self, embed: Json, path: Path) -> Json:
        shown: Json = _present(embed) | {"type": "rich"}
        for key in ("image", "thumbnail"):
            if key in shown:
                media = self._media(shown[key], (*path, key))
                shown[key] = {k: media[k] for k in ("url", "proxy_url", "width", "height") if media[k] is not None}
        for key in ("author", "footer"):
            if "icon_url" in shown.get(key, {}):
                icon = self._media({"url": shown[key]["icon_url"]}, (*path, key))["url"]
                shown[key] = shown[key] | {"icon_url": icon, "proxy_icon_url": icon}
        if "fields" in shown:
            shown["fields"] = [{"inline": False, **item} for item in shown["fields"]]
        return shown

    def _several(self, components: list[Json], path: Path) -> list[Json]:
        return [self._component(component, (*path, index)) for index, component in enumerate(components)]

    def _component(self, component: Json, path: Path) -> Json:
        shown: Json = _present(component)
        shown["id"] = component.get("id") or self._next_number()
        match component["type"]:
            case 3:
                shown = {"min_values": 1, "max_values": 1, "disabled": False, **shown}
            case 11:
                shown |= self._described(component, path)
            case 12:
                items = enumerate(component["items"])
                shown["items"] = [self._described(item, (*path, "items", index)) for index, item in items]
            case 13:
                file = self._file(component["file"], (*path, "file"))
                shown |= {"name": file.filename, "size": len(file.data), "spoiler": bool(component.get("spoiler"))}
                shown["file"] = self._media(component["file"], (*path, "file"))
            case 14:
                shown = {"divider": True, "spacing": 1, **shown}
            case 17:
                shown = {"accent_color": None, "spoiler": False, **shown}
        if "components" in component:
            shown["components"] = self._several(component["components"], (*path, "components"))
        if "accessory" in component:
            shown["accessory"] = self._component(component["accessory"], (*path, "accessory"))
        return shown

    def _next_number(self) -> int:
        self._number += 1
        while self._number in self._taken:
            self._number += 1
        return self._number

    def _described(self, item: Json, path: Path) -> Json:
        return {
            "media": self._media(item["media"], (*path, "media")),
            "description": item.get("description"),
            "spoiler": bool(item.get("spoiler")),
        }

    def _media(self, media: Json, path: Path) -> Json:
        url = media["url"]
        if not url.startswith(_REFERENCE):
            plain = {"id": str(self._new_id()), "url": url, "proxy_url": url, "content_type": None}
            return plain | {"width": media.get("width"), "height": media.get("height")}
        file = self._file(media, path)
        link = self._link(file)
        return {
            "id": str(self._new_id()),
            "url": link,
            "proxy_url": link,
            "width": file.width,
            "height": file.height,
            "content_type": file.content_type,
            "attachment_id": str(file.id),
        }

    def _file(self, media: Json, path: Path) -> Attachment:
        file = self._files.get(media["url"].removeprefix(_REFERENCE))
        if file is None:
            code = "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND"
            text = f"The referenced attachment '{media['url']}' was not found"
            raise invalid_form([FieldError((*path, "url"), code, text)], self._prefix)
        return file


def split_media(files: list[Attachment], embeds: list[Json], components: list[Json]) -> tuple[list[Attachment], ...]:
    """Part the files into those listed on the message and those shown inside embeds or components."""
    shown = json.dumps([embeds, components])
    inside = [file for file in files if f"/{file.id}/" in shown]
    return [file for file in files if file not in inside], inside


def _numbers(components: list[Json]) -> set[int]:
    text = json.dumps(components)
    return {int(number) for number in re.findall(r'"id": (\d+)', text)}


def _present(node: Any) -> Any:
    """Copy `node` without its nulls."""
    if isinstance(node, dict):
        return {key: _present(value) for key, value in node.items() if value is not None}
    return [_present(value) for value in node] if isinstance(node, list) else node
