"""Discord's error replies: the numbered ones and the nested 50035 form errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class FieldError:
    """One wrong field of a request: where, Discord's error name, and the text."""

    path: Path
    code: str
    message: str


class NotOffered(LookupError):
    """Discord would not let the person do this, so that the bot never hears of it."""


class ApiError(Exception):
    """A refusal that goes out as an HTTP error reply."""

    def __init__(self, status: int, code: int, message: str, errors: Json | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors

    def body(self) -> Json:
        """Give the JSON document of the reply."""
        body: Json = {"message": self.message, "code": self.code}
        if self.errors is not None:
            body["errors"] = self.errors
        return body


_KNOWN: dict[int, tuple[int, str]] = {
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10013: (404, "Unknown User"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    30034: (400, "Max number of daily application command creates has been reached (200)"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    40094: (400, "This interaction has reached the maximum number of follow-up messages"),
    40333: (403, "internal network error"),
    50001: (403, "Missing Access"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50013: (403, "Missing Permissions"),
    50021: (403, "Cannot execute action on a system message"),
    50024: (400, "Cannot execute action on this channel type"),
    50027: (401, "Invalid Webhook Token"),
    50083: (400, "Thread is archived"),
    50109: (400, "The request body contains invalid JSON."),
    160002: (400, "You cannot reply without permission to read message history"),
    160004: (400, "A thread has already been created for this message"),
}


def known(code: int) -> ApiError:
    """Make the error with Discord's number `code`; its HTTP status and text follow from it."""
    status, message = _KNOWN[code]
    return ApiError(status, code, message)


def plain(status: int, text: str) -> ApiError:
    """Make an error that has no number of its own, such as 401 or 404 for an unknown route."""
    return ApiError(status, 0, f"{status}: {text}")


def invalid_form(problems: Iterable[FieldError], prefix: Path = ()) -> ApiError:
    """Make a 50035 whose `errors` tree names every wrong field, below `prefix`."""
    tree: Json = {}
    for problem in dict.fromkeys(problems):
        node = tree
        for key in (*prefix, *problem.path):
            node = node.setdefault(str(key), {})
        node.setdefault("_errors", []).append({"code": problem.code, "message": problem.message})
    return ApiError(400, 50035, "Invalid Form Body", tree)


def too_long(path: Path, most: int) -> FieldError:
    """Name a text or list that has more than `most` characters or items."""
    return FieldError(path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")


def required(path: Path) -> FieldError:
    """Name a field that is missing."""
    return FieldError(path, "BASE_TYPE_REQUIRED", "This field is required")
