"""What a platform tells of something that a person wrote, tapped or filled in."""

from __future__ import annotations

from core.asks import Person, ThreadRef, Value
from core.attachments import Upload
from core.governance import Who


class Inbound(Value):
    """Who, where, and the platform's ids of the event (for dropping what is delivered twice).

    ``roles`` are the platform's ids of the person's roles there; ``manages`` and ``moderates`` what the platform lets
    them do there: manage the workspace, and the channel. ``files`` came with the message, not downloaded yet.
    """

    asker: Person
    where: ThreadRef
    event_ids: tuple[str, ...] = ()
    prefix: str = "/consortium"
    roles: tuple[str, ...] = ()
    manages: bool = False
    moderates: bool = False
    files: tuple[Upload, ...] = ()

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
