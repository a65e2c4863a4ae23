"""files.*: the three steps of an upload."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any
from urllib.parse import quote

from aiohttp import web

from . import limits
from .content import read_content
from .journal import JSON, ApiError, Call, Malformed
from .web_api import Handler, WebApi
from .workspace import File, Message, Workspace

# Slack answers 200 with a page, not an error, to whoever may not download a file.
SIGN_IN = "<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in to Acme</body></html>"


class FileMethods:
    """Tickets, bytes, completion. `base_url` is where the emulator listens."""

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self.base_url = ""

    def table(self) -> dict[str, Handler]:
        """Method names and what serves them."""
        return {
            "files.getUploadURLExternal": self.ticket,
            "files.completeUploadExternal": self.complete,
            "files.info": self.info,
        }

    def ticket(self, args: JSON) -> JSON:
        length, alt_text = str(args["length"]), str(args.get("alt_txt", ""))
        if not length.isdigit() or int(length) == 0:
            raise Malformed("invalid_arguments", "length must be a positive number")
        if len(alt_text) > limits.FILE_ALT:
            raise Malformed("invalid_arguments", f"alt_txt of {len(alt_text)} characters")
        file_id = f"F{uuid.uuid4().hex[:10].upper()}"
        ticket, user = uuid.uuid4().hex, self._space.bot_user
        file = File(file_id, str(args["filename"]), int(length), alt_text, ticket, user=user)
        self._space.files[file_id] = file
        return {"upload_url": f"{self.base_url}/upload/v1/{file.ticket}", "file_id": file_id}

    def shared_by(self, user: str, name: str, content: bytes, kind: str) -> File:
        """A file that a person puts into a message."""
        file_id = f"F{uuid.uuid4().hex[:10].upper()}"
        file = File(
            file_id, name, len(content), "", uuid.uuid4().hex, name, content, completed=True, user=user, kind=kind
        )
        file.url = self._url(file)
        self._space.files[file_id] = file
        return file

    def _url(self, file: File) -> str:
        return f"{self.base_url}/files-pri/{self._space.team}-{file.id}/download/{quote(file.name.lower(), safe='')}"

    async def download(self, request: web.Request, api: WebApi) -> web.Response:
        """The bytes of a file, or the page to sign in at for whoever may not have them."""
        file = self._space.files.get(request.match_info["file"].removeprefix(f"{self._space.team}-"))
        call = Call(self._space.clock(), "file_download", request.method, {"file": file.id if file else None})
        self._space.journal.calls.append(call)

        async def answer() -> web.Response:
            rooms = [self._space.channels[channel] for channel in file.shares] if file else []
            seen = file is not None and (
                file.user == self._space.bot_user or any(self._space.bot_user in room.members for room in rooms)
            )
            allowed = api.opens(request, self._space) and "files:read" in self._space.scopes
            if file is None or file.content is None or not seen or not allowed:
                call.error = "sign_in_page"
                return web.Response(text=SIGN_IN, content_type="text/html")
            return web.Response(body=file.content, content_type=file.mimetype)

        return await api.guard(request, call, answer)

    async def receive(self, request: web.Request, api: WebApi) -> web.Response:
        """The bytes of a file, once, exactly as many as announced."""
        content = await request.read()
        call = Call(self._space.clock(), "upload", request.method, {"length": len(content)})
        self._space.journal.calls.append(call)

        async def answer() -> web.Response:
            ticket = request.match_info["ticket"]
            file = next((file for file in self._space.files.values() if file.ticket == ticket), None)
            if file is None or file.content is not None:
                return self._refuse(call, "upload_ticket", "unknown or used ticket")
            if len(content) != file.length:
                return self._refuse(call, "upload_length", f"{len(content)} bytes, not {file.length}")
            file.content, file.url = content, self._url(file)
            return web.Response(text=f"OK - {len(content)}")

        return await api.guard(request, call, answer)

    def issued(self, ticket: str) -> bool:
        """Whether an upload's address is one of this workspace's."""
        return any(file.ticket == ticket for file in self._space.files.values())

    def _refuse(self, call: Call, kind: str, detail: str) -> web.Response:
        call.error = kind
        self._space.journal.violation(kind, detail)
        return web.Response(status=400, text=detail)

    def complete(self, args: JSON) -> JSON:
        files = self._uploaded(args["files"])
        target = args.get("channel_id") or args.get("channels")
        if target is None:
            for file in files:
                file.completed = True
            return {"files": [{"id": file.id, "title": file.title} for file in files]}
        if not re.fullmatch(limits.UPLOAD_CHANNEL, str(target)):
            raise Malformed("invalid_arguments", f"channel_id {target} is no channel id")
        channel = self._space.joined(str(target))
        comment = str(args.get("initial_comment", ""))
        if comment:
            content = read_content({"text": comment}, self._space, "files.completeUploadExternal")
            comment = content.text
        message = Message(
            channel.id,
            self._space.next_ts(),
            self._space.bot_user,
            comment,
            bot_id=self._space.bot,
            thread_ts=self._space.parent_ts(channel, args.get("thread_ts")),
            files=files,
        )
        for file in files:
            file.completed = True
            file.shares[channel.id] = message.ts
        self._space.store(message, subtype="file_share")
        return {"files": [{"id": file.id, "title": file.title} for file in files]}

    def _uploaded(self, value: object) -> list[File]:
        """The files named by the call, each with its bytes and not completed before."""
        try:
            items: Any = json.loads(value) if isinstance(value, str) else value
            pairs = [(str(item["id"]), str(item.get("title", ""))) for item in items]
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Malformed("invalid_arguments", "files must be a list of {id, title}") from None
        files = []
        for file_id, title in pairs:
            file = self._space.file_or_error(file_id)
            if file.content is None:
                raise ApiError("file_not_found")
            if file.completed:
                raise ApiError("file_update_failed")
            file.title = title
            files.append(file)
        return files

    def info(self, args: JSON) -> JSON:
        file = self._space.file_or_error(str(args["file"]))
        return {"file": file.to_json(self._space.channels), "comments": []}
