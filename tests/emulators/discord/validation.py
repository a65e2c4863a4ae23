"""The rules for messages that Discord's description does not carry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.emulators.discord import forms, limits
from tests.emulators.discord.errors import ApiError, FieldError, Json, Path, invalid_form, known, required
from tests.emulators.discord.limits import Flag
from tests.emulators.discord.world import Message

_LEGACY_TYPES = frozenset({1, 2, 3, 5, 6, 7, 8})
_LINK, _PREMIUM = 5, 6


@dataclass(frozen=True)
class Upload:
    """A file part of a multipart request; `index` is the number in `files[n]`."""

    index: int
    filename: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Submission:
    """The wanted content of a message; `prefix` is where it lies in the request body."""

    body: Json
    uploads: tuple[Upload, ...] = ()
    prefix: Path = ()

    @property
    def flags(self) -> int:
        """The flags asked for."""
        return self.body.get("flags") or 0


def check_message(sent: Submission, existing: Message | None) -> None:
    """Refuse what breaks a rule: raises ApiError 50035 with all wrong fields, 40005 or a bare 500."""
    check_uploads(sent)
    before = Flag(existing.flags) if existing else Flag(0)
    modern = bool((sent.flags | before) & Flag.COMPONENTS_V2)
    problems = [*_embed_problems(sent.body), *_mention_problems(sent.body), *_file_problems(sent, existing)]
    if before & Flag.COMPONENTS_V2 and "flags" in sent.body and not sent.flags & Flag.COMPONENTS_V2:
        problems.append(
            FieldError(("flags",), "MESSAGE_CANNOT_REMOVE_COMPONENTS_V2_FLAG", "The flag cannot be removed")
        )
    components = sent.body.get("components") or []
    problems += _modern_problems(sent.body, existing, components) if modern else _legacy_problems(components)
    problems += _component_problems(components)
    for key in ("poll", "sticker_ids"):
        if sent.body.get(key):
            problems.append(FieldError((key,), "EMULATOR_UNSUPPORTED", f"The emulator has no {key}"))
    if problems:
        raise invalid_form(problems, sent.prefix)
    _check_size(components)


def check_uploads(sent: Submission) -> None:
    """Refuse files that are too large (40005)."""
    sizes = [len(upload.data) for upload in sent.uploads]
    if sum(sizes) > limits.REQUEST_BYTES_MAX or any(size > limits.FILE_BYTES_MAX for size in sizes):
        raise known(40005)


def walk(components: list[Json], path: Path = ("components",)) -> Iterator[tuple[Path, Json]]:
    """Give every component with its path, nested ones included."""
    for index, component in enumerate(components):
        here = (*path, index)
        yield here, component
        yield from walk(component.get("components") or [], (*here, "components"))
        if isinstance(component.get("accessory"), dict):
            yield (*here, "accessory"), component["accessory"]


def _embed_problems(body: Json) -> Iterator[FieldError]:
    total = 0
    for index, embed in enumerate(body.get("embeds") or ()):
        total += sum(len(embed.get(key) or "") for key in ("title", "description"))
        total += len((embed.get("footer") or {}).get("text") or "")
        total += len((embed.get("author") or {}).get("name") or "")
        for number, item in enumerate(embed.get("fields") or ()):
            for key in ("name", "value"):
                total += len(item[key])
                if not item[key].strip():
                    yield required(("embeds", index, "fields", number, key))
    if total > limits.EMBEDS_TOTAL_MAX:
        text = f"Embed size exceeds maximum size of {limits.EMBEDS_TOTAL_MAX}"
        yield FieldError(("embeds",), "MAX_EMBED_SIZE_EXCEEDED", text)


def _mention_problems(body: Json) -> Iterator[FieldError]:
    allowed = body.get("allowed_mentions") or {}
    for kind in ("users", "roles"):
        if kind in (allowed.get("parse") or ()) and allowed.get(kind):
            text = f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.'
            yield FieldError(("allowed_mentions",), "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", text)


def _file_problems(sent: Submission, existing: Message | None) -> Iterator[FieldError]:
    named = sent.body.get("attachments")
    numbers = {upload.index for upload in sent.uploads}
    kept = {file.id for file in existing.files} if existing else set()
    for index, entry in enumerate(named or ()):
        if int(entry["id"]) not in numbers | kept:
            text = f"Attachment {entry['id']} is neither uploaded nor on the message"
            yield FieldError(("attachments", index, "id"), "ATTACHMENT_NOT_FOUND", text)
    total = len(numbers) + (len(kept) if named is None else sum(int(entry["id"]) in kept for entry in named))
    if total > limits.FILES_MAX:
        yield FieldError(("attachments",), "BASE_TYPE_MAX_LENGTH", f"Must be {limits.FILES_MAX} or fewer in length.")


def _modern_problems(body: Json, existing: Message | None, components: list[Json]) -> Iterator[FieldError]:
    old = {"content": existing.content, "embeds": existing.embeds} if existing else {}
    for key in ("content", "embeds", "poll", "sticker_ids"):
        if body[key] if key in body else old.get(key):
            text = f"The '{key}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
            yield FieldError((key,), "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", text)
    everything = list(walk(components))
    if len(everything) > limits.COMPONENTS_MAX:
        text = f"The total number of components cannot exceed {limits.COMPONENTS_MAX}"
        yield FieldError(("components",), "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", text)
    shown = sum(len(part["content"]) for _, part in everything if part["type"] == 10)
    if shown > limits.TEXT_DISPLAY_TOTAL_MAX:
        text = f"Displayable text exceeds maximum size of {limits.TEXT_DISPLAY_TOTAL_MAX}"
        yield FieldError(("components",), "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", text)


def _legacy_problems(components: list[Json]) -> Iterator[FieldError]:
    if len(components) > limits.ROWS_MAX:
        text = f"Must be {limits.ROWS_MAX} or fewer in length."
        yield FieldError(("components",), "BASE_TYPE_MAX_LENGTH", text)
    for path, component in walk(components):
        top = len(path) == 2
        if component["type"] not in _LEGACY_TYPES or (top and component["type"] != 1):
            yield FieldError((*path, "type"), "BASE_TYPE_CHOICES", "Value must be one of (1,).")


def _component_problems(components: list[Json]) -> Iterator[FieldError]:
    seen: set[str] = set()
    numbers: set[int] = set()
    for path, component in walk(components):
        number = component.get("id")
        if number and number in numbers:
            yield FieldError((*path, "id"), "COMPONENT_ID_DUPLICATED", "Component id cannot be duplicated")
        numbers.add(number or 0)
        custom_id = component.get("custom_id")
        if custom_id in seen:
            text = "Component custom id cannot be duplicated"
            yield FieldError((*path, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", text)
        if custom_id is not None:
            seen.add(custom_id)
        if component["type"] == forms.BUTTON:
            yield from _button_problems(path, component)
        elif component["type"] == forms.ROW:
            yield from forms.row_problems(path, component)
        elif component["type"] in forms.SELECTS:
            yield from forms.select_problems(path, component)


def _button_problems(path: Path, button: Json) -> Iterator[FieldError]:
    if button["style"] == _LINK:
        if not button.get("url"):
            yield required((*path, "url"))
        if button.get("custom_id"):
            text = "A custom id and url cannot both be specified"
            yield FieldError((*path,), "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE", text)
    elif button["style"] != _PREMIUM and not button.get("custom_id"):
        yield FieldError((*path, "custom_id"), "BUTTON_COMPONENT_CUSTOM_ID_REQUIRED", "A custom id is required")
    if button["style"] != _PREMIUM and not button.get("label") and not button.get("emoji"):
        yield FieldError((*path, "label"), "BUTTON_COMPONENT_INVALID_LABEL", "A label or emoji is required")


def _check_size(components: list[Json]) -> None:
    """Fail as Discord does, with a bare 500, on sizes that pass its form check but not its storage."""
    parts = [part for _, part in walk(components)]
    texts = [part["content"] for part in parts if part["type"] == 10]
    size = sum(len(text.encode()) + limits.TEXT_DISPLAY_OVERHEAD for text in texts)
    media = sum(len(part["items"]) if part["type"] == 12 else part["type"] in {11, 13} for part in parts)
    if size > limits.TEXT_DISPLAY_BYTES_MAX or media > limits.MEDIA_MAX:
        raise ApiError(500, 0, "500: Internal Server Error")
