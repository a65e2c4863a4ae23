"""What a platform tells of something that a person wrote, tapped or filled in."""

from __future__ import annotations

from hashlib import blake2b

from core.asks import Person, ThreadRef, Value
from core.attachments import Upload
from core.governance import Who


class Inbound(Value):
    """Who, where, and the platform's ids of the event (for dropping what is delivered twice).

    ``roles`` are the platform's ids of the person's roles there; ``manages`` and ``moderates`` what the platform lets
    them do there: manage the workspace, and the channel. ``files`` came with the message, not downloaded yet.
    ``replayed``: it is an event that may have been carried out in part, by a process that is gone or before an outage.
    """

    asker: Person
    where: ThreadRef
    event_ids: tuple[str, ...] = ()
    prefix: str = "/consortium"
    roles: tuple[str, ...] = ()
    manages: bool = False
    moderates: bool = False
    files: tuple[Upload, ...] = ()
    replayed: bool = False

    @property
    def run_id(self) -> str | None:
        """The id of the run that this event begins, if it begins one: it follows from the event, so that an event which
        is carried out twice cannot begin two. None for what comes without ids."""
        return blake2b(self.event_ids[0].encode(), digest_size=6).hexdigest() if self.event_ids else None

    @property
    def who(self) -> Who:
        """The person as rules see them."""
        return Who(
            user=self.asker.id,
            channel=self.where.channel,
            roles=self.roles,
            manages=self.manages,
            moderates=self.moderates,
        )
